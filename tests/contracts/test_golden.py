"""A recorded log of every kind of fact, as it was once published: whoever reads facts must read these for ever.

Run this file to record the kinds that are missing. What is recorded is never changed.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import parvis_contracts
import pytest
import sqlalchemy as sa
from parvis_kit.clock import utc_now
from parvis_kit.db import Database
from parvis_kit.events import StateFact
from parvis_kit.events.consumer import Consumer
from parvis_kit.events.facts import Envelope, declared
from parvis_kit.events.ledger import SqlLedger, stands_of
from parvis_kit.events.operate import parked, tables_by_consumer
from parvis_kit.events.ports import Batch, Record
from parvis_kit.events.reactions import Dispatcher
from parvis_kit.settings import Platform
from parvis_kit.testing.databases import Place
from parvis_roster import Freshness, projection, service_metadata, tables_of
from parvis_suite.assembly import flow_of, log_of, migrate
from parvis_suite.services import BUILDERS, build
from pydantic import SecretStr

RECORDED = Path(__file__).parent / "golden/facts.jsonl"
ROSTER = Path(__file__).parent / "golden/roster.json"
EXAMPLES = Path(parvis_contracts.__file__).parent / "examples"
KINDS = {name: kind for name, kind in declared().items() if kind.__module__.startswith("parvis_contracts.")}
NAMESPACE = UUID("019353a0-0000-7000-8000-000000000000")
BEGIN = datetime(2026, 11, 23, 9, tzinfo=UTC)


def recorded() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def records() -> Iterator[Record]:
    for offset, one in enumerate(recorded(), 1):
        data = None if one["data"] is None else one["data"].encode()
        envelope = Envelope(
            uuid5(NAMESPACE, str(offset)), one["type"], one["topic"], one["key"], datetime.fromisoformat(one["at"]), one["head"], data
        )
        yield Record("directory", offset, envelope)


def missing() -> list[dict[str, Any]]:
    """The kinds, and the tombstones of states, that nobody has recorded yet, made from their examples."""
    known = {(one["type"], one["data"] is None) for one in recorded()} if RECORDED.exists() else set()
    found = []
    for name, kind in KINDS.items():
        body = (EXAMPLES / f"{name}.json").read_bytes()
        fact = kind.model_validate_json(body)
        head = json.dumps({"source": f"/parvis/{kind.service()}", "correlationid": "golden"})
        line = {"type": name, "topic": kind.topic(), "key": fact.about, "at": BEGIN.isoformat(), "head": head}
        if (name, False) not in known:
            found.append(line | {"data": fact.model_dump_json()})
        if issubclass(kind, StateFact) and (name, True) not in known:
            found.append(line | {"key": str(uuid5(NAMESPACE, name)), "data": None})
    return found


def test_every_kind_of_fact_and_every_tombstone_is_recorded() -> None:
    assert missing() == [], "run this file to record them"


@pytest.mark.parametrize("commit", ["HEAD", "HEAD~1", "origin/main", "main"])
def test_what_was_recorded_is_never_changed(commit: str) -> None:
    name = f"{commit}:./{RECORDED.relative_to(Path(__file__).parent)}"
    with suppress(subprocess.CalledProcessError):  # there is no such commit here, or it had none yet
        before = subprocess.run(["git", "show", name], cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout
        assert RECORDED.read_text().startswith(before)


async def test_the_roster_still_reads_all_of_it(place: Place) -> None:
    database = await place.open("desk", service_metadata("desk"))
    keeper = projection("desk", Freshness(utc_now))
    async with database.transaction() as tx:
        await Dispatcher(keeper.consumer, keeper.on, utc_now)(tx, list(records()))
    assert await dumped(database) == json.loads(ROSTER.read_text())


async def dumped(database: Any) -> dict[str, list[Any]]:
    """Every row, as JSON says it."""
    found = {}
    async with database.read() as conn:
        for name, table in sorted(tables_of("desk").items()):
            rows = await conn.execute(sa.select(table).order_by(*table.primary_key))
            found[name] = json.loads(json.dumps([tuple(row) for row in rows], default=str))
    return found


@pytest.mark.parametrize("service", BUILDERS)
async def test_every_service_still_reads_all_of_it(service: str, place: Place) -> None:
    """Each fact alone, rolled back: its reaction may find nothing to do, and must not fail. Then all of them as a consumer takes them, in
    one batch that is kept: none of them is parked."""
    platform = Platform(database_url=SecretStr(place.url_of(service) if place.server else ""), data=place.folder)
    made = build(service, platform)
    try:
        await migrate([made], platform)
        consumers = tables_by_consumer(flow_of(made, log_of(platform)))
        assert consumers, "every service listens"
        for consumer, table in consumers.items():
            react = Dispatcher(consumer, table, utc_now)
            for record in records():
                with suppress(RolledBack):
                    async with made.database.transaction() as tx:
                        await react(tx, [record])
                        raise RolledBack
            await take_all(made.database, consumer, react)
    finally:
        await made.database.close()


async def take_all(database: Database, consumer: str, react: Dispatcher) -> None:
    """What is recorded, as one batch of the log."""
    batch = list(records())
    end = batch[-1].offset + 1
    taking = Consumer(consumer, NoMore(), SqlLedger(database, consumer, utc_now), react)
    assert await taking.settle([Batch("directory", 0, end, batch, at_end=True)])
    assert [(one.fact.type, one.reason, one.error) for one in await parked(database, consumer)] == []
    assert await stands_of(database, consumer) == {"directory": end}


class NoMore:
    """The end of the log."""

    async def fetch(self) -> Sequence[Batch]:
        return []

    async def report(self, offsets: Mapping[str, int]) -> None: ...

    def seek(self, partition: str, offset: int) -> None:
        raise AssertionError("nothing is to be read again")


class RolledBack(Exception):
    """What was tried was to leave nothing."""


if __name__ == "__main__":
    with RECORDED.open("a") as file:
        file.writelines(json.dumps(one) + "\n" for one in missing())
    print(f"{len(recorded())} facts are recorded in {RECORDED.name}")
