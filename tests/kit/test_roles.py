"""The roles of PostgreSQL: each service owns its tables, and reads of the others their log alone."""

from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
import sqlalchemy as sa
from parvis_kit.db.migrations import Tree, upgrade
from parvis_kit.db.roles import grant_logs, make_roles, scram
from parvis_kit.settings import role_of
from parvis_kit.testing.databases import Place

from .library import admin

on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


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
