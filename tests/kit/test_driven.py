"""Statements that go to the driver itself answer, refuse and recover as those that go through SQLAlchemy."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from parvis_kit.db import Database, Json, Moment, metadata_for
from parvis_kit.db.driven import Driven, Question
from parvis_kit.problems import Unavailable
from parvis_kit.testing.databases import EVERY_DATABASE, queries
from parvis_kit.testing.plugin import OpenDatabase
from parvis_kit.testing.waiting import until

METADATA = metadata_for("shelf")
BOOK = sa.Table(
    "book",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("printed_at", Moment),
    sa.Column("price_cents", sa.BigInteger),
    sa.Column("cover", sa.LargeBinary),
    sa.Column("notes", Json),
)
COLUMNS = (*BOOK.c, BOOK.c.price_cents > 1000, sa.literal("kept").label("kept"))
OF_TITLE = sa.select(*COLUMNS).where(BOOK.c.title == sa.bindparam("title"), BOOK.c.printed_at <= sa.bindparam("until"))
ADD = Driven(lambda _: sa.insert(BOOK), [column.name for column in BOOK.c])
FIRST = {
    "id": UUID(int=1),
    "title": "l'été \\ \"",
    "printed_at": datetime(2026, 11, 26, 9, 30, tzinfo=UTC),
    "price_cents": 1200,
    "cover": b"\x00\xff'",
    "notes": {"pages": [1, None], "é": True},
}
EMPTY = {"id": UUID(int=2), "title": "b", "printed_at": datetime(1, 1, 1, tzinfo=UTC), "price_cents": None, "cover": None, "notes": None}
AT = {"until": datetime(2027, 1, 1, tzinfo=timezone(timedelta(hours=1)))}


@pytest.fixture
async def shelf(open_database: OpenDatabase) -> Database:
    return await open_database("shelf", METADATA)


async def keep(shelf: Database, *books: dict[str, Any]) -> None:
    async with shelf.transaction() as tx:
        for book in books:
            await tx.execute(sa.insert(BOOK), book)


async def titles(shelf: Database) -> list[str]:
    async with shelf.read() as conn:
        return list((await conn.execute(sa.select(BOOK.c.title).order_by(BOOK.c.title))).scalars())


@pytest.mark.parametrize("database_kind", EVERY_DATABASE, indirect=True)
@pytest.mark.parametrize("book", [FIRST, EMPTY], ids=["all there", "nothing there"])
async def test_a_question_has_the_rows_that_its_statement_has(shelf: Database, book: dict[str, Any]) -> None:
    await keep(shelf, FIRST, EMPTY)
    question, asked = Question(OF_TITLE), AT | {"title": book["title"]}
    async with shelf.read() as conn:
        wanted = [tuple(row) for row in await conn.execute(OF_TITLE, asked)]
        assert [tuple(row) for row in await question.rows(conn, asked)] == wanted and len(wanted) == 1
        assert await question.one(conn, AT | {"title": "nowhere"}) is None
    async with shelf.transaction() as tx:
        found = await question.one(tx, asked)
        assert found is not None and list(found[: len(book)]) == list(book.values()) and found[-1] == "kept"


@pytest.mark.parametrize("database_kind", EVERY_DATABASE, indirect=True)
async def test_more_rows_than_the_one_that_was_asked_for_are_no_answer(shelf: Database) -> None:
    await keep(shelf, FIRST, EMPTY | {"title": FIRST["title"]})
    async with shelf.read() as conn:
        with pytest.raises(sa.exc.MultipleResultsFound):
            await Question(OF_TITLE).one(conn, AT | {"title": FIRST["title"]})


@pytest.mark.parametrize("database_kind", EVERY_DATABASE, indirect=True)
async def test_what_is_said_last_is_written_whole_or_not_at_all(shelf: Database) -> None:
    async with shelf.transaction() as tx:
        await ADD.run_last(tx, FIRST)
        with pytest.raises(ZeroDivisionError):
            async with tx.savepoint():
                await ADD.run_last(tx, EMPTY)
                raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        async with shelf.transaction() as tx:
            await ADD.run_last(tx, EMPTY)
            raise ZeroDivisionError
    async with shelf.read() as conn:
        assert [row._mapping for row in await conn.execute(sa.select(BOOK))] == [FIRST]


@pytest.mark.parametrize("database_kind", EVERY_DATABASE, indirect=True)
async def test_what_is_refused_with_commit_undoes_the_act(shelf: Database) -> None:
    await keep(shelf, FIRST)
    with pytest.raises(Exception, match="(?i)unique"):
        async with shelf.transaction() as tx:
            await tx.execute(sa.insert(BOOK), EMPTY)
            await ADD.run_last(tx, FIRST)
    assert await titles(shelf) == [FIRST["title"]]
    await keep(shelf, EMPTY)


@pytest.mark.parametrize("database_kind", EVERY_DATABASE, indirect=True)
async def test_what_goes_past_sqlalchemy_is_counted_too(shelf: Database) -> None:
    with queries(shelf) as sent:
        async with shelf.transaction() as tx:
            await ADD.run(tx, FIRST)
            await Question(OF_TITLE).rows(tx, AT | {"title": "a"})
        async with shelf.read() as conn:
            await Question(OF_TITLE).rows(conn, AT | {"title": "a"})
    assert [one.partition(" ")[0] for one in sent] == ["INSERT", "SELECT", "SELECT"]


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
async def test_connections_cut_while_nobody_asks_are_unavailable_once_and_then_all_replaced(
    shelf: Database, open_database: OpenDatabase
) -> None:
    await keep(shelf, FIRST)
    question, pid = Question(OF_TITLE), Question(sa.select(sa.func.pg_backend_pid(), sa.func.pg_sleep(0.2)))

    async def ask() -> Any:
        async with shelf.read() as conn:
            return await question.one(conn, AT | {"title": FIRST["title"]})

    async def of_its_own() -> int:
        async with shelf.read() as conn:
            return int((await pid.rows(conn, {}))[0][0])

    pids = await asyncio.gather(of_its_own(), of_its_own())
    assert len(set(pids)) == 2
    async with shelf.transaction() as tx:
        for one in pids:
            await tx.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": one})
    with pytest.raises(Unavailable):
        await ask()
    assert [(await ask())[0] for _ in range(3)] == [FIRST["id"]] * 3


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
async def test_a_question_that_is_given_up_holds_nobody_up(shelf: Database) -> None:
    slow = Question(sa.select(sa.func.pg_sleep(3600)))

    async def ask() -> None:
        async with shelf.read() as conn:
            await slow.rows(conn, {})

    async def sleepers() -> int:
        async with shelf.read() as conn:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
            return int((await conn.execute(sa.text(asked))).scalar_one())

    async def asleep() -> bool:
        return await sleepers() == 1

    async def awake() -> bool:
        return await sleepers() == 0

    asking = asyncio.create_task(ask())
    await until(asleep, "the question is asked")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(awake, "the server has given it up")
    await keep(shelf, FIRST)
    assert await titles(shelf) == [FIRST["title"]]
