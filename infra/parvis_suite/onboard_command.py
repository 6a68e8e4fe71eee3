"""`parvis onboard`: a ministry's file of agents, tried, confirmed and worked through from the keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from parvis_suite.plainly import Refusal, at_keyboard, chosen, plainly, platform_of, run_here

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID
    from zoneinfo import ZoneInfo

    from parvis_directory.actions import Plan
    from parvis_directory.rules import Asker, Ministry
    from parvis_directory.rules.onboarding import Onboarding, Step
    from parvis_kit.db import Database
    from parvis_kit.service import Service
    from parvis_kit.settings import Platform

REJECTS_SHOWN = 20
"""The rest is in the file that --rejects writes."""
LOOK_SECONDS = 0.5
"""Between two looks at a file that another process works through."""


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--ministry", required=True, help="Its SIREN, or its id.")
@click.option("--dry-run", is_flag=True, help="Say what the file would do, and keep nothing.")
@click.option("--partial", is_flag=True, help="The file holds some agents only: whoever is not in it stays.")
@click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the refused lines, for Excel.")
@click.option("--confirm-deactivations", is_flag=True, help="Close the accounts that it shows, even when they are many.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@plainly
def onboard(file: Path, ministry: str, dry_run: bool, partial: bool, rejects: Path | None, confirm_deactivations: bool, yes: bool) -> None:
    """Bring a ministry's agents aboard from a CSV file, as Excel writes it. Interrupted, the same command goes on where it stopped."""
    platform = platform_of()
    [directory] = chosen(("directory",), platform)

    async def work() -> None:
        from parvis_suite.assembly import refuse_behind_head

        try:
            await refuse_behind_head([directory])
            plan = await onboard_file(directory, file, ministry, dry_run, not partial, rejects, confirm_deactivations, yes)
        finally:
            await directory.database.close()
        if plan is not None:
            await tell_price(platform, plan)

    run_here(work())


async def onboard_file(
    directory: Service, file: Path, named: str, dry_run: bool, complete: bool, rejects: Path | None, confirmed: bool, yes: bool
) -> Plan | None:
    """What a dry run found; None when it was no dry run."""
    from parvis_directory import actions, queries
    from parvis_directory.rules.onboarding import guard_rails
    from parvis_directory.rules.roster import FILE_BYTES_MAX
    from parvis_kit.context import acting_as

    acting_as("parvis onboard")
    database, now = directory.database, directory.clock()
    with file.open("rb") as opened:
        raw = opened.read(FILE_BYTES_MAX + 1)
    root = operator()
    ministry = await find_ministry(database, root, named)
    async with database.read() as conn:
        running = await queries.running_onboarding(conn, ministry.id)
    if running is not None and running[1] == actions.digest_of_file(raw, complete) and not dry_run:
        click.echo("this file is being worked through already: going on where it stopped")
        await follow(directory, running[0])
        return None
    plan = await actions.plan_onboarding(database, root, ministry.id, raw, complete=complete, zone=zone_of(directory), now=now)
    tell_plan(file, ministry, plan)
    if rejects is not None:
        write_rejects(rejects, plan)
    if dry_run:
        return plan
    if (why := guard_rails(plan.job)) and not confirmed:
        raise Refusal(f"look again: {'; '.join(why)}. If that is right, add --confirm-deactivations")
    if not yes:
        click.confirm("Do it?", abort=True)
    async with database.transaction() as tx:
        await actions.keep_plan(tx, root, plan, now=now)
        await actions.confirm_onboarding(tx, root, plan.job.id, accept_deactivations=confirmed, deactivations=plan.job.closings, now=now)
    await follow(directory, plan.job.id)
    return None


async def tell_price(platform: Platform, plan: Plan) -> None:
    """What those who would come would cost. The price is not the act: where it cannot be told, the reason is."""
    from parvis_billing.queries.simulations import simulation
    from parvis_kit.problems import Problem

    from parvis_suite.assembly import CannotStart, refuse_behind_head
    from parvis_suite.cost_price import price_lines
    from parvis_suite.services import BUILDERS

    if "billing" not in BUILDERS:
        return
    [billing] = chosen(("billing",), platform)
    try:
        await refuse_behind_head([billing])
        async with billing.database.read() as conn:
            found = await simulation(conn, plan.job.ministry_id, plan.job.plan.get("create", 0), now=billing.clock())
    except (Problem, CannotStart) as reason:
        click.echo(f"  what it would cost is not known yet: {reason}")
        return
    finally:
        await billing.database.close()
    for line in price_lines(found):
        click.echo(line)


def zone_of(directory: Service) -> ZoneInfo:
    """Whose midnight begins the day of arrivals and departures."""
    from parvis_directory.api.agents import ZONE

    zone: ZoneInfo = directory.handles[ZONE]
    return zone


def operator() -> Asker:
    """Whoever can open the database may do all."""
    from uuid import UUID

    from parvis_directory.rules import Asker

    return Asker(UUID(int=0), UUID(int=0), frozenset({"operator"}), at_keyboard())


async def all_ministries(database: Database, root: Asker) -> list[Ministry]:
    from uuid import UUID

    from parvis_directory import queries

    known: list[Ministry] = []
    after: UUID | None = None
    async with database.read() as conn:
        while True:
            page = await queries.ministries_for(conn, root, after, 100)
            known += page.items
            if page.next is None:
                return known
            after = UUID(page.next)


async def find_ministry(database: Database, root: Asker, named: str) -> Ministry:
    """By SIREN or id. Raises Refusal, naming those that there are."""
    known = await all_ministries(database, root)
    for one in known:
        if named in (one.siren, str(one.id)):
            return one
    there = ", ".join(f"{one.siren} ({one.name})" for one in known) or "none yet: `parvis ministry add` brings one aboard"
    raise Refusal(f"there is no ministry {named}; there is {there}")


def tell_plan(file: Path, ministry: Ministry, plan: Plan) -> None:
    from parvis_directory.rules.onboarding import ENDS_SOON, VERDICTS
    from parvis_directory.rules.reasons import said

    job = plan.job
    separator = {"\t": "tabs"}.get(job.separator, job.separator)
    click.echo(f"{file.name}, for {ministry.name}: {job.people} people, {job.encoding}, separated by {separator}")
    for title in job.ignored_columns:
        click.echo(f"  column not read: {title}")
    for name in job.new_directorates:
        click.echo(f"  new directorate: {name}")
    for verdict in VERDICTS:
        if number := job.plan.get(verdict):
            click.echo(f"  {number:7} {verdict}")
    if job.ends_soon:
        click.echo(f"  {job.ends_soon:7} of them end within {ENDS_SOON.days} days")
    refused = refused_of(plan.steps)
    for step in refused[:REJECTS_SHOWN]:
        click.echo(f"  line {step.line}: {said(step.code, step.about)}")
    if len(refused) > REJECTS_SHOWN:
        click.echo(f"  … and {len(refused) - REJECTS_SHOWN} more: --rejects FILE writes all of them")


def refused_of(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.verdict == "reject"]


def write_rejects(path: Path, plan: Plan) -> None:
    from parvis_directory.rules.rejects import rejects_head, rejects_line

    titles = plan.job.titles
    lines = "".join(rejects_line(titles, step, "fr") for step in refused_of(plan.steps))
    path.write_text(rejects_head(titles, "fr") + lines, encoding="utf-8", newline="")
    click.echo(f"wrote {path}")


async def follow(directory: Service, onboarding_id: UUID) -> None:
    """Work it through, or watch whoever does, to its end."""
    import asyncio

    from parvis_directory import actions, queries
    from parvis_kit.ids import new_id

    from parvis_suite.progress import progress

    database, owner, root, zone = directory.database, str(new_id()), operator(), zone_of(directory)

    async def look() -> Onboarding:
        async with database.read() as conn:
            return await queries.onboarding_for(conn, root, onboarding_id)

    job = await look()
    with progress("lines", job.steps) as tell:
        while job.state == "running":
            if not await actions.advance_onboarding(database, onboarding_id, owner, directory.clock, zone):
                await asyncio.sleep(LOOK_SECONDS if (await look()).state == "running" else 0)
            job = await look()
            tell(job.done_steps)
    if job.failed_why is not None:
        raise Refusal(job.failed_why)
    click.echo(f"{job.state}: " + (", ".join(f"{number} {verdict}" for verdict, number in sorted(job.done.items())) or "nothing to do"))
