"""Whoever looks whether something is stuck sees all that may be."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from parvis_kit.clock import utc_now
from parvis_kit.settings import Platform
from parvis_suite.assembly import migrate
from parvis_suite.services import build_all

from .fire import waiting

AGE = timedelta(minutes=2)


async def test_an_upload_and_a_message_that_go_no_further_are_seen(tmp_path: Path) -> None:
    platform = Platform(data=tmp_path)
    shape: Any = SimpleNamespace(platform=platform)
    services = {one.name: one for one in build_all(platform)}
    try:
        await migrate(list(services.values()), platform)
        assert await waiting(shape) == {}
        since = utc_now() - AGE
        space, upload = (services["files"].metadata.tables[f"files.{name}"] for name in ("space", "upload"))
        delivery = services["messaging"].metadata.tables["messaging.delivery"]
        async with services["files"].database.transaction() as tx:
            there = made_up(space)
            await tx.execute(sa.insert(space).values(**there))
            for state in ("uploading", "scanning", "committed"):
                said = {"space_id": there["id"], "state": state, "changed_at": since, "blob_key": state}
                await tx.execute(sa.insert(upload).values(**made_up(upload) | said))
        async with services["messaging"].database.transaction() as tx:
            for state in ("waiting", "parked"):
                await tx.execute(sa.insert(delivery).values(lane="team:1", act="room", state=state, created_at=since))
    finally:
        for one in services.values():
            await one.database.close()
    found = await waiting(shape)
    assert {what: one.count for what, one in found.items()} == {"uploads": 1, "deliveries": 1}
    assert all(one.seconds == pytest.approx(AGE.total_seconds(), abs=60) for one in found.values())


def made_up(table: sa.Table) -> dict[str, Any]:
    """Of the kinds that its columns take; what it says is nobody's business here."""
    kinds = {"UUID": uuid4, "int": lambda: 1, "bool": lambda: False, "str": lambda: "x", "object": utc_now}
    return {one.name: kinds[one.type.python_type.__name__]() for one in table.c if not one.nullable}
