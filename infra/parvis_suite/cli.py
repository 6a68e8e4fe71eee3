"""The `parvis` command. Everything heavy is imported inside the commands: `parvis --help` answers at once."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from parvis_suite.plainly import Refusal, at_keyboard, chosen, known, plainly, platform_of, run_here, with_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parvis_kit.service import Doors, Service
    from parvis_kit.settings import Platform


class Moment(click.ParamType[datetime]):
    """A time with its offset from UTC."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            self.fail(f"{value!r} is no moment with an offset from UTC, as 2026-11-25T09:30:00+01:00", param, ctx)
        return found


ELSEWHERE = {
    "agent": "directory_commands",
    "audit": "audit_commands",
    "cost": "cost_commands",
    "events": "event_commands",
    "messaging": "messaging_commands",
    "ministry": "directory_commands",
    "onboard": "onboard_command",
    "operator": "directory_commands",
    "password": "directory_commands",
    "trace": "trace_command",
}
"""In which module of the suite each command is that is not here."""


class Commands(click.Group):
    """Those elsewhere are imported when they are asked for: a service that runs needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted((*super().list_commands(ctx), *ELSEWHERE))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        found: click.Command = getattr(import_module(f"parvis_suite.{ELSEWHERE[cmd_name]}"), cmd_name)
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="parvis")
def main() -> None:
    """Parvis: files, agendas, messages and their cost, for ministries that share one suite."""


@main.command()
@click.option("--demo", is_flag=True, help="Three fictitious ministries, and demo.json for scripts.")
@plainly
def up(demo: bool) -> None:
    """Run every service in this process, on SQLite files or on one PostgreSQL."""
    from parvis_kit.logs import set_up_logs
    from parvis_kit.serve import run

    from parvis_suite.assembly import own
    from parvis_suite.assembly import up as run_up
    from parvis_suite.operations import attach
    from parvis_suite.services import doors_of

    if demo:  # its agents sign in with passwords of their own
        os.environ.setdefault("PARVIS_DIRECTORY_LOCAL_SIGN_IN", "true")
    platform = with_port(platform_of())
    set_up_logs(platform.log_level)
    with own(platform.data):
        seed = _seed(platform) if demo else None
        services = attach(chosen((), platform), platform)
        run(run_up(services, platform, doors=doors_of(platform), seed=seed, told=_say_step))


def _seed(platform: Platform) -> Any:
    from functools import partial

    from parvis_suite.demo import seed

    return partial(seed, folder=platform.data)


def _say_step(service: str, step: str) -> None:
    click.echo(f"{service}: {step}", err=True)


@main.command()
@click.argument("service")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many processes share the port.")
@click.option("--shared", is_flag=True, hidden=True, help="Others listen on this port too: what a parent tells its workers.")
@plainly
def serve(service: str, workers: int, shared: bool) -> None:
    """Run one service, as often as there are workers."""
    from parvis_kit.logs import set_up_logs

    platform = platform_of()
    set_up_logs(platform.log_level)
    if workers > 1:
        run_here(_serve_workers(service, workers, platform))
    else:
        from parvis_kit.serve import run

        run(_serve(service, with_port(platform), shared))


async def _serve(name: str, platform: Platform, shared: bool) -> None:
    from parvis_kit.serve import serve as serve_until_told

    from parvis_suite.assembly import serving
    from parvis_suite.operations import attach

    services, doors = served(name, platform)
    await refuse_unready(services, platform)
    attach(services, platform)

    async def ready(_: object) -> None: ...

    await serve_until_told(serving(services, platform, ready, doors=doors, shared=shared))


async def refuse_unready(services: Sequence[Service], platform: Platform) -> None:
    """Raises CannotStart when what a service keeps, or where it speaks, is not as this version expects. A Kafka that is away is none of
    it: whoever is started again meanwhile serves as those do that ran on."""
    import logging

    from parvis_suite.assembly import LogAway, refuse_behind_head, refuse_wrong_topics

    await refuse_behind_head(services)
    if services and platform.is_kafka:
        try:
            await refuse_wrong_topics(platform)
        except LogAway as away:
            logging.getLogger(__name__).warning("started without the log, facts wait until it is back: %s", away)


def served(name: str, platform: Platform) -> tuple[list[Service], list[Doors]]:
    """The service of this name, or the doors that keep nothing."""
    from parvis_suite.services import WITHOUT_TABLES, doors_of

    return ([], doors_of(platform, (name,))) if name in WITHOUT_TABLES else (chosen((name,), platform), [])


async def _serve_workers(name: str, workers: int, platform: Platform) -> None:
    """Each worker looks whether it can serve, and says why not."""
    from parvis_kit.workers import WorkerRefused, hold_port, run_workers

    with hold_port(platform.host, platform.port) as held:
        port: int = held.getsockname()[1]
        first = platform.metrics_port if platform.metrics_port is not None else port + 1

        def environment_of(number: int) -> dict[str, str]:
            return {"PARVIS_PORT": str(port), "PARVIS_METRICS_PORT": str(first and first + number)}

        try:
            await run_workers(workers, [sys.executable, "-m", "parvis_suite", "serve", "--shared", name], environment_of)
        except WorkerRefused:
            raise Refusal(f"{name} cannot be served as things are: its workers have said why") from None


@main.command()
@click.argument("services", metavar="[SERVICE]...", nargs=-1)
@plainly
def migrate(services: tuple[str, ...]) -> None:
    """Bring the tables of all services, or of these, to this version; on PostgreSQL their roles and grants too."""
    from contextlib import nullcontext

    from parvis_suite import assembly

    platform = platform_of()
    steps: list[str] = []

    async def work() -> None:
        built = chosen(services, platform)
        try:
            await assembly.migrate(built, platform, told)
        finally:
            for each in built:
                await each.database.close()

    def told(name: str, step: str) -> None:
        steps.append(step)
        click.echo(f"{name}: {step}")

    with assembly.own(platform.data) if platform.is_sqlite else nullcontext():
        run_here(work())
    click.echo(f"{len(steps)} steps done" if steps else "nothing to do: all tables are at this version")


@main.command()
@click.option("--after-restore", "moment", type=Moment(), help="What was restored, up to this moment (2026-11-25T09:30:00+01:00)?")
@click.option("--repair", is_flag=True, help="After a restore, with nothing running: put right what can be.")
@plainly
def doctor(moment: datetime | None, repair: bool) -> None:
    """Say what is wrong with this installation, and what to do. Exit status 1 when something is."""
    from parvis_suite.doctor import examine

    if moment is not None:
        after_restore(moment, repair)
    if repair:
        raise click.UsageError("--repair goes with --after-restore")
    platform = platform_of()
    wrong = 0

    async def work() -> None:
        nonlocal wrong
        async for finding in examine(chosen((), platform), platform):
            wrong += not finding.well
            click.echo(f"{'ok   ' if finding.well else 'WRONG'} {finding.what}{'' if finding.well else f': {finding.todo}'}")

    run_here(work())
    sys.exit(1 if wrong else 0)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@plainly
def backup(folder: Path) -> None:
    """Copy an instance on SQLite, running or not, into a new FOLDER: a folder of data as of one moment, to start Parvis on."""
    from parvis_suite.backup import CannotBackUp, back_up

    try:
        moment = back_up(platform_of().data, folder)
    except CannotBackUp as error:
        raise Refusal(str(error)) from None
    at = moment.isoformat()
    click.echo(f"{folder} is as of {at}; to go on from it: `PARVIS_DATA={folder} parvis doctor --after-restore {at} --repair`")


def after_restore(moment: datetime, repair: bool) -> NoReturn:
    """What a restore leaves to be done, and a last line that says whether Parvis may be started."""
    from contextlib import nullcontext

    from parvis_suite import after_restore, assembly

    platform, wrong = platform_of(), 0

    async def work() -> None:
        nonlocal wrong
        async for finding in after_restore.examine(chosen((), platform), platform, moment, repair=repair, who=at_keyboard()):
            wrong += not finding.well
            click.echo(f"{'ok   ' if finding.well else 'WRONG'} {finding.what}{'' if finding.well else f': {finding.todo}'}")

    with assembly.own(platform.data) if platform.is_sqlite else nullcontext():
        run_here(work())
    click.echo("NOT YET: do what is said above, then run this again" if wrong else "READY: Parvis may be started")
    sys.exit(1 if wrong else 0)


@main.command()
@click.argument("service", required=False)
@plainly
def config(service: str | None) -> None:
    """Show the effective settings, where each comes from, secrets masked: the installation's and every service's, or one's."""
    from parvis_kit.settings import Platform, Settings, described, refuse_unknown

    from parvis_suite.services import WITHOUT_TABLES, settings_classes

    names = (service,) if service else ()
    classes: list[type[Settings]] = [Platform, *settings_classes(names if service in WITHOUT_TABLES else known(names))]
    for kind in classes:
        for one in described(kind.read(), os.environ):
            click.echo(f"{one.name}={one.value}  ({one.origin})\n    {one.sentence}")
    refuse_unknown(os.environ, (Platform, *settings_classes()))


@main.command()
@click.argument("service", required=False)
@plainly
def openapi(service: str | None) -> None:
    """Print the OpenAPI 3.1 document of a service, or of each, as they serve it."""
    import json

    from parvis_kit.http import openapi as document

    from parvis_suite.operations import attach

    platform = platform_of()
    services = attach(chosen((service,) if service else (), platform), platform)
    made = {each.name: document(each.name, each.routes) for each in services}
    click.echo(json.dumps(made[service] if service else made, indent=2, ensure_ascii=False))


@main.command()
@plainly
def asyncapi() -> None:
    """Print the AsyncAPI 3 document of what the services tell each other."""
    import json
    from importlib.metadata import version

    from parvis_kit.events.asyncapi import document

    from parvis_suite.contracts import kinds

    tables: dict[str, Any] = {}
    platform = platform_of()
    for each in chosen((), platform):
        if each.reactions:
            tables[each.name] = each.reactions
        tables |= {projection.consumer: projection.on for projection in each.projections}
    click.echo(json.dumps(document(kinds(), tables, version("parvis"), platform.kafka_partitions), indent=2, ensure_ascii=False))
