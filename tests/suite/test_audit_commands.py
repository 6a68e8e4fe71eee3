"""`parvis audit`: what an operator sees of what was done, and what is seen of the operator."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
import sqlalchemy as sa
from parvis_kit.audit import record
from parvis_kit.audit.keeping import tidy
from parvis_kit.audit.rows import tables_of
from parvis_kit.db import Database
from parvis_kit.settings import Platform
from parvis_suite.assembly import anchoring_of
from parvis_suite.services import build

from .conftest import Suite
from .test_event_commands import lit as lit  # a lantern with facts that wait

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
NORTH, SOUTH, ADA = UUID(int=1), UUID(int=2), UUID(int=10)
T = TypeVar("T")


def on(suite: Suite, work: Callable[[Database], Awaitable[T]]) -> T:
    async def main() -> T:
        service = build("lantern", Platform.read(suite.environ))
        try:
            return await work(service.database)
        finally:
            await service.database.close()

    return asyncio.run(main())


def keep(suite: Suite, at: datetime = AT) -> None:
    """What the running service does every few seconds."""
    anchoring = anchoring_of(Platform.read(suite.environ))
    on(suite, lambda database: tidy(database, lambda: at, anchoring))


async def act(database: Database, ministry: UUID = NORTH) -> None:
    async with database.transaction() as tx:
        for number in range(3):
            await record(tx, who=ADA, what="wick.trim", on=f"wick {number}", ministry=ministry, at=AT, where="192.0.2.1")


def change(suite: Suite, **values: Any) -> None:
    row = tables_of("lantern")["audit"]

    async def work(database: Database) -> None:
        async with database.transaction() as tx:
            await tx.execute(sa.update(row).where(row.c.ministry == str(NORTH), row.c.position == 2).values(values))

    on(suite, work)


def empty(suite: Suite, ministry: UUID = NORTH) -> None:
    """The chain of a ministry: its rows, and where it ends."""

    async def work(database: Database) -> None:
        async with database.transaction() as tx:
            for table in tables_of("lantern").values():
                await tx.execute(sa.delete(table).where(table.c.ministry == str(ministry)))

    on(suite, work)


@pytest.fixture
def kept(anywhere: Suite) -> Suite:
    assert anywhere("migrate").exit_code == 0
    on(anywhere, act)
    keep(anywhere)
    return anywhere


def test_what_is_whole_is_said_to_be(kept: Suite) -> None:
    result = kept("audit", "verify")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"ok     lantern {NORTH}: 3 rows, as anchored at 3, head ")


def test_before_anything_was_done_there_is_nothing_to_verify(anywhere: Suite) -> None:
    assert anywhere("migrate").exit_code == 0
    assert anywhere("audit", "verify").output == "nothing was written down yet\n"


@pytest.mark.parametrize("options", [[], ["--service", "lantern", "--ministry", str(NORTH)]])
def test_the_first_row_that_was_changed_is_named(kept: Suite, options: list[str]) -> None:
    change(kept, what="wick.light")
    result = kept("audit", "verify", *options)
    assert result.exit_code == 1
    assert result.output.startswith(f"BROKEN lantern {NORTH}: position 2 (row 2): changed")


def test_anchors_elsewhere_can_be_named(kept: Suite, tmp_path: Path) -> None:
    mine = Platform.read(kept.environ).anchors
    elsewhere = mine.rename(tmp_path / "kept-by-others.jsonl")
    assert "no anchor" in kept("audit", "verify").output
    assert "as anchored at 3" in kept("audit", "verify", "--anchors", str(elsewhere)).output
    elsewhere.write_text(elsewhere.read_text().replace('"position": 3', '"position": 7'))
    result = kept("audit", "verify", "--anchors", str(elsewhere))
    assert result.exit_code == 1 and "position 4: the tail was cut off: the chain was anchored at 7" in result.output
    elsewhere.write_text("nonsense\n")
    assert "line 1, is no anchor" in kept("audit", "verify", "--anchors", str(elsewhere)).output


def test_a_chain_whose_anchors_are_gone_is_no_longer_vouched_for(anywhere: Suite, tmp_path: Path) -> None:
    """Or whoever writes it anew would only have to take the anchors away."""
    place = tmp_path / "witness.jsonl"
    anywhere.environ["PARVIS_AUDIT_ANCHORS"] = str(place)
    assert anywhere("migrate").exit_code == 0
    assert anywhere("audit", "verify").exit_code == 0, "nothing is there to be anchored"
    on(anywhere, act)
    keep(anywhere)
    assert anywhere("audit", "verify").exit_code == 0
    place.rename(tmp_path / "elsewhere.jsonl")
    gone = anywhere("audit", "verify")
    assert gone.exit_code == 1 and gone.output.startswith(f"BARE   lantern {NORTH}: 3 rows fit") and str(place) in gone.output
    place.write_text("")
    assert anywhere("audit", "verify").exit_code == 1
    assert anywhere("audit", "verify", "--anchors", str(tmp_path / "elsewhere.jsonl")).exit_code == 0


def test_beside_the_databases_of_sqlite_anchors_are_missed_without_being_named(parvis: Suite) -> None:
    assert parvis("migrate").exit_code == 0
    on(parvis, act)
    keep(parvis)
    assert parvis("audit", "verify").exit_code == 0
    Platform.read(parvis.environ).anchors.unlink()
    gone = parvis("audit", "verify")
    assert gone.exit_code == 1 and gone.output.startswith(f"BARE   lantern {NORTH}: 3 rows fit"), gone.output


def test_an_emptied_audit_is_noticed_though_its_chains_ends_and_anchors_are_gone_too(kept: Suite) -> None:
    """What was there once was numbered, and no number is given out twice."""
    empty(kept)
    Platform.read(kept.environ).anchors.unlink()
    for options in ([], ["--service", "lantern", "--ministry", str(NORTH)]):
        gone = kept("audit", "verify", *options)
        assert gone.exit_code == 1 and "GONE   lantern: 3 rows were numbered and are not there" in gone.output, gone.output
        assert "nothing was written down yet" not in gone.output


def test_on_sqlite_each_chain_that_was_taken_out_is_noticed(parvis: Suite) -> None:
    assert parvis("migrate").exit_code == 0
    on(parvis, act)
    on(parvis, lambda database: act(database, ministry=SOUTH))
    keep(parvis)
    empty(parvis, NORTH)
    place = Platform.read(parvis.environ).anchors
    place.write_text("".join(line for line in place.read_text().splitlines(keepends=True) if str(NORTH) not in line))
    gone = parvis("audit", "verify")
    assert gone.exit_code == 1 and f"ok     lantern {SOUTH}: 3 rows" in gone.output, gone.output
    assert "GONE   lantern: 3 rows were numbered" in gone.output


def test_rows_that_are_in_no_chain_after_a_minute_are_named(anywhere: Suite) -> None:
    assert anywhere("migrate").exit_code == 0

    async def just_now(database: Database) -> None:
        async with database.transaction() as tx:
            await record(tx, who=ADA, what="wick.trim", on="wick 9", ministry=NORTH, at=datetime.now(UTC))

    on(anywhere, just_now)
    young = anywhere("audit", "verify")
    assert young.exit_code == 0 and "lantern: 1 rows wait to be chained" in young.output
    on(anywhere, act)
    late = anywhere("audit", "verify")
    assert late.exit_code == 1 and "LATE   lantern: 3 rows have waited for over a minute to be chained" in late.output
    keep(anywhere)
    assert anywhere("audit", "verify").exit_code == 0


def test_what_is_shown_leaves_a_row_of_who_looked_and_why(kept: Suite) -> None:
    assert kept("audit", "show", "--ministry", str(NORTH)).exit_code == 2, "a reason is asked for"
    shown = kept("audit", "show", "--ministry", str(NORTH), "--reason", "a complaint", "--limit", "2").output.splitlines()
    assert [line.split()[0] for line in shown] == ["lantern:3", "lantern:2"] and f"wick.trim done {ADA} wick 2 192.0.2.1" in shown[0]
    keep(kept)
    newest = kept("audit", "show", "--ministry", str(NORTH), "--reason", "again").output.splitlines()[0]
    assert " audit.read done operator " in newest and newest.endswith(" a complaint")


def test_who_is_erased_is_shown_no_more(kept: Suite) -> None:
    assert kept("audit", "erase", "--about", str(ADA), "--reason", "asked for").output == "lantern: 3 rows name nobody any more\n"
    shown = kept("audit", "show", "--ministry", str(NORTH), "--reason", "to see").output
    assert str(ADA) not in shown and shown.count("(erased)") == 3
    assert "4 rows, 3 erased" in kept("audit", "verify").output


def test_a_strange_name_of_a_chain_is_refused(kept: Suite) -> None:
    assert "no id of a ministry" in kept("audit", "verify", "--ministry", "north").output
    assert "there is no service 'candle'" in kept("audit", "verify", "--service", "candle").output


def test_what_an_operator_throws_away_is_written_down_with_its_reason(lit: Suite) -> None:
    lit("events", "discard", "lantern", "--key", "wet", "--reason", "rain", "--dry-run")
    assert lit("events", "discard", "lantern", "--key", "wet", "--reason", "rain").exit_code == 0
    assert lit("events", "accept-loss", "lantern", "--reason", "none").exit_code == 0
    keep(lit)
    lines = lit("audit", "show", "--ministry", "suite", "--reason", "to see").output.splitlines()
    assert len(lines) == 1, "a trial and nothing to accept are no acts"
    assert " events.discard lantern done operator " in lines[0] and " wet " in lines[0] and lines[0].endswith(" rain")
