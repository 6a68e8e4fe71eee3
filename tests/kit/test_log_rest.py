"""A consumer at the end of its log is left in peace: looking for nothing is most of what a suite costs at night."""

import pytest
from parvis_kit.events import sql_log
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.reactions import topics_of
from parvis_kit.testing.databases import EVERY_DATABASE
from parvis_kit.testing.stage import TOLD, Stage
from parvis_kit.testing.waiting import until
from sqlalchemy import func, select

pytestmark = pytest.mark.parametrize("database_kind", EVERY_DATABASE, indirect=True)


async def said(stage: Stage, facts: int) -> None:
    """Publish them and see them in the log."""
    await stage.change("k", *range(1, facts + 1))

    async def are_there() -> bool:
        async with stage.alpha.read() as conn:
            return (await conn.execute(select(func.count()).select_from(tables_of("alpha")["log"]))).scalar() == facts

    async with stage.running(stage.flow({})):
        await until(are_there, f"{facts} facts are in the log")


async def test_where_it_stands_is_told_once_and_then_only_now_and_then(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_log, "LOOK_SECONDS", 0.001)
    await said(stage, 2)
    async with stage.log.source(stage.beta, "beta", topics_of(TOLD), 2) as source:
        [first] = await source.fetch()
        assert (len(first.records), first.at_end) == (2, True)
        assert not await source.fetch()
        assert not await source.fetch()
        source.seek("alpha", first.next)  # as after a hole, or at the start of a process: whether this is the end has to be told
        [anew] = await source.fetch()
        assert (anew.records, anew.at_end) == ([], True)
        assert not await source.fetch()
        monkeypatch.setattr(sql_log, "QUIET_SECONDS", 0)
        source.seek("alpha", first.next)
        for _ in range(3):  # a database restored from a backup is noticed by these
            assert [batch.start for batch in await source.fetch()] == [first.next]


async def test_a_full_batch_is_followed_by_the_news_that_it_was_the_last(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a copy would count as late until the next look."""
    monkeypatch.setattr(sql_log, "LOOK_SECONDS", 0.001)
    await said(stage, 2)
    async with stage.log.source(stage.beta, "beta", topics_of(TOLD), 2) as source:
        source.limit = 2  # type: ignore[attr-defined]
        [full] = await source.fetch()
        assert (len(full.records), full.at_end) == (2, False)
        [empty] = await source.fetch()
        assert (len(empty.records), empty.at_end) == (0, True)
        assert not await source.fetch()
