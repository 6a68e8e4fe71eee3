"""`parvis audit`: whether the audit still says what it said, and what it says."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict
from uuid import UUID

import click

from parvis_suite.plainly import Refusal, at_keyboard, chosen, plain_words, plainly, platform_of, run_here

if TYPE_CHECKING:
    from parvis_kit.audit.anchors import Anchor
    from parvis_kit.audit.verify import Verdict
    from parvis_kit.db import Tx
    from parvis_kit.events.running import Flow, Note
    from parvis_kit.service import Service
    from parvis_kit.settings import Platform

SUITE = "suite"
"""How the chain of the suite's own acts is named: those that concern no ministry."""
ALWAYS_AUDITED = "directory"
"""Whose every fact is of an act that is written down with it, from its first signing key on: where it has spoken, there are rows."""
WAIT_MAX = timedelta(minutes=1)
"""Whoever runs a service chains its rows every two seconds."""


class Chain(click.ParamType[str]):
    """A ministry's id, or `suite`."""

    name = "ministry"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == SUITE:
            return ""
        try:
            return str(UUID(value))
        except ValueError:
            self.fail(f"{value!r} is no id of a ministry, and not `{SUITE}` for the acts that concern none", param, ctx)


@click.group()
def audit() -> None:
    """Verify, read and erase what was written down of each act."""


class AtKeyboard(TypedDict):
    """As the audit takes it."""

    who: str
    where: str


def operator() -> AtKeyboard:
    """Who is at the keyboard, and where, as far as the machine knows."""
    import socket

    return AtKeyboard(who=at_keyboard(), where=socket.gethostname())


def noted(flow: Flow, what: str, on: str, why: str) -> Note:
    """Writes an operator's act into the audit of the service that it concerns."""
    from parvis_kit.audit import record

    async def note(tx: Tx) -> None:
        await record(tx, what=what, on=on, ministry=None, at=flow.clock(), why=why, **operator())

    return note


@asynccontextmanager
async def services_of(name: str | None) -> AsyncIterator[list[Service]]:
    services = chosen((name,) if name else (), platform_of())
    try:
        yield services
    finally:
        for service in services:
            await service.database.close()


@audit.command()
@click.option("--service", help="Only of this service.")
@click.option("--ministry", type=Chain(), help=f"Only of this ministry; `{SUITE}`: what concerns none.")
@click.option("--anchors", type=click.Path(exists=True, path_type=Path), help="File or folder of anchors; by default PARVIS_AUDIT_ANCHORS.")
@plainly
def verify(service: str | None, ministry: str | None, anchors: Path | None) -> None:
    """Hash every row again. Exit status 1 names the first one that was changed, removed or put in, and what nothing vouches for."""
    promised = _promised(platform_of()) if anchors is None else None
    found, overdue, gone = run_here(_verify(service, ministry, _anchors(anchors)))
    bare = [one for one in found if promised and one.rows and not (one.anchors or one.broken)]
    for one in found:
        name = f"{one.service} {one.ministry or SUITE}"
        if one in bare:
            click.echo(
                f"BARE   {name}: {one.rows} rows fit, and {promised} holds no anchor of theirs, though each chain "
                "has one within seconds: a chain that was written anew would look the same. If the place was changed, bring its files along"
            )
        elif one.broken is None:
            against = f", as anchored at {one.anchors}" if one.anchors else ", no anchor"
            erased = f", {one.erased} erased" if one.erased else ""
            click.echo(f"ok     {name}: {one.rows} rows{erased}{against}, head {one.hash.hex()}")
        else:
            row = f" (row {one.broken.seq})" if one.broken.seq is not None else ""
            click.echo(f"BROKEN {name}: position {one.broken.position}{row}: {one.broken.how}")
    for name, rows in overdue.items():
        click.echo(f"LATE   {name}: {rows} rows have waited for over a minute to be chained, and can be changed unseen: does it run?")
    for name, how in gone.items():
        click.echo(f"GONE   {name}: {how}. Which they were, only anchors kept elsewhere tell (--anchors), or a backup")
    if not (found or overdue or gone):
        click.echo("nothing was written down yet")
    sys.exit(1 if bare or overdue or gone or any(one.broken for one in found) else 0)


def _promised(platform: Platform) -> str:
    """Where every chain must have an anchor: where the settings say, or beside the databases. On a server the processes that anchor may
    each have a data folder of their own, elsewhere."""
    if platform.audit_anchors is not None:
        return f"PARVIS_AUDIT_ANCHORS ({platform.audit_anchors})"
    return str(platform.anchors) if platform.is_sqlite else ""


def _anchors(place: Path | None) -> list[Anchor]:
    from parvis_kit.audit.anchors import NoAnchor, read

    where = place or platform_of().anchors
    try:
        return read(where) if where.exists() else []
    except NoAnchor as error:
        raise Refusal(str(error)) from None


async def _verify(
    name: str | None, ministry: str | None, anchors: Sequence[Anchor]
) -> tuple[list[Verdict], dict[str, int], dict[str, str]]:
    """What was found, and by service how many rows have waited too long to be part of a chain, and what shows that some were removed."""
    from parvis_kit.audit import verify

    found: list[Verdict] = []
    overdue: dict[str, int] = {}
    gone: dict[str, str] = {}
    async with services_of(name) as services:
        for service in services:
            chains = await verify.chains_of(service.database, anchors) if ministry is None else [ministry]
            found += [await verify.verify(service.database, one, anchors) for one in chains]
            if late := await verify.waiting(service.database, service.clock() - WAIT_MAX):
                overdue[service.name] = late
            elif left := await verify.waiting(service.database):
                click.echo(f"{service.name}: {left} rows wait to be chained; whoever runs it does so every few seconds", err=True)
            if how := await _removed(service):
                gone[service.name] = how
    return found, overdue, gone


async def _removed(service: Service) -> str:
    """What tells of rows that are nowhere any more, neither they nor their chain's end nor an anchor."""
    from parvis_kit.audit import verify

    database = service.database
    if number := await verify.removed(database):
        return f"{number} rows were numbered and are not there"
    if service.name == ALWAYS_AUDITED and not await verify.has_rows(database) and await verify.has_spoken(database):
        return "it has published facts, each of an act that is written down, and there is no row at all"
    return ""


@audit.command()
@click.option("--service", help="Only of this service.")
@click.option("--ministry", type=Chain(), required=True, help=f"Of this ministry; `{SUITE}`: what concerns none.")
@click.option("--about", default="", help="Only what was done to the thing of this id.")
@click.option("--before", type=int, help="Only what lies before this position.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many rows.")
@click.option("--reason", required=True, help="Why you look; it is written down.")
def show(service: str | None, ministry: str, about: str, before: int | None, limit: int, reason: str) -> None:
    """Show what was done, the newest first. That you looked, and why, becomes a row itself."""
    from parvis_kit.audit import consult

    async def work() -> None:
        async with services_of(service) as services:
            for each in services:
                async with each.database.transaction() as tx:
                    of, now = UUID(ministry) if ministry else None, each.clock()
                    rows = await consult(tx, of, why=reason, at=now, about=about, before=before, limit=limit, **operator())
                for row in rows:
                    names = "(erased)" if row.erased else f"{row.who} {row.about} {row.place} {row.reason}".rstrip()
                    click.echo(f"{each.name}:{row.position} {row.at:%Y-%m-%d %H:%M:%S} {row.what} {row.decision} {names}")

    with plain_words():
        run_here(work())


@audit.command()
@click.option("--about", required=True, help="The id of whoever is to be forgotten.")
@click.option("--reason", required=True, help="Why; it is written down.")
def erase(about: str, reason: str) -> None:
    """Forget in every service whom the rows by or about this id name. That something was done stays, and so do the chains."""
    from parvis_kit.audit.chain import erase as forget

    async def work() -> None:
        async with services_of(None) as services:
            for each in services:
                number = await forget(each.database, about, who=operator()["who"], why=reason, at=each.clock())
                click.echo(f"{each.name}: {number} rows name nobody any more")

    with plain_words():
        run_here(work())
