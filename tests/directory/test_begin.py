"""An installation begins: from an empty database, by commands, to the first operator who signs in and brings a ministry's agents aboard."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import pytest
import sqlalchemy as sa
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner, Result
from parvis_directory.actions import sessions
from parvis_directory.app import build
from parvis_directory.rules import Role
from parvis_directory.settings import Settings
from parvis_kit.audit.rows import tables_of
from parvis_kit.http import mount
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_kit.testing.databases import Place
from parvis_suite.cli import main
from parvis_suite.directory_commands import ROLES
from pydantic import SecretStr

from .roster_files import file_of, person

SIREN, NAME = "110014016", "Ministère de l'Intérieur"
EMAIL = "claire.dubois@interieur.example.org"
PASSWORD = "une phrase assez longue"  # noqa: S105 (of this test)
NAMED = ("--ministry", SIREN, "--given-name", "Claire", "--family-name", "Dubois")
CHANGED = (("ministry", "add", SIREN, NAME), ("operator", "add", EMAIL, *NAMED))


@dataclass
class Ground:
    """Where nothing is yet, and `parvis` on it."""

    environ: dict[str, str]
    platform: Platform

    async def parvis(self, *arguments: str, answer: str = "", **environ: str) -> Result:
        """In a thread of its own, as the command runs a loop of its own."""
        environ = {"PARVIS_DIRECTORY_LOCAL_SIGN_IN": "true", **self.environ, **environ}
        return await asyncio.to_thread(CliRunner().invoke, main, arguments, input=answer, env=environ, prog_name="parvis")

    async def done(self, *arguments: str, answer: str = "") -> str:
        said = await self.parvis(*arguments, answer=answer)
        assert said.exit_code == 0, (arguments, said.output, said.exception)
        return said.output

    async def refused(self, *arguments: str, answer: str = "", **environ: str) -> str:
        """The one line that says what to do instead."""
        said = await self.parvis(*arguments, answer=answer, **environ)
        assert said.exit_code == 2, (arguments, said.output, said.exception)
        line = said.output.rstrip().splitlines()[-1]
        assert line.startswith("Error: "), said.output
        return line.removeprefix("Error: ")


@pytest.fixture
def ground(place: Place, database_kind: str, tmp_path: Path) -> Ground:
    data, url = tmp_path / "data", "" if database_kind == "sqlite" else place.url_of("")
    environ = {"PARVIS_DATA": str(data), "PARVIS_PUBLIC_URL": "http://parvis.test", **({"PARVIS_DATABASE_URL": url} if url else {})}
    return Ground(environ, Platform(data=data, database_url=SecretStr(url), access_log=False, public_url="http://parvis.test"))


@dataclass
class Door:
    """Directory as agents meet it, and whoever has signed in last."""

    service: Service
    client: "TestClient[Any, Any]"
    session: Any = None

    async def sign_in(self, password: str, email: str = EMAIL) -> int:
        async with self.client.post("/auth/sign-in", json={"email": email, "password": password}) as answer:
            self.session = await answer.json(content_type=None)
            return answer.status

    async def token(self) -> tuple[int, str]:
        async with self.client.post("/auth/token", headers={"X-CSRF-Token": self.session["csrf_token"]}) as answer:
            return answer.status, (await answer.json(content_type=None)).get("access_token", "")

    async def ask(self, method: str, path: str, token: str, status: int = 200, **how: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid4().hex, **how.pop("headers", {})}
        async with self.client.request(method, f"/api/directory/v1/{path}", headers=headers, **how) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()


@pytest.fixture
async def door(ground: Ground) -> AsyncIterator[Door]:
    """Begun with a ministry and an operator of it, who has no password yet."""
    await ground.done("migrate", "directory")
    for command in CHANGED:
        await ground.done(*command)
    directory = build(ground.platform, settings=Settings(local_sign_in=True), acknowledgements={})
    for run in directory.before:
        await run()
    app = web.Application()
    mount(app, directory, ground.platform)
    async with TestClient(TestServer(app)) as client:
        yield Door(directory, client)
    await directory.database.close()


async def test_from_nothing_to_an_agent_who_came_by_the_file_of_an_operator_who_signed_in(ground: Ground) -> None:
    assert "`parvis migrate`" in await ground.refused("ministry", "list")
    await ground.done("migrate", "directory")
    assert "there is none yet: `parvis ministry add SIREN NAME`" in await ground.done("ministry", "list")
    assert "none yet: `parvis ministry add`" in await ground.refused("operator", "add", EMAIL, *NAMED)
    aboard = await ground.done("ministry", "add", SIREN, NAME, "--directorate", "Direction du numérique")
    assert aboard.startswith(f"{SIREN} ({NAME}) is aboard, as ")
    ministry = aboard.split()[-1]
    assert await ground.done("ministry", "list") == f"{SIREN}  {ministry}  {NAME}\n"
    made = await ground.done("operator", "add", EMAIL, *NAMED)
    assert f"{EMAIL} is an operator" in made and f"`parvis password {EMAIL}`" in made
    assert await ground.done("operator", "add", EMAIL, *NAMED) == made, "done twice, it is done once"
    said = await ground.done("password", EMAIL, answer=f"{PASSWORD}\n{PASSWORD}\n")
    assert PASSWORD not in said and "sign in at http://parvis.test/sign-in" in said
    directory = build(ground.platform, settings=Settings(local_sign_in=True), acknowledgements={})
    for run in directory.before:
        await run()
    app = web.Application()
    mount(app, directory, ground.platform)
    async with TestClient(TestServer(app)) as client:
        door = Door(directory, client)
        assert await door.sign_in(PASSWORD) == 200
        _, token = await door.token()
        units = await door.ask("GET", f"ministries/{ministry}/directorates", token)
        assert [one["name"] for one in units] == ["Direction du numérique"]
        file = {"data": file_of([person(1, direction="Direction du numérique")]), "headers": {"Content-Type": "text/csv"}}
        job = await door.ask("POST", f"ministries/{ministry}/onboardings", token, 201, **file)
        await door.ask("POST", f"onboardings/{job['id']}/confirm", token, 202, json={})
        [sweep] = [one for one in directory.sweeps if one.name == "onboardings"]
        await sweep.action()
        people = await door.ask("GET", "agents", token)
        assert [(one["email"], one["roles"]) for one in people["items"]] == [
            (EMAIL, ["agent", "operator"]), ("agent1@interieur.example.org", ["agent"]),
        ]  # fmt: skip
    acts = tables_of("directory")["audit"].c
    async with directory.database.read() as conn:
        rows = [tuple(row) for row in await conn.execute(sa.select(acts.what, acts.who).order_by(acts.seq).limit(5))]
    await directory.database.close()
    assert [what for what, _ in rows if what != "signing_key.create"] == [
        "ministry.create", "directorate.create", "agent.create", "agent.password",
    ]  # fmt: skip
    assert all(who.startswith("operator ") for what, who in rows if what != "signing_key.create"), rows


async def test_a_new_password_ends_the_sessions_of_before_and_the_old_one(door: Door, ground: Ground) -> None:
    await ground.done("password", EMAIL, answer=f"{PASSWORD}\n{PASSWORD}\n")
    assert await door.sign_in(PASSWORD) == 200 and (await door.token())[0] == 200
    said = await ground.done("password", EMAIL, "--random")
    assert "sessions that ended: 1" in said
    assert (await door.token())[0] == 401
    assert await door.sign_in(PASSWORD) == 401
    assert await door.sign_in(said.split()[-1]) == 200


async def test_who_signs_in_by_a_password_that_is_changed_meanwhile_is_not_let_in(
    door: Door, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ground.done("password", EMAIL, answer=f"{PASSWORD}\n{PASSWORD}\n")
    fits, compared, changed = sessions._fits, asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly(hashed: str, password: str) -> bool:
        found = fits(hashed, password)
        loop.call_soon_threadsafe(compared.set)
        asyncio.run_coroutine_threadsafe(changed.wait(), loop).result(60)
        return found

    monkeypatch.setattr(sessions, "_fits", slowly)
    signing_in = asyncio.create_task(door.sign_in(PASSWORD))
    await compared.wait()
    await ground.done("password", EMAIL, "--random")
    changed.set()
    assert await signing_in == 401


async def test_roles_are_given_shown_and_taken(door: Door, ground: Ground) -> None:
    assert await ground.done("agent", "roles", EMAIL) == f"{EMAIL}: agent, operator\n"
    given = await ground.done("agent", "roles", EMAIL, "--give", "finance", "--give", "ministry_administrator")
    assert given == f"{EMAIL}: agent, finance, ministry_administrator, operator\n"
    taken = ("agent", "roles", EMAIL, "--take", "operator", "--take", "finance")
    assert await ground.done(*taken) == await ground.done(*taken) == f"{EMAIL}: agent, ministry_administrator\n"
    assert "is an operator" in await ground.done("operator", "add", EMAIL.upper(), *NAMED), "who is there already is given the role"
    assert await ground.done("agent", "roles", EMAIL) == f"{EMAIL}: agent, ministry_administrator, operator\n"


def test_the_roles_that_are_offered_are_those_that_there_are() -> None:
    assert {*ROLES, "agent"} == set(get_args(Role))


async def test_what_cannot_be_done_is_said_in_a_line(door: Door, ground: Ground) -> None:
    add, long = ("operator", "add"), "x" * 121
    for arguments, said in (
        (("ministry", "add", "11001401", NAME), "11001401 is no SIREN: nine digits"),
        (("ministry", "add", "110014017", NAME), "the last one must agree with the others"),
        (("ministry", "add", SIREN, NAME), f"SIREN {SIREN} is aboard already"),
        (("ministry", "add", "110068012", ""), "name: String should have at least 1 character"),
        (("ministry", "add", "110068012", long), "name: String should have at most 120 characters"),
        (("ministry", "add", "110068012", "É\x1b[2J"), "name: String should match pattern"),
        (("ministry", "add", "110068012", "Écologie", "--directorate", ""), "name: String should have at least 1 character"),
        (("ministry", "add", "110068012", "Écologie", "--directorate", "D", "--directorate", "D"), "has a directorate of the name D"),
        (("ministry", "add", "110068012"), "Missing argument 'NAME'"),
        ((*add, "nobody", *NAMED), "'nobody' is no e-mail address"),
        ((*add, "bob@interieur.example.org", *NAMED[2:]), "Missing option '--ministry'"),
        ((*add, "bob@interieur.example.org", "--ministry", "110068012", *NAMED[2:]), f"there is {SIREN} ({NAME})"),
        ((*add, "bob@interieur.example.org", *NAMED[:3], long, *NAMED[4:]), "given_name: String should have at most 120 characters"),
        ((*add, "bob@interieur.example.org", *NAMED[:5], ""), "family_name: String should have at least 1 character"),
        (("agent", "roles", "bob@interieur.example.org"), "There is no agent bob@interieur.example.org. `parvis onboard` brings"),
        (("agent", "roles", EMAIL, "--give", "agent"), "'agent' is not one of 'ministry_administrator', 'finance', 'operator'"),
        (("agent", "roles", EMAIL, "--give", "finance", "--take", "finance"), "finance: either give it or take it"),
        (("password", "bob@interieur.example.org"), "There is no agent bob@interieur.example.org"),
        (("password", EMAIL, "secret"), "Got unexpected extra argument"),
    ):
        assert said in await ground.refused(*arguments), arguments
    short = await ground.refused("password", EMAIL, answer="eleven char\neleven char\n")
    assert "12 to 256 letters" in short and "eleven char" not in short
    assert "12 to 256 letters" in await ground.refused("password", EMAIL, answer=f"{PASSWORD}\x7f\n{PASSWORD}\x7f\n")
    closed = await ground.refused("password", EMAIL, PARVIS_DIRECTORY_LOCAL_SIGN_IN="false")
    assert "set PARVIS_DIRECTORY_LOCAL_SIGN_IN=true" in closed and "ProConnect is not built yet" in closed
    assert len((await ground.done("ministry", "list")).splitlines()) == 1, "what was refused has left nothing"


async def test_whose_account_is_closed_and_who_is_another_ministry_s_is_not_made_an_operator(door: Door, ground: Ground) -> None:
    await ground.done("ministry", "add", "110068012", "Écologie")
    elsewhere = await ground.refused("operator", "add", EMAIL, "--ministry", "110068012", *NAMED[2:])
    assert "is an agent of another ministry" in elsewhere
    await ground.done("password", EMAIL, answer=f"{PASSWORD}\n{PASSWORD}\n")
    await door.sign_in(PASSWORD)
    _, token = await door.token()
    one = await door.ask("GET", f"agents/{door.session['agent_id']}", token)
    etag = {"If-Match": f'"{one["revision"]}"'}
    await door.ask("PATCH", f"agents/{one['id']}", token, json={"state": "suspended"}, headers=etag)
    for command in (("operator", "add", EMAIL, *NAMED), ("password", EMAIL, "--random")):
        assert f"The account of {EMAIL} is suspended: nobody signs in by it." in await ground.refused(*command)
    await ground.done("operator", "add", "karim.benali@interieur.example.org", *NAMED)
    await ground.done("password", "karim.benali@interieur.example.org", answer=f"{PASSWORD}\n{PASSWORD}\n")
    await door.sign_in(PASSWORD, "karim.benali@interieur.example.org")
    _, token = await door.token()
    await door.ask("PATCH", f"agents/{one['id']}", token, json={"state": "left"}, headers={"If-Match": '"2"'})
    assert "is left: nobody signs in by it" in await ground.refused("password", EMAIL)
    assert "Who had this e-mail has left, and some service has not done its part yet" in await ground.refused(
        "operator", "add", EMAIL, *NAMED
    )
    [settle] = [one for one in door.service.sweeps if one.name == "departures"]
    await settle.action()
    assert one["id"] not in await ground.done("operator", "add", EMAIL, *NAMED), "another account, for whoever has the address now"


async def test_a_directory_whose_audit_never_was_is_not_believed(ground: Ground) -> None:
    """Even when whoever emptied it has made the database forget how many rows there were: what it has told the others stays."""
    await ground.done("migrate", "directory")
    assert await ground.done("audit", "verify", "--service", "directory") == "nothing was written down yet\n"
    await ground.done("ministry", "add", SIREN, NAME)
    await ground.done("audit", "verify", "--service", "directory")
    directory = build(ground.platform, settings=Settings(local_sign_in=True), acknowledgements={})
    forget = "DELETE FROM directory.sqlite_sequence WHERE name = 'audit'"
    if not directory.database.is_sqlite:
        forget = "SELECT setval('directory.audit_seq_seq', 1, false)"
    async with directory.database.transaction() as tx:
        await tx.execute(sa.delete(tables_of("directory")["audit"]))
        await tx.execute(sa.text(forget))
    await directory.database.close()
    verified = await ground.parvis("audit", "verify", "--service", "directory")
    assert verified.exit_code == 1 and "GONE   directory: it has published facts" in verified.output, verified.output
