"""The password of a service's role, changed while the service is at work: nobody who asks is refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from parvis_kit.db import Database
from parvis_kit.db.connecting import accepted
from parvis_kit.db.roles import make_roles
from parvis_kit.events.postgres_leader import open_leader
from parvis_kit.settings import Platform
from parvis_kit.testing.servers import started
from pydantic import SecretStr

ROUNDS = 4


@pytest.fixture(scope="module")
def strict_server(postgres_script: Path) -> Iterator[str]:
    """A PostgreSQL that asks every role but its administrator for a password."""
    with started(postgres_script) as said:
        rules = Path(said["dir"]) / "data/pg_hba.conf"
        rules.write_text("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        asyncio.run(_reload(said["url"]))
        yield said["url"]


async def _reload(url: str) -> None:
    conn = await asyncpg.connect(url)
    await conn.execute("SELECT pg_reload_conf()")
    await conn.close()


@pytest.fixture
def platform(strict_server: str, tmp_path: Path) -> Platform:
    accepted.clear()
    file = tmp_path / "password"
    file.write_text("the first\n")
    return Platform(database_url=SecretStr(strict_server), database_password_file=file)


async def change(platform: Platform, password: str) -> None:
    """As docs/operating-secrets.md says it: the file, then `parvis migrate`."""
    assert platform.database_password_file is not None
    draft = platform.database_password_file.with_suffix(".new")
    draft.write_text(password)
    draft.replace(platform.database_password_file)
    await asyncio.sleep(0)  # what connects now has the new one, and the role has not
    fresh = Platform(**platform.model_dump())
    await make_roles(fresh.admin_url, ["files"], fresh.password)


async def test_new_connections_take_the_password_of_now(platform: Platform) -> None:
    await make_roles(platform.admin_url, ["files"], platform.password)
    asked, over = 0, False

    async def ask() -> None:
        """Each on a connection of its own: whatever a pool holds was let in before."""
        nonlocal asked
        while not over:
            database = Database(platform.database_url_of("files"), "files")
            async with database.transaction() as tx:
                assert (await tx.execute(sa.text("SELECT 1"))).scalar_one() == 1
            await database.close()
            asked += 1

    async def work() -> None:
        nonlocal over
        for turn in range(ROUNDS):
            before = asked
            while asked < before + 20:
                await asyncio.sleep(0.01)
            await change(platform, f"number {turn}")
        before = asked
        while asked < before + 20:
            await asyncio.sleep(0.01)
        over = True

    await asyncio.gather(work(), *(ask() for _ in range(4)))
    async with open_leader(platform.database_url_of("files"), "files", 10) as leader:
        assert await leader.lead()


async def test_the_control_refuses_who_keeps_the_first_one(platform: Platform) -> None:
    await make_roles(platform.admin_url, ["files"], platform.password)
    url = platform.admin_url.replace("postgres@", "parvis_files@")
    await (await asyncpg.connect(url, password="the first")).close()
    await change(platform, "the second")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url, password="the first")


async def test_a_wrong_password_is_told_and_no_older_one_is_tried_for_ever(platform: Platform) -> None:
    await make_roles(platform.admin_url, ["files"], "another one")
    database = Database(platform.database_url_of("files"), "files")
    with pytest.raises(sa.exc.DBAPIError, match="password authentication failed"):
        async with database.read() as conn:
            await conn.execute(sa.text("SELECT 1"))
    await database.close()


def test_the_password_stands_in_no_url(platform: Platform) -> None:
    assert "first" not in platform.database_url_of("files")
