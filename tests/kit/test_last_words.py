"""What a transaction says together with its COMMIT on PostgreSQL: its facts, as literals, in one journey."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from parvis_kit.db import Database
from parvis_kit.db.literals import literal
from parvis_kit.events import Erased, publish
from parvis_kit.events.facts import Envelope
from parvis_kit.events.ledger import FACT_COLUMNS, LITERAL_BYTES_MAX, append, lock_of, tables_of
from parvis_kit.events.publish import seal
from parvis_kit.ids import new_id
from parvis_kit.problems import Unavailable
from parvis_kit.testing.databases import Place, PostgresServer
from parvis_kit.testing.stage import THING, Stage, ThingState, changed
from parvis_kit.testing.waiting import until

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)

LANE = ("parvis.alpha.thing", "k")
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=40),
    st.text("'\"\\$;{},%?:()E \n-*/é𝄞", max_size=40),  # whatever means something to a server or a driver
    st.sampled_from(["'", "''", "\\", "\\'", "'; COMMIT; DROP TABLE alpha.outbox; --", "$1", "NULL", "{}", '","', "E'\\x27'", "\\x00"]),
)
MOMENTS = st.datetimes(timezones=st.just(UTC))
ENVELOPES = st.builds(Envelope, st.uuids(), TEXTS, TEXTS, TEXTS, MOMENTS, TEXTS, st.none() | st.binary(max_size=300))


async def outbox(stage: Stage) -> list[Any]:
    columns = [tables_of("alpha")["outbox"].c[name] for name in FACT_COLUMNS]
    async with stage.alpha.read() as conn:
        return list(await conn.execute(sa.select(*columns).order_by(tables_of("alpha")["outbox"].c.id)))


async def put(stage: Stage, facts: Sequence[Envelope]) -> None:
    async with stage.alpha.transaction() as tx:
        await append(tx, facts, last=True)


@asynccontextmanager
async def lane_held(stage: Stage) -> AsyncIterator[None]:
    """Another writer has the lane of `k`, so that whoever publishes of it waits in the very statement that ends its transaction."""
    async with stage.beta.transaction() as other:
        await other.execute(sa.text("SELECT pg_advisory_xact_lock(:lane)"), {"lane": lock_of(LANE)})
        yield


async def waiting(stage: Stage) -> list[tuple[int, str]]:
    """Who waits for a lane, and what they had sent."""
    async with stage.beta.read() as conn:
        asked = "SELECT pid, query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return [(row[0], row[1]) for row in await conn.execute(sa.text(asked))]


async def until_waiting(stage: Stage) -> tuple[int, str]:
    async def is_waiting() -> bool:
        return bool(await waiting(stage))

    await until(is_waiting, "the writer waits for its lane")
    return (await waiting(stage))[0]


async def test_whatever_a_fact_says_is_kept_as_values_sent_apart_are(stage: Stage) -> None:
    loop = asyncio.get_running_loop()

    async def compare(facts: list[Envelope]) -> None:
        await put(stage, facts)
        said = await outbox(stage)
        async with stage.alpha.transaction() as tx:
            await tx.execute(sa.delete(tables_of("alpha")["outbox"]))
            await append(tx, facts)
        assert said == await outbox(stage) == [tuple(fact) for fact in facts]
        async with stage.alpha.transaction() as tx:
            await tx.execute(sa.delete(tables_of("alpha")["outbox"]))

    @settings(max_examples=150, deadline=None)
    @given(st.lists(ENVELOPES, min_size=1, max_size=4))
    def holds(facts: list[Envelope]) -> None:
        asyncio.run_coroutine_threadsafe(compare(facts), loop).result()

    await asyncio.to_thread(holds)


async def test_facts_and_commit_are_one_journey(stage: Stage) -> None:
    async with lane_held(stage):
        writing = asyncio.create_task(stage.publish(changed("k", 1), changed("other", 1)))
        _, sent = await until_waiting(stage)
        assert sent.startswith("EXECUTE") and sent.endswith("COMMIT")
    await writing
    assert [row.key for row in await outbox(stage)] == ["k", "other"]


async def test_a_commit_that_is_given_up_leaves_nothing_and_nobody_waiting(stage: Stage) -> None:
    async with lane_held(stage):
        writing = asyncio.create_task(change_and_say(stage, 1))
        await until_waiting(stage)
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        assert await waiting(stage) == []
    await change_and_say(stage, 2)
    assert [row.data for row in await outbox(stage)] == [seal(changed("k", 2), "alpha").data]
    async with stage.alpha.read() as conn:
        assert (await conn.execute(sa.select(THING.c.version))).scalars().all() == [2]


async def change_and_say(stage: Stage, version: int) -> None:
    async with stage.alpha.transaction() as tx:
        await tx.execute(sa.insert(THING), {"key": f"k{version}", "version": version})
        publish(tx, changed("k", version))


async def test_a_connection_cut_while_it_commits_is_unavailable_once_and_then_replaced(stage: Stage) -> None:
    async with lane_held(stage):
        writing = asyncio.create_task(change_and_say(stage, 1))
        pid, _ = await until_waiting(stage)
        async with stage.beta.read() as conn:
            await conn.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with pytest.raises(Unavailable):
            await writing
    await change_and_say(stage, 2)
    assert [row.data for row in await outbox(stage)] == [seal(changed("k", 2), "alpha").data]


async def test_connections_cut_while_nobody_uses_them_are_unavailable_once_and_then_all_replaced(stage: Stage) -> None:
    pid = sa.text("SELECT pg_backend_pid()")
    async with stage.alpha.transaction() as one, stage.alpha.transaction() as other:
        pids = [(await tx.execute(pid)).scalar_one() for tx in (one, other)]
    async with stage.beta.read() as conn:
        for each in pids:
            await conn.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": each})
    with pytest.raises(Unavailable):
        await change_and_say(stage, 1)
    await change_and_say(stage, 2)
    await change_and_say(stage, 3)
    assert len(await outbox(stage)) == 2


async def test_who_swallows_an_error_is_told_that_nothing_was_committed(stage: Stage) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK, and no error, once a statement has failed."""
    with pytest.raises(sa.exc.InternalError, match="rolled back: a statement in it had failed"):
        async with stage.alpha.transaction() as tx:
            await tx.execute(sa.insert(THING), {"key": "k", "version": 1})
            with suppress(sa.exc.ProgrammingError):
                await tx.execute(sa.text("SELECT nonsense"))
    await change_and_say(stage, 2)
    assert len(await outbox(stage)) == 1


async def test_what_postgresql_keeps_in_no_text_is_refused_and_nothing_is_half_done(stage: Stage) -> None:
    """As a literal it would end the message before COMMIT."""
    bad = Envelope(new_id(), "alpha.thing.changed.v1", *LANE[:1], "k\x00'; COMMIT", datetime.now(UTC), "{}", b"")
    for facts in ([bad], [seal(changed("k", 1), "alpha"), bad]):
        with pytest.raises(ValueError, match="NUL"):
            async with stage.alpha.transaction() as tx:
                await tx.execute(sa.insert(THING), {"key": "k", "version": 1})
                await append(tx, facts, last=True)
    assert await outbox(stage) == []
    async with stage.alpha.read() as conn:
        assert (await conn.execute(sa.select(THING))).all() == []


async def test_an_id_that_the_driver_has_read_has_a_literal_and_what_has_none_is_refused(stage: Stage) -> None:
    async with stage.alpha.transaction() as tx:
        read = await tx.driver_connection.fetchval("SELECT '00000000-0000-0000-0000-000000000007'::uuid")
    assert literal(read) == literal(UUID(int=7)) and literal([read, None]) == literal((UUID(int=7), None))
    for value in (True, 1.5, {"a": 1}, [{1}]):
        with pytest.raises(KeyError):
            literal(value)


@pytest.mark.parametrize("size", [LITERAL_BYTES_MAX, LITERAL_BYTES_MAX + 1])
async def test_facts_with_much_data_and_tombstones_are_kept_whole(stage: Stage, size: int) -> None:
    facts = [Envelope(new_id(), "alpha.thing.changed.v1", *LANE, datetime.now(UTC), "{}", b"\xff" * size)]
    facts.append(seal(Erased(ThingState, "k", datetime.now(UTC)), "alpha"))
    await put(stage, facts)
    assert await outbox(stage) == [tuple(fact) for fact in facts]


async def test_a_database_that_reads_backslashes_as_it_did_long_ago_keeps_the_same(
    place: Place, stage: Stage, postgres: PostgresServer
) -> None:
    url = place.url_of("alpha")
    conn = await asyncpg.connect(url)
    await conn.execute(f'ALTER DATABASE "{sa.make_url(url).database}" SET standard_conforming_strings = off')
    await conn.close()
    alone = await asyncpg.connect(url)
    assert await alone.fetchval("SHOW standard_conforming_strings") == "off"  # whoever says nothing of it
    await alone.close()
    fresh = Database(url, "alpha")
    fact = Envelope(new_id(), "alpha.thing.changed.v1", LANE[0], "\\'k\\", datetime.now(UTC), '{"a": "\\\\"}', b"\\'")
    async with fresh.transaction() as tx:
        await append(tx, [fact], last=True)
    await fresh.close()
    assert await outbox(stage) == [tuple(fact)]
