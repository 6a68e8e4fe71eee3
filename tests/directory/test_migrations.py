"""Directory's tables through time: what the migrations make is what the code expects, with rows in it too."""

import sqlalchemy as sa
from parvis_kit.audit.chain import chain_all
from parvis_kit.audit.verify import verify
from parvis_kit.db import migrations, versions
from parvis_kit.db.versions import version_in
from parvis_suite.assembly import tree_of

from .conftest import Town


async def test_the_migrations_make_the_tables(town: Town) -> None:
    tree = tree_of(town.directory, town.platform)
    assert await migrations.differences(tree) == []
    assert len(versions.heads(tree.package)) == 1


async def test_every_step_has_a_way_back_and_forth_with_rows_in_the_tables(town: Town) -> None:
    tree, database = tree_of(town.directory, town.platform), town.directory.database
    await chain_all(database)

    async def version() -> str | None:
        async with database.read() as conn:
            return await conn.run_sync(lambda sync: version_in("directory", sync))

    async def acts() -> list[str]:
        async with database.read() as conn:
            return list((await conn.execute(sa.text("SELECT what FROM directory.audit ORDER BY seq"))).scalars())

    async def words() -> list[str]:
        async with database.read() as conn:
            return list((await conn.execute(sa.text("SELECT word FROM directory.agent_word ORDER BY word, agent_id"))).scalars())

    before, known = await acts(), await words()
    assert "martin" in known
    while await version() != "0001":
        await migrations.downgrade(tree)
    assert await acts() == before
    await migrations.upgrade(tree)
    assert await migrations.differences(tree) == []
    assert await words() == known, "who was there before is found"
    assert await acts() == before and await chain_all(database) == len(before)
    found = await verify(database, "")
    assert (found.rows, found.broken) == (len(before), None), "what was there before joins the suite's own chain"
