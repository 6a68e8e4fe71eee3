"""What SQLite's own limits do to the log."""

from pathlib import Path

import pytest
from parvis_kit.problems import Unavailable
from parvis_kit.testing.stage import Stage, changed


async def test_a_full_disk_refuses_the_whole_transaction_and_nothing_else(tmp_path: Path) -> None:
    stage = Stage(lambda service: f"sqlite:///{tmp_path / service}.db")
    await stage.make_tables()
    await stage.change("k", 1)
    async with stage.alpha.transaction() as tx:
        pages = (await tx.exec_driver_sql("PRAGMA alpha.page_count")).scalar_one()
        await tx.exec_driver_sql(f"PRAGMA alpha.max_page_count = {pages}")
    with pytest.raises(Unavailable):
        await stage.publish(*(changed(f"k{n}", 1) for n in range(1000)))
    async with stage.alpha.transaction() as tx:
        await tx.exec_driver_sql("PRAGMA alpha.max_page_count = 100000")
    async with stage.running(stage.flow()):
        await stage.change("k", 2)
        await stage.until_told("k", 1, 2)
        assert await stage.story("k0") == []
    await stage.close()
