"""`parvis ministry`, `operator`, `agent` and `password`: what an installation begins with, before anybody can sign in to it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from parvis_suite.onboard_command import all_ministries, find_ministry
from parvis_suite.onboard_command import operator as at_the_server
from parvis_suite.plainly import Refusal, on_service, plainly, platform_of

if TYPE_CHECKING:
    from parvis_directory.rules import Asker, Person, Role
    from parvis_kit.db import Connection
    from parvis_kit.http import Body
    from parvis_kit.service import Service

    B = TypeVar("B", bound=Body)

ROLES = ("ministry_administrator", "finance", "operator")
"""All but `agent`, which everybody is."""
RANDOM_BYTES = 15
"""Twenty characters; nobody guesses 120 bits."""
CLOSED_DOOR = (
    "nobody signs in by password here, and ProConnect is not built yet: set PARVIS_DIRECTORY_LOCAL_SIGN_IN=true for directory and "
    "for this command, then `parvis password EMAIL`"
)


@click.group()
def ministry() -> None:
    """Bring a ministry aboard, or list those that are."""


@ministry.command("add")
@click.argument("siren")
@click.argument("name")
@click.option("--directorate", "directorates", metavar="NAME", multiple=True, help="A unit of it, as often as there are.")
@plainly
def add_ministry(siren: str, name: str, directorates: tuple[str, ...]) -> None:
    """Bring the ministry of this SIREN and NAME aboard."""

    async def work(directory: Service) -> None:
        from parvis_directory import actions
        from parvis_directory.api.ministries import NewDirectorate, NewMinistry
        from parvis_directory.rules import check_siren
        from parvis_kit.context import acting_as

        acting_as("parvis ministry")
        check_siren(siren)
        body, units = read(NewMinistry, siren=siren, name=name), [read(NewDirectorate, name=one) for one in directorates]
        root, now = at_the_server(), directory.clock()
        async with directory.database.transaction() as tx:
            made = await actions.create_ministry(tx, root, body.siren, body.name, now=now)
            for unit in units:
                await actions.create_directorate(tx, root, made.id, unit.name, unit.siret, now=now)
        click.echo(f"{made.siren} ({made.name}) is aboard, as {made.id}")

    on_service("directory", work)


@ministry.command("list")
@plainly
def list_ministries() -> None:
    """List the ministries that are aboard: SIREN, id, name."""

    async def work(directory: Service) -> None:
        found = await all_ministries(directory.database, at_the_server())
        for one in found:
            click.echo(f"{one.siren}  {one.id}  {one.name}{'' if one.closed_at is None else f' (merged into {one.succeeded_by})'}")
        if not found:
            click.echo("there is none yet: `parvis ministry add SIREN NAME` brings one aboard")

    on_service("directory", work)


@click.group()
def operator() -> None:
    """Make somebody an operator of the suite."""


@operator.command("add")
@click.argument("email")
@click.option("--ministry", "named", required=True, help="Whose agent it is: its SIREN, or its id.")
@click.option("--given-name", required=True)
@click.option("--family-name", required=True)
@plainly
def add_operator(email: str, named: str, given_name: str, family_name: str) -> None:
    """Open an account for an operator, or give the role to the agent who has this EMAIL; done twice, it is done once."""

    async def work(directory: Service) -> None:
        from parvis_directory import actions, queries
        from parvis_directory.api.agents import NewAgent
        from parvis_directory.rules import check_may_sign_in, folded_email
        from parvis_kit.context import acting_as
        from parvis_kit.problems import NotFound

        acting_as("parvis operator")
        folded_email(email)
        body = read(NewAgent, email=email, given_name=given_name, family_name=family_name)
        root, now = at_the_server(), directory.clock()
        whose = await find_ministry(directory.database, root, named)
        async with directory.database.transaction() as tx:
            person = None
            with suppress(NotFound):
                person = await queries.agent_of_email_for(tx, root, body.email, lock=True)
            if person is None or person.state == "left":
                new = actions.NewPerson(
                    whose.id, None, "agent", body.email, body.given_name, body.family_name, body.language, ["operator"], None
                )
                person = await actions.create_agent(tx, root, new, now=now)
            if person.ministry_id != whose.id:
                raise Refusal(f"{person.email} is an agent of another ministry: name that one (`parvis ministry list`), or move them first")
            check_may_sign_in(person, now)
            if "operator" not in person.roles:
                changes = actions.Changes(roles=[*person.roles, "operator"])
                person = await actions.change_agent(tx, root, person.id, changes, if_match=f'"{person.revision}"', now=now)
        click.echo(f"{person.email} is an operator; agent {person.id}")
        if is_local(directory):
            click.echo(f"a password to sign in by, where there is none yet: `parvis password {person.email}`")
        else:
            click.echo(CLOSED_DOOR)

    on_service("directory", work)


def is_local(directory: Service) -> bool:
    return bool(directory.settings.local_sign_in)


@click.group()
def agent() -> None:
    """Say what an agent may do."""


@agent.command("roles")
@click.argument("email")
@click.option("--give", multiple=True, type=click.Choice(ROLES), help="A role to give, as often as there are.")
@click.option("--take", multiple=True, type=click.Choice(ROLES), help="A role to take away.")
@plainly
def change_roles(email: str, give: tuple[Role, ...], take: tuple[Role, ...]) -> None:
    """Give roles to the agent who has this EMAIL, or take them; without either, show them."""
    if both := set(give) & set(take):
        raise click.UsageError(f"{', '.join(sorted(both))}: either give it or take it")

    async def work(directory: Service) -> None:
        from parvis_directory import actions
        from parvis_kit.context import acting_as

        acting_as("parvis agent")
        root, now = at_the_server(), directory.clock()
        async with directory.database.transaction() as tx:
            person = await find_agent(tx, root, email, lock=True)
            roles = sorted({*person.roles, *give} - set(take))
            if roles != sorted(person.roles):
                changes = actions.Changes(roles=roles)
                person = await actions.change_agent(tx, root, person.id, changes, if_match=f'"{person.revision}"', now=now)
        click.echo(f"{person.email}: {', '.join(person.roles)}")

    on_service("directory", work)


@click.command()
@click.argument("email")
@click.option("--random", is_flag=True, help="Make one and print it, this once, instead of asking for it.")
@plainly
def password(email: str, random: bool) -> None:
    """Set the password by which the agent who has this EMAIL signs in, where local sign-in is on; their sessions end."""

    async def work(directory: Service) -> None:
        import secrets

        from parvis_directory import actions
        from parvis_directory.rules import check_may_sign_in, check_password
        from parvis_kit.context import acting_as

        acting_as("parvis password")
        if not is_local(directory):
            raise Refusal(CLOSED_DOOR)
        root = at_the_server()
        async with directory.database.read() as conn:
            person = await find_agent(conn, root, email)
        check_may_sign_in(person, directory.clock())
        if random:
            chosen = secrets.token_urlsafe(RANDOM_BYTES)
        else:
            chosen = click.prompt(f"Password of {person.email}", hide_input=True, confirmation_prompt="The same again")
        check_password(chosen)
        hashed = actions.HASHER.hash(chosen)
        async with directory.database.transaction() as tx:
            ended = await actions.set_hashed_password(tx, root, person.id, hashed, now=directory.clock())
        click.echo(f"the password of {person.email} is set; sessions that ended: {ended}; sign in at {sign_in_page()}", err=True)
        if random:
            click.echo(chosen)

    on_service("directory", work)


async def find_agent(conn: Connection, root: Asker, email: str, *, lock: bool = False) -> Person:
    """Raises Refusal."""
    from parvis_directory import queries
    from parvis_kit.problems import NotFound

    try:
        return await queries.agent_of_email_for(conn, root, email, lock=lock)
    except NotFound as missing:
        raise Refusal(f"{missing} `parvis onboard` brings a ministry's agents aboard, `parvis operator add` an operator") from None


def sign_in_page() -> str:
    platform = platform_of()
    return (platform.public_url or f"http://{platform.host}:{platform.port}").rstrip("/") + "/sign-in"


def read(body: type[B], **values: Any) -> B:
    """By the rules of the door that takes the same. Raises Refusal, which names the first value that is wrong."""
    from pydantic import ValidationError

    try:
        return body(**values)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        raise Refusal(f"{' '.join(map(str, wrong['loc']))}: {wrong['msg']}") from None
