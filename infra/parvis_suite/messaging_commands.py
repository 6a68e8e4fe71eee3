"""`parvis messaging`: the homeserver's registration, and messages that it refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from parvis_suite.plainly import Refusal, on_service, plainly, platform_of

if TYPE_CHECKING:
    from parvis_kit.service import Service


@click.group()
def messaging() -> None:
    """Make the homeserver's registration, and send again what it refused."""


@messaging.command()
@click.option("--url", required=True, help="Where the homeserver reaches messaging: http://messaging:8000.")
@click.option("--server-name", help="What Matrix ids end in; by default as messaging is set.")
@click.option("--write", "path", required=True, type=click.Path(path_type=Path), help="A new file, which its owner alone may read.")
@plainly
def registration(url: str, server_name: str | None, path: Path) -> None:
    """Make the file by which a Synapse and messaging know each other, with new tokens; both are given it."""
    from parvis_messaging.homeserver import registration as made_by
    from parvis_messaging.settings import Settings, server_name_of

    name = server_name or server_name_of(Settings.read().server_name, platform_of().public_url)
    try:
        made_by.write(path, made_by.made(name, url))
    except FileExistsError:
        raise Refusal(f"{path} is there already: other tokens take another file, and a restart of both") from None
    click.echo(f"wrote {path}, for {name}: PARVIS_MESSAGING_REGISTRATION_FILE for messaging, app_service_config_files for Synapse")


@messaging.command()
@plainly
def parked() -> None:
    """List what the homeserver refused for good in the last 30 days, and why."""

    async def work(service: Service) -> None:
        from parvis_messaging.queries import notices

        async with service.database.read() as conn:
            found = await notices.parked_deliveries(conn)
        for one in found:
            click.echo(f"{one.id:>8} {one.created_at:%Y-%m-%d %H:%M:%S} {one.lane:42} {one.what:20} {one.errcode}")
        if not found:
            click.echo("nothing is parked")

    on_service("messaging", work)


@messaging.command()
@click.argument("number", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="All that is parked.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent again.")
@plainly
def replay(number: int | None, everything: bool, dry_run: bool) -> None:
    """Send again what is parked under a NUMBER, or all: what has arrived meanwhile does not arrive twice."""
    if (number is None) is not everything:
        raise click.UsageError("name a number, or take --all")

    async def work(service: Service) -> None:
        from parvis_messaging import actions
        from parvis_messaging.queries import notices

        async with service.database.read() as conn:
            found = [one for one in await notices.parked_deliveries(conn) if number in (None, one.id)]
        if number is not None and not found:
            raise Refusal(f"nothing is parked under number {number}: `parvis messaging parked` lists what is")
        if not dry_run:
            async with service.database.transaction() as tx:
                await actions.replay_parked(tx, [one.id for one in found])
        for one in found:
            click.echo(f"{'would send' if dry_run else 'sends'} {one.id} again: {one.what} for {one.lane}")
        if not found:
            click.echo("nothing is parked")

    on_service("messaging", work)
