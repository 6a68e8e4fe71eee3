"""`parvis trace`: one request followed, from the proxy through its facts to what each service did about them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from parvis_suite.event_commands import Age, on_flows
from parvis_suite.plainly import Refusal, plainly, platform_of

if TYPE_CHECKING:
    from parvis_kit.events.running import Flow

    from parvis_suite.story import Known, Story


@click.command()
@click.argument("id")
@click.option(
    "--logs",
    multiple=True,
    metavar="PLACE",
    help="A file of JSON logs, a folder of *.log, or - for standard input; by default what lies in PARVIS_DATA.",
)
@click.option("--since", type=Age(), default=timedelta(days=1), show_default="1d", help="How far back facts are looked at: 15m, 1h, 7d.")
@plainly
def trace(id: str, logs: tuple[str, ...], since: timedelta) -> None:
    """Follow a request by its ID, its trace's, or a fact's: what was asked, what was said, what came of it."""
    from parvis_suite.story import Known, Story, lines_in, told

    known, story = Known({id.strip().lower(), id.strip()}), Story()
    places = places_of(logs)
    before: set[str] = set()
    while before != known.ids:  # a fact's id leads to its trace, which leads to what came before
        before = set(known.ids)
        read_facts(story, known, datetime.now(UTC) - since)
        if known.ids != before:
            continue
        story.lines = lines_in(places, known)
        if sys.stdin in places:  # it can be read but once
            break
    if not story.lines and not story.facts:
        looked = ", ".join("standard input" if not isinstance(one, Path) else str(one) for one in places) or "no logs"
        raise Refusal(
            f"nothing is known of {id} in {looked} and the facts since then. An answer's X-Request-Id, `request_id` and `trace` of a log "
            "line, and the id of a fact are what it takes; --logs says where logs lie, --since 7d looks further back."
        )
    click.echo("\n".join(told(story)))
    if not story.lines:
        click.echo("no log line speaks of it: --logs PLACE says where logs lie (journalctl -o cat | parvis trace ID --logs -)", err=True)


def places_of(logs: tuple[str, ...]) -> list[Path | IO[str]]:
    """Raises Refusal for one that is not there."""
    for one in logs:
        if one != "-" and not Path(one).exists():
            raise Refusal(f"--logs {one}: there is no such file or folder")
    if logs:
        return [sys.stdin if one == "-" else Path(one) for one in logs]
    data = platform_of().data
    return [data] if data.is_dir() else []


def read_facts(story: Story, known: Known, since: datetime) -> None:
    """Those that belong to it, of every service, and where they wait."""
    from parvis_kit.events import operate
    from parvis_kit.events.facts import declared

    from parvis_suite.story import belongs, trace_of

    async def work(each: list[Flow]) -> None:
        story.facts, story.parked = [], {}
        for flow in each:
            topics = sorted({one.topic() for one in declared().values() if one.service() == flow.service})
            if not topics:
                continue
            async for _, _, fact in operate.tail(flow, {flow.service: topics}, since=since):
                head = json.loads(fact.head)
                if belongs(fact, head, known):
                    known.add(str(fact.id), head.get("correlationid"), trace_of(head))
                    story.facts.append((fact, head))
        for flow in each:
            for one in await operate.parked(flow.database):
                story.parked.setdefault(str(one.fact.id), []).append(one)

    on_flows(work)
