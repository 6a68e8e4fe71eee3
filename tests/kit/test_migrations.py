"""The tables of a service through time, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from pathlib import Path
from textwrap import dedent

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from parvis_kit.db import Database
from parvis_kit.db.migrations import Tree, at_head, config_of, current, differences, downgrade, draft, upgrade
from parvis_kit.db.versions import heads, version_in
from parvis_kit.testing.waiting import until

from .library import SECOND, admin

on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


@pytest.fixture
async def tree(tree_of: Callable[[str], Tree]) -> AsyncIterator[Tree]:
    yield tree_of("east")


async def definitions(tree: Tree) -> list[str]:
    """The tables as the database itself describes them."""
    database = Database(tree.url, tree.service)
    try:
        async with database.transaction() as tx:
            if database.is_sqlite:
                rows = await tx.execute(sa.text(f"SELECT name, sql FROM {tree.service}.sqlite_master WHERE name NOT LIKE 'sqlite_%'"))
                return sorted(
                    f"{name} {' '.join(sorted(str(sql).replace(',', ' ').split()))}" for name, sql in rows if "alembic" not in name
                )
            rows = await tx.execute(sa.text(POSTGRESQL_DEFINITIONS), {"service": tree.service})
            return sorted(row[0] for row in rows)
    finally:
        await database.close()


POSTGRESQL_DEFINITIONS = """
    SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = :service AND table_name <> 'alembic_version'
    UNION ALL
    SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = to_regnamespace(:service) AND conname NOT LIKE 'alembic%'
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname = :service AND tablename <> 'alembic_version'
"""


async def test_upgraded_from_empty_the_tables_are_those_of_the_metadata(tree: Tree, tree_of: Callable[[str], Tree], tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    await upgrade(tree, lambda revision, caption: told.append((revision, caption)))
    assert told == [("0001", "The log and the shelves."), ("0002", "Books.")]
    assert await differences(tree) == []
    assert await at_head(tree)
    migrated = await definitions(tree)
    await forget(tree, tmp_path)
    database = Database(tree.url, tree.service)
    async with database.transaction() as tx:
        await tx.run_sync(tree.metadata.create_all)
    assert await definitions(tree) == migrated
    await database.close()


async def forget(tree: Tree, tmp_path: Path) -> None:
    if tree.url.startswith("sqlite"):
        for ending in ("", "-wal", "-shm"):
            (tmp_path / f"{tree.service}.db{ending}").unlink(missing_ok=True)
        return
    await admin(tree.url, f"DROP SCHEMA {tree.service} CASCADE", f"CREATE SCHEMA {tree.service}")


async def test_the_log_head_has_its_one_row_and_takes_no_other(tree: Tree) -> None:
    await upgrade(tree)
    head = tree.metadata.tables[f"{tree.service}.log_head"]
    database = Database(tree.url, tree.service)
    async with database.read() as conn:
        assert [tuple(row) for row in await conn.execute(sa.select(head))] == [(1, 0, 0)]
    with pytest.raises(sa.exc.IntegrityError):
        async with database.transaction() as tx:
            await tx.execute(sa.insert(head).values(one=2, seq=0, beginning=0))
    await database.close()


async def test_upgraded_twice_it_is_upgraded_once(tree: Tree) -> None:
    await upgrade(tree)
    told: list[str] = []
    await upgrade(tree, lambda revision, caption: told.append(revision))
    assert told == []


async def test_the_last_migration_can_be_undone_and_done_again(tree: Tree) -> None:
    await upgrade(tree)
    await downgrade(tree)
    assert await current(tree) == "0001"
    assert not await at_head(tree)
    await upgrade(tree)
    assert await differences(tree) == []
    await downgrade(tree)
    await downgrade(tree)
    assert await current(tree) is None


async def test_before_the_first_migration_there_is_no_version(tree: Tree) -> None:
    assert await current(tree) is None
    assert not await at_head(tree)


async def test_a_column_without_its_migration_is_noticed(tree: Tree) -> None:
    await upgrade(tree)
    tree.metadata.tables["east.book"].append_column(sa.Column("colour", sa.Text))
    assert any("colour" in one for one in await differences(tree))


async def test_a_check_constraint_without_its_migration_is_noticed(tree: Tree) -> None:
    await upgrade(tree)
    tree.metadata.tables["east.book"].append_constraint(sa.CheckConstraint("pages < 9000", name="is_liftable"))
    assert await differences(tree) == ["check constraint book.ck_book_is_liftable"]


async def test_a_draft_holds_what_the_metadata_has_and_the_tables_have_not(tree: Tree) -> None:
    await upgrade(tree)
    tree.metadata.tables["east.book"].append_column(sa.Column("colour", sa.Text))
    [path] = await draft(tree, "Colours of books")
    assert path.name == "0003_colours_of_books.py"
    heads.cache_clear()
    await upgrade(tree)
    assert await current(tree) == "0003"
    assert await differences(tree) == []


async def test_two_services_in_one_database_do_not_see_each_other(tree_of: Callable[[str], Tree]) -> None:
    east, west = tree_of("east"), tree_of("west")
    await upgrade(east)
    assert await current(west) is None
    await upgrade(west)
    await downgrade(west)
    assert await at_head(east)
    assert await differences(east) == []
    assert [one for one in await differences(west) if "east" in one] == []


async def test_what_is_read_without_alembic_is_what_alembic_says(tree: Tree) -> None:
    assert heads(tree.package) == tuple(ScriptDirectory.from_config(config_of(tree)).get_heads())
    await upgrade(tree)
    database = Database(tree.url, tree.service)
    async with database.read() as conn:
        assert await conn.run_sync(lambda sync: version_in(tree.service, sync)) == "0002"
    await database.close()


async def test_a_migration_that_fails_half_way_leaves_nothing(tree: Tree, tmp_path: Path) -> None:
    third = SECOND.replace('"0002", "0001"', '"0003", "0002"').replace('"book"', '"paper"').replace("SERVICE", "east")
    broken = dedent(third).replace("def downgrade", "    op.execute('SELECT nonsense FROM nowhere')\n\ndef downgrade")
    (tmp_path / "kept_east" / "migrations" / "versions" / "0003.py").write_text(broken)
    with pytest.raises(sa.exc.DBAPIError):
        await upgrade(tree)
    assert await current(tree) == "0002"
    assert await differences(tree) == []


def test_two_newest_versions_show(tree: Tree, tmp_path: Path) -> None:
    assert heads(tree.package) == ("0002",)
    heads.cache_clear()
    fork = dedent(SECOND).replace("SERVICE", "east").replace('"0002", "0001"', '"0002b", "0001"')
    (tmp_path / "kept_east" / "migrations" / "versions" / "0002b.py").write_text(fork)
    assert sorted(heads(tree.package)) == ["0002", "0002b"]


@on_postgresql
async def test_a_migration_gives_up_a_lock_that_others_hold(tree: Tree) -> None:
    await upgrade(tree)
    reader = await asyncpg.connect(tree.url)
    try:
        await reader.execute("BEGIN; SELECT * FROM east.book")
        with pytest.raises(sa.exc.DBAPIError, match="lock timeout"):
            await downgrade(tree)
    finally:
        await reader.close()
    assert await at_head(tree)


THIRD = """
    from alembic import op
    from parvis_kit.db.migrations import add_index
    revision, down_revision = "0003", "0002"

    def upgrade() -> None:
        MADE

    def downgrade() -> None:
        op.drop_index("ix_book_pages", table_name="book", schema="east")
"""
ADDED = 'add_index(op, "ix_book_pages", "book", ["pages", "title"], schema="east")'
CREATED = 'op.create_index("ix_book_pages", "book", ["pages", "title"], schema="east")'
BOOK = "INSERT INTO east.book (title, pages, bought_at) VALUES ($1, 1, now())"


def third(tmp_path: Path, made: str) -> None:
    (tmp_path / "kept_east" / "migrations" / "versions" / "0003.py").write_text(dedent(THIRD).replace("MADE", made))


async def test_an_index_is_added_and_taken_away_on_either_database(tree: Tree, tmp_path: Path) -> None:
    await upgrade(tree)
    third(tmp_path, ADDED)
    before = await definitions(tree)
    await upgrade(tree)
    assert len(await definitions(tree)) == len(before) + 1 and await current(tree) == "0003"
    await downgrade(tree)
    assert await definitions(tree) == before


@on_postgresql
@pytest.mark.parametrize(("made", "others_wait"), [(ADDED, False), (CREATED, True)], ids=["added", "control"])
async def test_others_write_while_an_index_is_made(tree: Tree, tmp_path: Path, made: str, others_wait: bool) -> None:
    await upgrade(tree)
    third(tmp_path, made)
    slow, other = [await asyncpg.connect(tree.url) for _ in range(2)]
    try:
        begun = slow.transaction()
        await begun.start()
        await slow.execute(BOOK, "one")

        async def is_kept_waiting() -> bool:
            waits = (
                "SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() "
                "AND query LIKE 'CREATE INDEX%'"
            )
            return await other.fetchval(waits) is True

        making = asyncio.create_task(upgrade(tree))
        await until(is_kept_waiting, "the index waits for who writes")
        await other.execute("SET lock_timeout = '1s'")
        with pytest.raises(asyncpg.LockNotAvailableError) if others_wait else nullcontext():
            await other.execute(BOOK, "two")
        await begun.commit()
        await making
        assert await other.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'east.ix_book_pages'::regclass")
    finally:
        await slow.close()
        await other.close()


@on_postgresql
async def test_two_who_migrate_at_once_do_it_one_after_the_other(tree: Tree, tmp_path: Path) -> None:
    await upgrade(tree)
    third(tmp_path, ADDED)
    slow, other = [await asyncpg.connect(tree.url) for _ in range(2)]
    try:
        begun = slow.transaction()
        await begun.start()
        await slow.execute(BOOK, "one")
        both = [asyncio.create_task(upgrade(tree)) for _ in range(2)]

        async def one_waits_for_the_other() -> bool:
            said = [str(one[0]) for one in await other.fetch("SELECT query FROM pg_stat_activity WHERE datname = current_database()")]
            return any("CREATE INDEX" in one for one in said) and any("advisory" in one or one == "COMMIT;" for one in said)

        await until(one_waits_for_the_other, "one makes the index and the other waits for its turn")
        await begun.commit()
        await asyncio.gather(*both)
    finally:
        await slow.close()
        await other.close()
    assert await current(tree) == "0003"


@on_postgresql
async def test_an_index_that_a_try_left_behind_is_made_anew(tree: Tree, tmp_path: Path) -> None:
    await upgrade(tree)
    await admin(tree.url, "CREATE INDEX ix_book_pages ON east.book (bought_at)")
    await admin(tree.url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'east.ix_book_pages'::regclass")
    third(tmp_path, ADDED)
    await upgrade(tree)
    assert any("ix_book_pages ON east.book USING btree (pages, title)" in one for one in await definitions(tree))
