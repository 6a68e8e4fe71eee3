"""`parvis events`: what an operator does with the log."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from parvis_suite.plainly import chosen, plain_words, platform_of, run_here

if TYPE_CHECKING:
    from parvis_kit.events import Projection
    from parvis_kit.events.facts import Envelope
    from parvis_kit.events.running import Flow

T = TypeVar("T")
LOOK_SECONDS = 0.2
"""Between two looks at how far a rebuild is."""
FULL = ", as many as may be: it stands still"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Age(click.ParamType[timedelta]):
    """`90s`, `15m`, `1h`, `7d`."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        number, unit = str(value)[:-1], str(value)[-1:]
        if unit not in SECONDS or not number.isdecimal():
            self.fail(f"{value!r} is no age: 90s, 15m, 1h, 7d", param, ctx)
        return timedelta(seconds=int(number) * SECONDS[unit])


@click.group()
def events() -> None:
    """Look at the log of facts, and repair what waits."""


@asynccontextmanager
async def flows() -> AsyncIterator[list[Flow]]:
    """The facts of every service, as they would run here."""
    from parvis_suite.assembly import flow_of, log_of

    platform = platform_of()
    services = chosen((), platform)
    try:
        yield [flow_of(service, log_of(platform)) for service in services]
    finally:
        for service in services:
            await service.database.close()


def on_flows(work: Callable[[list[Flow]], Awaitable[T]]) -> T:
    """Run it; what has a name is said in one line."""

    async def run() -> T:
        async with flows() as each:
            return await work(each)

    with plain_words():
        return run_here(run())


def consumer_called(each: Sequence[Flow], name: str) -> tuple[Flow, str]:
    """The flow that a consumer belongs to, and its whole name: `directory`, `files.roster@1`, or `files.roster` for whichever version.

    Raises NotFound, naming all, and Conflict for what computes a projection beside it.
    """
    from parvis_kit.events.operate import tables_by_consumer
    from parvis_kit.problems import Conflict, NotFound

    names: list[str] = []
    for flow in each:
        whole = {projection.name: projection.consumer for projection in flow.projections}.get(name, name)
        mine = tables_by_consumer(flow)
        if whole in mine:
            return flow, whole
        for projection in flow.projections:
            if name in (projection.builder, projection.next_name):
                raise Conflict(f"{name} is there only while it is computed: what waits of it is {projection.consumer}'s once that serves")
        names += mine
    raise NotFound(f"there is no consumer {name!r}; there is {', '.join(sorted(names)) or 'none'}")


@events.command()
@click.argument("topic", required=False)
@click.option("--type", "kind", help="Only facts of this type.")
@click.option("--key", help="Only facts about this id.")
@click.option("--since", type=Age(), help="Only what happened within this age: 15m, 1h, 7d.")
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="A CloudEvent in JSON a line.")
def tail(topic: str | None, kind: str | None, key: str | None, since: timedelta | None, follow: bool, as_json: bool) -> None:
    """Show facts of the log, of one TOPIC or of all."""
    import asyncio

    from parvis_kit.events import operate

    from parvis_suite.contracts import kinds

    async def work(each: list[Flow]) -> None:
        mine = {flow.service: flow for flow in each}
        topics: dict[str, list[str]] = {}
        for one in kinds().values():
            if one.service() in mine and topic in (None, one.topic()) and one.topic() not in topics.get(one.service(), []):
                topics.setdefault(one.service(), []).append(one.topic())
        if not topics:
            known = ", ".join(sorted({one.topic() for one in kinds().values()}))
            raise click.UsageError(f"there is no topic {topic!r}; there is {known}")
        start = datetime.now(UTC) - since if since else None

        async def show(publisher: str) -> None:
            wanted = {publisher: topics[publisher]}  # each publisher's log is read under its own role
            async for partition, offset, fact in operate.tail(mine[publisher], wanted, since=start, follow=follow):
                if kind in (None, fact.type) and key in (None, fact.key):
                    click.echo(as_cloud_event(fact) if as_json else as_line(partition, offset, fact))

        if follow:  # at once, for none of them ends
            await asyncio.gather(*map(show, topics))
        else:
            for publisher in topics:
                await show(publisher)

    on_flows(work)


def as_line(partition: str, offset: int, fact: Envelope) -> str:
    body = "erased" if fact.data is None else fact.data.decode(errors="replace")
    return f"{partition}:{offset} {fact.at:%Y-%m-%d %H:%M:%S} {fact.type} {fact.key} {body}"


def as_cloud_event(fact: Envelope) -> str:
    """In the JSON format; bytes that are none, a parked fact's perhaps, as `data_base64`."""
    import json
    from base64 import b64encode

    data: dict[str, Any] = {}
    if fact.data is not None:
        try:
            data["data"] = json.loads(fact.data)
        except ValueError:
            data["data_base64"] = b64encode(fact.data).decode()
    attributes = {"specversion": "1.0", "id": str(fact.id), "type": fact.type, "time": fact.at.isoformat(), "subject": fact.key}
    return json.dumps({**attributes, **json.loads(fact.head), **data}, ensure_ascii=False)


@events.command()
@click.argument("service", required=False)
@click.option("--max", "most", type=Age(), help="Exit with 1 when a consumer is further behind, or an outbox: a probe.")
def lag(service: str | None, most: timedelta | None) -> None:
    """Show what waits in each outbox and how far each consumer is behind, in facts and in seconds; of one SERVICE or of all."""
    from parvis_kit.events import operate

    async def work(each: list[Flow]) -> float:
        asked = [flow for flow in each if service in (None, flow.service)]
        if not asked:
            raise click.UsageError(f"there is no service {service!r}; there is {', '.join(flow.service for flow in each)}")
        worst = 0.0
        for flow in asked:  # at first what is known though the log be away
            waiting = await operate.outbox(flow)
            worst = max(worst, waiting.seconds)
            if flow.has_outbox:
                click.echo(f"{flow.service:32} {'(outbox)':12} {waiting.facts:>9} facts {waiting.seconds:>10.1f} s")
        for flow in asked:
            parked = await operate.parked_numbers(flow.database)
            for one in await operate.lag(flow):
                worst = max(worst, one.seconds)
                mine = parked.get(one.consumer)
                waits = f"   {mine.facts} parked{FULL if mine.is_full else ''}" if mine else ""
                click.echo(f"{one.consumer:32} {one.publisher:12} {one.facts:>9} facts {one.seconds:>10.1f} s{waits}")
        return worst

    if on_flows(work) > (most.total_seconds() if most else float("inf")):
        sys.exit(1)


@events.command()
@click.argument("consumer", required=False)
@click.option("--show", type=int, metavar="SEQ", help="One of them whole.")
def parked(consumer: str | None, show: int | None) -> None:
    """List the facts that wait, and why; those behind a failed one wait for their turn."""

    from parvis_kit.events import operate

    async def work(each: list[Flow]) -> None:
        asked, whole = each, consumer
        if consumer is not None:
            flow, whole = consumer_called(each, consumer)
            asked = [flow]
        if show is None:
            await listed(asked, whole)
            return
        found = [one for flow in asked for one in await operate.parked(flow.database, whole, start=show, limit=1) if one.seq == show]
        if not found:
            raise click.UsageError(f"nothing is parked under number {show}: `parvis events parked` lists what is")
        for one in found:  # each service counts its own: two may have the same
            body = (one.fact.data or b"erased").decode(errors="replace")
            click.echo(f"{one.reason} after {one.attempts} attempts, since {one.parked_at:%Y-%m-%d %H:%M:%S}\n{one.error}")
            click.echo(f"{one.fact.type} about {one.fact.key}, {one.fact.id}\n{one.fact.head}\n{body}")

    on_flows(work)


async def listed(asked: Sequence[Flow], consumer: str | None) -> None:
    """What waits, a line each; of what is too much to be shown, how much it is."""
    from parvis_kit.events import operate

    nothing = True
    for flow in asked:
        numbers = await operate.parked_numbers(flow.database)
        shown = await operate.parked(flow.database, consumer)
        for one in shown:
            click.echo(f"{one.seq:>6} {one.consumer:24} {one.fact.type:36} {one.fact.key:36} {one.reason}: {one.error[:80]}")
        hidden = sum(number.facts for name, number in numbers.items() if consumer in (None, name)) - len(shown)
        if hidden > 0:
            click.echo(f"and {hidden} more of {flow.service}, parked later: replay and discard take them too")
        nothing = nothing and not shown
    if nothing:
        click.echo("nothing is parked")


@events.command()
@click.argument("consumer")
@click.option("--key", help="What the facts are about.")
@click.option("--all", "all_keys", is_flag=True, help="Every key that waits.")
@click.option("--dry-run", is_flag=True, help="Say what would be replayed.")
def replay(consumer: str, key: str | None, all_keys: bool, dry_run: bool) -> None:
    """Apply what waits, in order, one transaction a key; what still fails stays parked."""
    from parvis_kit.events import operate

    if (key is None) is not all_keys:
        raise click.UsageError("name a --key, or take --all")

    async def work(each: list[Flow]) -> int:
        flow, whole = consumer_called(each, consumer)
        failed = 0
        for lane in await operate.parked_lanes(flow.database, whole, key):
            if dry_run:
                click.echo(f"would replay {lane[1]} of {lane[0]}")
                continue
            try:
                number = await operate.replay_lane(flow, whole, lane)
                click.echo(f"{lane[1]} of {lane[0]}: {number} facts applied")
            except Exception as error:  # noqa: BLE001 (whatever the reaction raises, the other keys have their turn)
                failed += 1
                click.echo(f"{lane[1]} of {lane[0]}: still fails, still parked: {error!r}", err=True)
        return failed

    if on_flows(work):
        sys.exit(1)


@events.command()
@click.argument("consumer")
@click.option("--key", required=True, help="What the facts are about.")
@click.option("--reason", required=True, help="For the record: why their effects may be missing.")
@click.option("--dry-run", is_flag=True, help="Say what would be discarded.")
def discard(consumer: str, key: str, reason: str, dry_run: bool) -> None:
    """Throw away what waits under a key, unapplied; later facts of it pass again."""
    from parvis_kit.events import operate

    from parvis_suite.audit_commands import noted

    async def work(each: list[Flow]) -> None:
        flow, whole = consumer_called(each, consumer)
        note = noted(flow, f"events.discard {whole}", key, reason)
        for lane, waiting in (await operate.parked_lanes(flow.database, whole, key)).items():
            records = [] if dry_run else await operate.discard_lane(flow, whole, lane, note)
            number = waiting if dry_run else len(records)
            click.echo(f"{'would discard' if dry_run else 'discarded'} {number} facts of {lane[1]} on {lane[0]}: {reason}")
            for record in records:
                click.echo(f"  {record.fact.id} {record.fact.type} {(record.fact.data or b'erased').decode(errors='replace')}")

    on_flows(work)


@events.command()
@click.argument("projection")
@click.option("--watch", is_flag=True, help="Stay, and show how far it has come, until it has caught up.")
def rebuild(projection: str, watch: bool) -> None:
    """Have a projection computed again from the beginning of the log, beside the one that serves until it has caught up."""
    from parvis_kit.events import operate

    async def work(each: list[Flow]) -> None:
        flow, _ = consumer_called(each, projection)
        done = await operate.rebuild(flow, projection)
        click.echo(f"{done.name} is computed again by whoever runs it: `parvis events lag` shows how far {done.builder} is")
        if watch:
            await watched(flow, done)

    on_flows(work)


async def watched(flow: Flow, projection: Projection) -> None:
    """Until what was computed serves, or has handled all that the log holds."""
    import asyncio

    from parvis_kit.events import operate

    from parvis_suite.progress import progress

    async def waiting() -> int:
        builder = projection.builder if await operate.building(flow) else projection.consumer
        return sum(one.facts for one in await operate.lag(flow) if one.consumer == builder)

    total = await waiting()
    with progress(projection.name, total) as tell:
        while (left := await waiting()) or await operate.building(flow):
            tell(max(0, total - left))
            await asyncio.sleep(LOOK_SECONDS)
        tell(total)


@events.command("accept-loss")
@click.argument("consumer")
@click.option("--reason", required=True, help="For the record: why the facts that the log no longer holds may be missing.")
def accept_loss(consumer: str, reason: str) -> None:
    """Let a consumer that the log has left behind go on from where the log begins."""
    from parvis_kit.events import operate

    from parvis_suite.audit_commands import noted

    async def work(each: list[Flow]) -> None:
        flow, whole = consumer_called(each, consumer)
        skipped = await operate.accept_loss(flow, whole, noted(flow, "events.accept-loss", whole, reason))
        for partition, number in skipped.items():
            does = f"skips {number} positions of" if number > 0 else "begins anew with"
            click.echo(f"{consumer} {does} {partition}: {reason}")
        if not skipped:
            click.echo(f"nothing to accept: the log still holds all that {consumer} has not read")

    on_flows(work)


@events.command()
@click.option("--write", is_flag=True, help="Write the revisions that are new.")
def check(write: bool) -> None:
    """Compare the facts' schemas with every revision ever published. Exit status 1 when a reader could not bear the change."""
    from parvis_kit.events import schemas

    from parvis_suite.contracts import SCHEMAS, kinds

    if write:
        for name in schemas.write(SCHEMAS, kinds()):
            click.echo(f"wrote {name}")
    wrong = schemas.check(SCHEMAS, kinds())
    click.echo("\n".join(wrong) or f"{len(kinds())} kinds of facts, all as published")
    if wrong:
        sys.exit(1)
