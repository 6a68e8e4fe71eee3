"""The tables of a service through time, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from textwrap import dedent

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from parvis_kit.db import Database, Moment, Serial, metadata_for
from parvis_kit.db.migrations import Tree, at_head, config_of, current, differences, downgrade, draft, upgrade
from parvis_kit.db.roles import grant_logs, make_roles, scram
from parvis_kit.db.versions import heads, version_in
from parvis_kit.events import log_tables
from parvis_kit.settings import role_of
from parvis_kit.testing.databases import Place
from parvis_kit.testing.waiting import until

on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)

FIRST = """
    '''The log and the shelves.'''
    import sqlalchemy as sa
    from alembic import op
    from parvis_kit.events.migrations import create_log_tables, drop_log_tables
    revision, down_revision = "0001", None

    def upgrade() -> None:
        create_log_tables(op, "SERVICE")
        op.create_table("shelf", sa.Column("shelf_id", sa.Uuid, primary_key=True), schema="SERVICE")

    def downgrade() -> None:
        op.drop_table("shelf", schema="SERVICE")
        drop_log_tables(op, "SERVICE")
"""
SECOND = """
    '''Books.'''
    import sqlalchemy as sa
    from alembic import op
    from parvis_kit.db import Moment, Serial
    revision, down_revision = "0002", "0001"

    def upgrade() -> None:
        op.create_table(
            "book",
            sa.Column("number", Serial, primary_key=True),
            sa.Column("title", sa.Text, nullable=False),
            sa.Column("pages", sa.BigInteger, nullable=False),
            sa.Column("bought_at", Moment, nullable=False),
            sa.Column("shelf_id", sa.Uuid, sa.ForeignKey("SERVICE.shelf.shelf_id"), index=True),
            sa.UniqueConstraint("title"),
            sa.CheckConstraint("pages > 0", name="has_pages"),
            schema="SERVICE",
            sqlite_autoincrement=True,
        )

    def downgrade() -> None:
        op.drop_table("book", schema="SERVICE")
"""


def library(service: str) -> sa.MetaData:
    metadata = metadata_for(service)
    log_tables(metadata)
    sa.Table("shelf", metadata, sa.Column("shelf_id", sa.Uuid, primary_key=True))
    sa.Table(
        "book",
        metadata,
        sa.Column("number", Serial, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("pages", sa.BigInteger, nullable=False),
        sa.Column("bought_at", Moment, nullable=False),
        sa.Column("shelf_id", sa.Uuid, sa.ForeignKey(f"{service}.shelf.shelf_id"), index=True),
        sa.UniqueConstraint("title"),
        sa.CheckConstraint("pages > 0", name="has_pages"),
        sqlite_autoincrement=True,
    )
    return metadata


@pytest.fixture
def tree_of(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Tree]]:
    """A service with two migrations, under the name that is asked for."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(service: str) -> Tree:
        versions = tmp_path / f"kept_{service}" / "migrations" / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        for number, text in (("0001", FIRST), ("0002", SECOND)):
            (versions / f"{number}.py").write_text(dedent(text).replace("SERVICE", service))
        return Tree(service, place.url_of(service), library(service), f"kept_{service}.migrations")

    yield make
    heads.cache_clear()


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


async def admin(url: str, *statements: str) -> None:
    conn = await asyncpg.connect(url)
    try:
        for statement in statements:
            await conn.execute(statement)
    finally:
        await conn.close()


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
            waits = "SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX%'"
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
async def test_an_index_that_a_try_left_behind_is_made_anew(tree: Tree, tmp_path: Path) -> None:
    await upgrade(tree)
    await admin(tree.url, "CREATE INDEX ix_book_pages ON east.book (bought_at)")
    third(tmp_path, ADDED)
    await upgrade(tree)
    assert any("ix_book_pages ON east.book USING btree (pages, title)" in one for one in await definitions(tree))


@pytest.fixture
def postgres_database(place: Place) -> str:
    return place.url_of("")


@pytest.fixture
async def roles(postgres_database: str) -> AsyncIterator[list[str]]:
    """Roles outlive a database: they carry names of their own, and are removed."""
    names = [f"{name}{postgres_database.rpartition('_')[2]}" for name in ("east", "west")]
    yield names
    conn = await asyncpg.connect(postgres_database)
    for name in names:
        await conn.execute(f"DROP OWNED BY {role_of(name)} CASCADE; DROP ROLE {role_of(name)}")
    await conn.close()


def as_role(url: str, service: str, password: str = "") -> str:
    return str(sa.make_url(url).set(username=role_of(service), password=password or None).render_as_string(hide_password=False))


@pytest.fixture(params=["superuser", "owner of the database"])
async def admin_url(request: pytest.FixtureRequest, postgres_database: str, roles: list[str]) -> AsyncIterator[str]:
    """Managed databases give no superuser."""
    if request.param == "superuser":
        yield postgres_database
        return
    name = f"keeper{postgres_database.rpartition('_')[2]}"
    url = sa.make_url(postgres_database)
    await admin(postgres_database, f"CREATE ROLE {name} LOGIN CREATEROLE", f"GRANT CREATE ON DATABASE {url.database} TO {name}")
    yield url.set(username=name, password=None).render_as_string(hide_password=False)
    await admin(postgres_database, f"DROP OWNED BY {name} CASCADE")
    for role in map(role_of, roles):
        await admin(postgres_database, f"REASSIGN OWNED BY {role} TO CURRENT_USER")
        await admin(postgres_database, f"REVOKE ALL ON DATABASE {url.database} FROM {role}")
    await admin(postgres_database, f"DROP ROLE {name}")


async def migrated(admin_url: str, roles: list[str], tree_of: Callable[[str], Tree]) -> None:
    await make_roles(admin_url, roles)
    for service in roles:
        tree = tree_of(service)
        await upgrade(Tree(service, admin_url, tree.metadata, tree.package, owner=role_of(service)))
    await grant_logs(admin_url, roles)


@on_postgresql
async def test_each_role_owns_its_tables_and_reads_of_the_others_their_log_alone(
    admin_url: str, postgres_database: str, roles: list[str], tree_of: Callable[[str], Tree]
) -> None:
    east, west = roles
    await migrated(admin_url, roles, tree_of)
    await migrated(admin_url, roles, tree_of)
    conn = await asyncpg.connect(as_role(postgres_database, east))
    try:
        await conn.execute(f"INSERT INTO {east}.shelf VALUES (gen_random_uuid()); ALTER TABLE {east}.shelf ADD COLUMN place text")
        assert await conn.fetch(f"SELECT * FROM {west}.log") == []
        assert await conn.fetchval(f"SELECT count(*) FROM {west}.log_head") == 1
        for refused in (
            f"SELECT * FROM {west}.shelf",
            f"SELECT * FROM {west}.outbox",
            f"SELECT * FROM {west}.inbox",
            f"SELECT * FROM {west}.parked",
            f"SELECT * FROM {west}.alembic_version",
            f"DELETE FROM {west}.log",
            f"UPDATE {west}.log_head SET seq = 1",
            f"CREATE TABLE {west}.mine ()",
            f"SET ROLE {role_of(west)}",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(refused)
    finally:
        await conn.close()


@on_postgresql
async def test_no_grant_goes_across_but_those_on_the_log(postgres_database: str, roles: list[str], tree_of: Callable[[str], Tree]) -> None:
    await migrated(postgres_database, roles, tree_of)
    east, west = roles
    conn = await asyncpg.connect(postgres_database)
    granted = await conn.fetch(
        "SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants WHERE table_schema = $1 AND grantee <> $2",
        west,
        role_of(west),
    )
    await conn.close()
    assert sorted(map(tuple, granted)) == [(role_of(east), "log", "SELECT"), (role_of(east), "log_head", "SELECT")]


@on_postgresql
async def test_a_service_that_comes_later_is_let_in(postgres_database: str, roles: list[str], tree_of: Callable[[str], Tree]) -> None:
    east, west = roles
    await migrated(postgres_database, [east], tree_of)
    await migrated(postgres_database, [east, west], tree_of)
    conn = await asyncpg.connect(as_role(postgres_database, west))
    assert await conn.fetch(f"SELECT * FROM {east}.log") == []
    await conn.close()


@on_postgresql
async def test_the_password_is_the_one_that_was_given_and_is_not_sent(postgres_database: str, roles: list[str]) -> None:
    await make_roles(postgres_database, roles, "correct horse; DROP 'battery'")
    conn = await asyncpg.connect(postgres_database)
    kept = await conn.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", role_of(roles[0]))
    await conn.close()
    salt = kept.split("$")[1].split(":")[1]
    assert kept == scram("correct horse; DROP 'battery'", salt=salt)
    assert kept != scram("correct horse", salt=salt)


@pytest.mark.parametrize("name", ["", "Files", "files; DROP SCHEMA directory", "1st", "x" * 60])
@on_postgresql
async def test_a_name_that_is_no_identifier_is_refused(postgres_database: str, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a service"):
        await make_roles(postgres_database, [name])
