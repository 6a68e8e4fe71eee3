"""Where SQLite and PostgreSQL differ, the kit makes them the same: one test for each difference."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from parvis_kit.db import BinaryText, Database, Json, Moment, Serial, fold, metadata_for, partial_index, unique_violation, upsert
from parvis_kit.http import DB, Body, Request, Routes, mount
from parvis_kit.ids import new_id
from parvis_kit.problems import Unavailable
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_kit.testing.clocks import FrozenClock
from parvis_kit.testing.databases import EVERY_DATABASE, Place
from parvis_kit.testing.plugin import OpenDatabase
from sqlalchemy.exc import IntegrityError

pytestmark = pytest.mark.parametrize("database_kind", EVERY_DATABASE, indirect=True)

METADATA = metadata_for("shelf")
AUTHOR = sa.Table("author", METADATA, sa.Column("id", sa.Uuid, primary_key=True), sa.Column("name", sa.Text, nullable=False))
BOOK = sa.Table(
    "book",
    METADATA,
    sa.Column("id", Serial, primary_key=True),
    sa.Column("title", BinaryText, nullable=False, unique=True),
    sa.Column("folded", sa.Text),
    sa.Column("author_id", sa.Uuid, sa.ForeignKey(AUTHOR.c.id)),
    sa.Column("printed_at", Moment),
    sa.Column("price_cents", sa.BigInteger),
    sa.Column("notes", Json),
    sqlite_autoincrement=True,
)

partial_index("uq_book_dear", BOOK.c.price_cents, where=BOOK.c.price_cents > 1000, unique=True)

ROUTES = Routes("shelf", "1")


class NewBook(Body):
    title: str
    price_cents: int


@ROUTES.post("/api/shelf/v1/books", scope=None)
async def add_book(request: Request, body: NewBook) -> None:
    """Keep a book."""
    async with request[DB].transaction() as tx:
        await tx.execute(sa.insert(BOOK), body.model_dump())


@pytest.fixture
async def shelf(open_database: OpenDatabase) -> Database:
    return await open_database("shelf", METADATA)


async def keep(shelf: Database, *books: dict[str, Any]) -> None:
    async with shelf.transaction() as tx:
        for book in books:
            await tx.execute(sa.insert(BOOK), book)


async def column(shelf: Database, statement: sa.Select[Any]) -> list[Any]:
    async with shelf.read() as conn:
        return [row[0] for row in await conn.execute(statement)]


async def test_a_moment_comes_back_as_the_same_moment_in_utc(shelf: Database) -> None:
    paris = datetime(2026, 7, 14, 12, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    await keep(shelf, {"title": "a", "printed_at": paris})
    [seen] = await column(shelf, sa.select(BOOK.c.printed_at))
    assert seen == paris
    assert seen.tzinfo is UTC or seen.utcoffset() == timedelta(0)


async def test_moments_of_different_offsets_sort_by_when_they_were(shelf: Database) -> None:
    early = datetime(2026, 7, 14, 23, 0, tzinfo=timezone(timedelta(hours=12)))
    late = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
    await keep(shelf, {"title": "late", "printed_at": late}, {"title": "early", "printed_at": early})
    assert await column(shelf, sa.select(BOOK.c.title).order_by(BOOK.c.printed_at)) == ["early", "late"]
    assert await column(shelf, sa.select(BOOK.c.title).where(BOOK.c.printed_at < late)) == ["early"]


async def test_a_moment_without_its_zone_is_refused(shelf: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="time zone"):
        await keep(shelf, {"title": "a", "printed_at": datetime(2026, 7, 14)})  # noqa: DTZ001


async def test_cents_stay_exact_beyond_what_a_float_holds(shelf: Database) -> None:
    await keep(shelf, {"title": "a", "price_cents": 2**53 + 1})
    assert await column(shelf, sa.select(BOOK.c.price_cents)) == [2**53 + 1]


async def test_json_keeps_its_shape_and_none_is_null(shelf: Database) -> None:
    await keep(shelf, {"title": "a", "notes": {"pages": [1, 2.5, None], "é": True}}, {"title": "b", "notes": None})
    assert await column(shelf, sa.select(BOOK.c.notes).where(BOOK.c.title == "a")) == [{"pages": [1, 2.5, None], "é": True}]
    assert await column(shelf, sa.select(BOOK.c.title).where(BOOK.c.notes.is_(None))) == ["b"]


async def test_an_index_of_some_rows_binds_those_alone(shelf: Database) -> None:
    await keep(shelf, {"title": "a", "price_cents": 700}, {"title": "b", "price_cents": 700}, {"title": "c", "price_cents": 7000})
    with pytest.raises(IntegrityError) as refused:
        await keep(shelf, {"title": "d", "price_cents": 7000})
    assert unique_violation(refused.value)


async def test_json_is_kept_so_that_postgresql_can_look_into_it(shelf: Database) -> None:
    await keep(shelf, {"title": "a", "notes": {"pages": 12}})
    assert await column(shelf, sa.select(BOOK.c.title).where(BOOK.c.notes["pages"].as_integer() == 12)) == ["a"]
    if not shelf.is_sqlite:
        assert await column(shelf, sa.select(sa.func.pg_typeof(BOOK.c.notes).cast(sa.Text))) == ["jsonb"]


async def test_a_number_is_never_given_out_twice(shelf: Database) -> None:
    await keep(shelf, {"title": "a"}, {"title": "b"})
    [last] = await column(shelf, sa.select(sa.func.max(BOOK.c.id)))
    async with shelf.transaction() as tx:
        await tx.execute(sa.delete(BOOK).where(BOOK.c.id == last))
    await keep(shelf, {"title": "c"})
    assert await column(shelf, sa.select(BOOK.c.id).where(BOOK.c.title == "c")) == [last + 1]


async def test_after_a_duplicate_inside_a_savepoint_the_transaction_goes_on(shelf: Database) -> None:
    await keep(shelf, {"title": "a"})
    async with shelf.transaction() as tx:
        with pytest.raises(IntegrityError):
            async with tx.savepoint():
                await tx.execute(sa.insert(BOOK), {"title": "a"})
        await tx.execute(sa.insert(BOOK), {"title": "b"})
    assert await column(shelf, sa.select(BOOK.c.title).order_by(BOOK.c.title)) == ["a", "b"]


@pytest.mark.parametrize(
    "book, is_duplicate",
    [({"title": "a"}, True), ({"id": 99, "title": "b"}, True), ({"title": None}, False), ({"title": "b", "author_id": new_id()}, False)],
    ids=["same title", "same id", "no title", "no such author"],
)
async def test_a_duplicate_is_told_from_other_refusals_by_its_code(shelf: Database, book: dict[str, Any], is_duplicate: bool) -> None:
    await keep(shelf, {"id": 99, "title": "a"})
    with pytest.raises(IntegrityError) as refused:
        await keep(shelf, book)
    refused.value.args = ("said in another language",)
    assert unique_violation(refused.value) is is_duplicate


async def test_nulls_come_where_the_query_says(shelf: Database) -> None:
    await keep(shelf, {"title": "no price"}, {"title": "a price", "price_cents": 1})
    by_price = sa.select(BOOK.c.title)
    assert await column(shelf, by_price.order_by(BOOK.c.price_cents.nulls_first())) == ["no price", "a price"]
    assert await column(shelf, by_price.order_by(BOOK.c.price_cents.nulls_last())) == ["a price", "no price"]


@pytest.mark.parametrize("asked", ["école", "ÉCOLE", "Ecole", "e\u0301cole"])
async def test_a_search_finds_a_name_whatever_its_accents_and_capitals(shelf: Database, asked: str) -> None:
    await keep(shelf, *({"title": name, "folded": fold(name)} for name in ("L'École des femmes", "Le Cid", "100 % école")))
    found = await column(shelf, sa.select(BOOK.c.title).where(BOOK.c.folded.contains(fold(asked), autoescape=True)).order_by(BOOK.c.title))
    assert found == ["100 % école", "L'École des femmes"]


async def test_what_cursors_go_by_sorts_by_code_points(shelf: Database) -> None:
    names = ["a", "B", "é", "Z", "z", "É", "œ", "A b", "A-b", "Ab", "\U0001f4d6"]
    await keep(shelf, *({"title": name} for name in names))
    assert await column(shelf, sa.select(BOOK.c.title).order_by(BOOK.c.title)) == sorted(names)
    assert await column(shelf, sa.select(BOOK.c.title).where(BOOK.c.title > "a").order_by(BOOK.c.title)) == [
        n for n in sorted(names) if n > "a"
    ]
    if not shelf.is_sqlite:
        kept = sa.text("SELECT collation_name FROM information_schema.columns WHERE table_name = 'book' AND column_name = 'title'")
        async with shelf.read() as conn:
            assert (await conn.execute(kept)).scalar_one() == "C"


async def test_forty_thousand_rows_go_in_by_one_call(shelf: Database) -> None:
    async with shelf.transaction() as tx:
        await tx.execute(sa.insert(BOOK), [{"title": f"{number:05}"} for number in range(40_000)])
    assert await column(shelf, sa.select(sa.func.count()).select_from(BOOK)) == [40_000]


async def test_an_id_comes_back_as_a_uuid_and_is_found_by_it(shelf: Database) -> None:
    one = new_id()
    async with shelf.transaction() as tx:
        await tx.execute(sa.insert(AUTHOR), {"id": one, "name": "Voltaire"})
    [seen] = await column(shelf, sa.select(AUTHOR.c.id).where(AUTHOR.c.id.in_([one, UUID(int=7)])))
    assert seen == one and isinstance(seen, UUID)


async def test_an_upsert_says_the_same_on_both(shelf: Database) -> None:
    async with shelf.transaction() as tx:
        for cents in (100, 200):
            statement = upsert(tx, BOOK).values(title="a", price_cents=cents)
            statement = statement.on_conflict_do_update(index_elements=["title"], set_={"price_cents": statement.excluded.price_cents})
            assert (await tx.execute(statement.returning(BOOK.c.price_cents))).scalar_one() == cents


async def test_foreign_keys_hold_and_readers_do_not_wait_for_writers(shelf: Database) -> None:
    async with shelf.transaction() as tx:
        await tx.execute(sa.insert(BOOK), {"title": "not yet"})
        assert await column(shelf, sa.select(BOOK.c.title)) == []
    if shelf.is_sqlite:

        def said(conn: sa.Connection) -> list[Any]:
            return [conn.exec_driver_sql(f"PRAGMA {one}").scalar_one() for one in ("foreign_keys", "shelf.journal_mode", "busy_timeout")]

        async with shelf.read() as conn, shelf.transaction() as tx:
            assert await conn.run_sync(said) == await tx.run_sync(said) == [1, "wal", 5000]


async def test_more_waiters_than_the_pool_serves_are_told_to_come_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parvis_kit.db.engines.POOL_WAIT_SECONDS_MAX", 0.05)
    shelf = await place.open("shelf", METADATA)
    size = shelf.write_engine.pool.size()  # type: ignore[attr-defined]
    async with AsyncExitStack() as busy:
        for _ in range(size):
            await busy.enter_async_context(shelf.transaction())
        with pytest.raises(Unavailable) as told:
            await keep(shelf, {"title": "a"})
    assert told.value.headers["Retry-After"]
    await keep(shelf, {"title": "a"})


async def test_a_database_that_is_away_is_unavailable_not_broken(place: Place, tmp_path: Path) -> None:
    if place.server is None:
        (tmp_path / "nowhere.db").mkdir()
        away = Database(f"sqlite:///{tmp_path / 'nowhere.db'}", "shelf")
    else:
        away = Database("postgresql://postgres@127.0.0.1:1/nowhere", "shelf")
    with pytest.raises(Unavailable):
        async with away.transaction():
            pass
    with pytest.raises(Unavailable):
        async with away.read() as conn:
            await conn.execute(sa.select(1))
    await away.close()


@pytest.mark.parametrize(
    "title, price_cents, status",
    [("Candide", 700, 204), ("Can\0dide", 700, 422), ("Candide", "700", 422), ("Candide", 7.5, 422)],
    ids=["a book", "a NUL, which PostgreSQL cannot keep", "text, which SQLite would keep as a number", "a fraction"],
)
async def test_what_only_one_database_would_keep_is_refused_at_the_door(
    shelf: Database, clock: FrozenClock, title: str, price_cents: object, status: int
) -> None:
    app = web.Application()
    mount(app, Service(name="shelf", database=shelf, clock=clock, metadata=METADATA, migrations="", routes=[ROUTES]), Platform())
    async with TestClient(TestServer(app)) as client:
        answer = await client.post("/api/shelf/v1/books", json={"title": title, "price_cents": price_cents})
        assert answer.status == status, await answer.text()
    assert await column(shelf, sa.select(BOOK.c.title)) == ([title] if status == 204 else [])
