"""`parvis events`: what an operator sees of the log, and mends."""

import asyncio
import base64
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
import sqlalchemy as sa
from parvis_kit.background import Background
from parvis_kit.events import publish
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.operate import lag
from parvis_kit.events.running import Flow
from parvis_kit.settings import Platform
from parvis_kit.testing.databases import DATABASES
from parvis_kit.testing.kafka import put, records_of
from parvis_kit.testing.waiting import until
from parvis_suite import contracts
from parvis_suite.assembly import background_of, flow_of, log_of
from parvis_suite.progress import progress
from parvis_suite.services import build

from .conftest import Suite

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.fixture(params=[*DATABASES, "kafka"])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stand_in() -> Any:
    return sys.modules["stand_in.app"]


def live(suite: Suite, wicks: Sequence[str], *, consuming: bool = True) -> list[str]:
    """Light these wicks in this order, and let all consumers come to the end; returns which burn."""

    async def main() -> list[str]:
        platform = Platform.read(suite.environ)
        service, background = build("lantern", platform), Background()
        try:
            for wick in wicks:
                async with service.database.transaction() as tx:
                    publish(tx, stand_in().WickLit(at=AT, about=wick))
            work = background_of([service], platform)
            background.start(work if consuming else {name: run for name, run in work.items() if name == "lantern.relay"})

            async def settled() -> bool:
                async with service.database.read() as conn:
                    pending = (await conn.execute(sa.select(sa.func.count()).select_from(tables_of("lantern")["outbox"]))).scalar_one()
                    row = tables_of("lantern")["projection"].c
                    unbuilt = (await conn.execute(sa.select(sa.func.count()).where(row.built_at.is_(None)))).scalar_one()
                    behind = sum(one.facts for one in await lag(flow_of(service, log_of(platform))))
                return not pending and (not (behind or unbuilt) or not consuming)

            await until(settled, "the log has settled")
            async with service.database.read() as conn:
                return [row[0] for row in await conn.execute(sa.select(stand_in().LIT.c.wick).order_by(stand_in().LIT.c.wick))]
        finally:
            await background.stop()
            await service.database.close()

    return asyncio.run(main())


@pytest.fixture
def lit(anywhere: Suite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Suite]:
    """A dry wick burns; a wet one failed, and another lighting of it waits behind."""
    assert anywhere("migrate").exit_code == 0
    known = {**contracts.kinds(), "lantern.wick.lit.v1": stand_in().WickLit}
    monkeypatch.setattr(contracts, "kinds", lambda: known)
    assert live(anywhere, ["dry", "wet", "wet"]) == ["dry"]
    yield anywhere


def test_tail_shows_what_happened(lit: Suite) -> None:
    lines = lit("events", "tail").output.splitlines()
    assert [line.split()[3:5] for line in lines] == [["lantern.wick.lit.v1", key] for key in ("dry", "wet", "wet")]
    assert len(lit("events", "tail", "--key", "wet").output.splitlines()) == 2
    assert lit("events", "tail", "--type", "lantern.wick.blown.v1").output == ""
    assert lit("events", "tail", "--since", "1s").output == ""


def test_tail_speaks_cloudevents(lit: Suite) -> None:
    one = json.loads(lit("events", "tail", "parvis.lantern.wick", "--json").output.splitlines()[0])
    assert (one["specversion"], one["type"], one["subject"], one["source"]) == ("1.0", "lantern.wick.lit.v1", "dry", "/parvis/lantern")
    assert one["data"]["about"] == "dry"


def test_an_unknown_topic_and_a_strange_age_are_refused(lit: Suite) -> None:
    said = lit("events", "tail", "parvis.candle").output
    assert "there is no topic 'parvis.candle'; there is parvis." in said and " parvis.directory.agent," in said
    assert "'soon' is no age: 90s, 15m, 1h, 7d" in lit("events", "lag", "--max", "soon").output


def test_bytes_that_are_no_json_are_shown_all_the_same(lit: Suite) -> None:
    platform = Platform.read(lit.environ)

    async def spoil() -> None:
        if platform.is_kafka:
            [dry] = [one for one in await records_of(platform, "parvis.lantern.wick") if one.key == b"dry"]
            await put(platform, "parvis.lantern.wick", b"dry", b"\xff{", dry.headers)
            return
        service, log = build("lantern", platform), tables_of("lantern")["log"]
        async with service.database.transaction() as tx:
            await tx.execute(sa.update(log).where(log.c.key == "dry").values(data=b"\xff{"))
        await service.database.close()

    asyncio.run(spoil())
    shown = [json.loads(line) for line in lit("events", "tail", "--json").output.splitlines()]
    [spoilt] = [one for one in shown if "data" not in one]
    assert spoilt["subject"] == "dry" and base64.b64decode(spoilt["data_base64"]) == b"\xff{"
    assert [one["data"]["about"] for one in shown if one["subject"] == "wet"] == ["wet", "wet"]


def test_lag_is_a_probe(lit: Suite) -> None:
    assert lit("events", "lag", "--max", "30s").exit_code == 0
    live(lit, ["late"], consuming=False)
    behind = lit("events", "lag", "--max", "30s")
    assert behind.exit_code == 1
    assert [line.split()[:4] for line in behind.output.splitlines() if "(outbox)" not in line] == [
        ["lantern", "lantern", "1", "facts"],
        ["lantern.times@1", "lantern", "1", "facts"],
    ]


def test_who_stands_still_since_no_more_may_be_parked_is_named(lit: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    def lagging() -> str:
        [line] = [line for line in lit("events", "lag").output.splitlines() if "parked" in line]
        return line

    assert lagging().endswith(" s   2 parked")
    with monkeypatch.context() as limits:
        limits.setattr("parvis_kit.events.operate.PARKED_FACTS_MAX", 2)
        assert lagging().endswith(" s   2 parked, as many as may be: it stands still")
    monkeypatch.setattr("parvis_kit.events.operate.PARKED_LANES_MAX", 1)
    doctor = lit("doctor").output
    assert "WRONG lantern: as much is parked as may be, and it stands still: mend what `parvis events parked lantern` tells" in doctor


def test_facts_that_nobody_takes_from_the_outbox_are_seen_by_the_probe_and_by_the_doctor(lit: Suite) -> None:
    """No consumer lags behind a log that they have not reached."""
    if "PARVIS_DATABASE_URL" not in lit.environ:
        assert "outbox" not in lit("events", "lag").output and "outbox" not in lit("doctor").output, "SQLite's facts need no relay"
        return
    assert "lantern: 0 facts wait in its outbox" in lit("doctor").output

    async def strand() -> None:
        service = build("lantern", Platform.read(lit.environ))
        async with service.database.transaction() as tx:
            publish(tx, *(stand_in().WickLit(at=AT, about="dry") for _ in range(50)))
        await service.database.close()

    asyncio.run(strand())
    probe = lit("events", "lag", "lantern", "--max", "1h")
    assert probe.exit_code == 1
    [outbox, *consumers] = [line.split() for line in probe.output.splitlines()]
    assert outbox[:4] == ["lantern", "(outbox)", "50", "facts"] and float(outbox[4]) > 3600
    assert [line[2] for line in consumers] == ["0", "0"]
    [said] = [line for line in lit("doctor").output.splitlines() if "outbox" in line]
    assert said.startswith("WRONG lantern: 50 facts wait in its outbox, the oldest ") and "no relay takes them to the log" in said
    assert "there is no service 'candle'; there is lantern" in lit("events", "lag", "candle").output


def test_what_waits_is_listed_with_its_reason(lit: Suite) -> None:
    lines = lit("events", "parked").output.splitlines()
    assert len(lines) == 2
    assert "a wet wick does not burn" in lines[0]
    unknown = lit("events", "parked", "--show", "4711")
    assert unknown.exit_code == 2 and "nothing is parked under number 4711" in unknown.output
    number = lines[0].split()[0]
    assert "Traceback" in lit("events", "parked", "lantern", "--show", number).output or "RuntimeError" in lines[0]


def test_a_replay_that_fails_again_leaves_all_of_it_parked(lit: Suite) -> None:
    result = lit("events", "replay", "lantern", "--all")
    assert result.exit_code == 1
    assert "still fails, still parked" in result.output
    assert len(lit("events", "parked").output.splitlines()) == 2


def test_a_replay_after_the_cause_is_mended_applies_what_waited(lit: Suite) -> None:
    stand_in().WET.clear()
    assert lit("events", "replay", "lantern", "--key", "wet", "--dry-run").output.startswith("would replay wet")
    assert "2 facts applied" in lit("events", "replay", "lantern", "--key", "wet").output
    assert lit("events", "parked").output == "nothing is parked\n"
    assert live(lit, []) == ["dry", "wet"]


def test_what_is_discarded_is_shown_and_later_facts_of_its_key_pass(lit: Suite) -> None:
    assert lit("events", "discard", "lantern", "--key", "wet").exit_code == 2
    dry = lit("events", "discard", "lantern", "--key", "wet", "--reason", "rain", "--dry-run")
    assert dry.output.startswith("would discard 2 facts of wet")
    done = lit("events", "discard", "lantern", "--key", "wet", "--reason", "rain")
    assert done.output.startswith("discarded 2 facts of wet")
    assert done.output.count("lantern.wick.lit.v1") == 2
    assert lit("events", "parked").output == "nothing is parked\n"
    stand_in().WET.clear()
    assert live(lit, ["wet"]) == ["dry", "wet"]


def test_what_is_parked_behind_more_than_is_shown_is_reached_all_the_same(lit: Suite) -> None:
    """A thousand facts of one key lie before the only one of another."""

    async def crowd() -> None:
        service, table = build("lantern", Platform.read(lit.environ)), tables_of("lantern")["parked"]
        async with service.database.transaction() as tx:
            [first, _] = (await tx.execute(sa.select(table).order_by(table.c.seq))).mappings()
            like = {name: value for name, value in first.items() if name != "seq"}
            await tx.execute(sa.insert(table), [like | {"key": key} for key in ["hot"] * 1_000 + ["cold"]])
        await service.database.close()

    asyncio.run(crowd())
    lines = lit("events", "parked").output.splitlines()
    assert len(lines) == 1_001 and lines[-1] == "and 3 more of lantern, parked later: replay and discard take them too"
    last = str(int(lines[-2].split()[0]) + 3)
    assert "lantern.wick.lit.v1 about cold" in lit("events", "parked", "--show", last).output
    would = lit("events", "replay", "lantern", "--all", "--dry-run").output.splitlines()
    assert would == [f"would replay {key} of parvis.lantern.wick" for key in ("wet", "hot", "cold")]
    assert lit("events", "replay", "lantern", "--key", "cold", "--dry-run").output == "would replay cold of parvis.lantern.wick\n"
    assert lit("events", "discard", "lantern", "--key", "cold", "--reason", "rain").output.startswith("discarded 1 facts of cold")


def test_a_projection_is_found_by_its_name_without_its_version(lit: Suite) -> None:
    """As `rebuild` takes it; a version is nothing that whoever is on call knows by heart."""

    async def wait() -> None:
        service, table = build("lantern", Platform.read(lit.environ)), tables_of("lantern")["parked"]
        async with service.database.transaction() as tx:
            [first, _] = (await tx.execute(sa.select(table).order_by(table.c.seq))).mappings()
            like = {name: value for name, value in first.items() if name != "seq"} | {"consumer": "lantern.times@1"}
            await tx.execute(sa.insert(table), [like | {"key": key} for key in ("hot", "cold")])
        await service.database.close()

    asyncio.run(wait())
    assert [line.split()[1] for line in lit("events", "parked", "lantern.times").output.splitlines()] == ["lantern.times@1"] * 2
    would = lit("events", "replay", "lantern.times", "--all", "--dry-run").output.splitlines()
    assert would == [f"would replay {key} of parvis.lantern.wick" for key in ("hot", "cold")]
    before = counted(lit)
    assert "hot of parvis.lantern.wick: 1 facts applied" in lit("events", "replay", "lantern.times", "--key", "hot").output
    assert counted(lit) == before | {"wet": before["wet"] + 1}, "its content tells of a wet one"
    assert lit("events", "discard", "lantern.times", "--key", "cold", "--reason", "rain").output.startswith("discarded 1 facts of cold")
    assert lit("events", "parked", "lantern.times@1").output == "nothing is parked\n"
    assert lit("events", "accept-loss", "lantern.times", "--reason", "none").output.startswith("nothing to accept")
    for name, said in {"lantern.time": "there is lantern, lantern.times@1", "lantern.times+@1": "only while it is computed"}.items():
        refused = lit("events", "replay", name, "--all")
        assert refused.exit_code == 2 and said in refused.output


def test_what_has_effects_outside_is_never_rebuilt(lit: Suite) -> None:
    result = lit("events", "rebuild", "lantern")
    assert result.exit_code == 2
    assert "only projections are rebuilt" in result.output


def test_a_projection_is_computed_again_beside_the_one_that_serves(lit: Suite) -> None:
    before = counted(lit)
    result = lit("events", "rebuild", "lantern.times")
    assert result.output.startswith("lantern.times is computed again")
    assert "lantern.times+@1" in lit("events", "lag").output
    assert counted(lit) == before == {"dry": 1, "wet": 2}
    live(lit, [])
    assert "lantern.times+@1" not in lit("events", "lag").output
    assert counted(lit) == before


def test_a_rebuild_is_watched_to_its_end(lit: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is computed once the watcher has seen how much there is: otherwise it may be over before that."""
    seen = threading.Event()

    async def seeing(flow: Flow) -> Any:
        found = await lag(flow)
        seen.set()
        return found

    monkeypatch.setattr("parvis_kit.events.operate.lag", seeing)
    with ThreadPoolExecutor(1) as thread:
        watching = thread.submit(lit, "events", "rebuild", "lantern.times", "--watch")
        assert seen.wait(60)
        live(lit, [])
        assert watching.result(60).output.splitlines()[-1] == "lantern.times: 3 of 3"


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading", 200) as tell:
        for done in range(201):
            tell(done)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "reading: 0 of 200" and said[-1] == "reading: 200 of 200" and len(said) == 11
    terminal = StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", terminal)
    with progress("reading", 200) as tell:
        tell(100)
    assert "reading" in terminal.getvalue()


def counted(suite: Suite) -> dict[str, int]:
    """What the projection holds."""

    async def main() -> dict[str, int]:
        service = build("lantern", Platform.read(suite.environ))
        try:
            async with service.database.read() as conn:
                return {row.wick: row.times for row in await conn.execute(sa.select(stand_in().TIMES))}
        finally:
            await service.database.close()

    return asyncio.run(main())


def test_nothing_to_accept_is_said_so(lit: Suite) -> None:
    assert "nothing to accept" in lit("events", "accept-loss", "lantern", "--reason", "none").output


def test_the_schemas_are_as_published(parvis: Suite) -> None:
    result = parvis("events", "check")
    assert result.exit_code == 0, result.output
    assert "kinds of facts, all as published" in result.output
