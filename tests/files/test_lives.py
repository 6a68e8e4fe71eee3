"""What files does when agents join, leave and come back, when ministries merge, and what the migrations make: through the real log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from parvis_contracts.directory import AgentJoined, AgentLeft, AgentReinstated, MinistryMerged
from parvis_directory import actions, queries
from parvis_directory.rules import Asker
from parvis_directory.rules.departures import DepartureSeen
from parvis_files.rules.uploads import INTENT_LIFE, LEASE
from parvis_files.store import space
from parvis_files.sweeps import UPLOADS_SECONDS
from parvis_kit.background import Background
from parvis_kit.clock import utc_now
from parvis_kit.db import migrations, versions
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_kit.testing.databases import Place
from parvis_kit.testing.waiting import until
from parvis_suite.assembly import background_of, migrate, tree_of
from parvis_suite.services import build_all
from pydantic import SecretStr

from .conftest import Office

ROOT = Asker(UUID(int=0), UUID(int=0), frozenset({"operator"}))


def fact(office: Office, type_of: type[Any], name: str, **values: Any) -> Any:
    one = office.ids[name]
    return type_of(at=office.clock(), about=str(one), agent_id=one, **values)


async def test_who_joins_twice_has_one_space_and_who_asks_early_has_theirs(office: Office) -> None:
    await office.hears(fact(office, AgentJoined, "ada", ministry_id=office.ministries["interieur"], kind="agent"))
    assert len(await office.rows("SELECT id FROM files.space")) == 3
    office.tokens["new"] = office.token("new", office.ministries["interieur"])
    first = await office.get("spaces/personal", by="new")
    await office.hears(fact(office, AgentJoined, "new", ministry_id=office.ministries["interieur"], kind="agent"))
    assert await office.get("spaces/personal", by="new") == first and first["kind"] == "personal"
    assert (await office.said()).count("space.created.v1") == 4


async def test_a_leaver_s_space_is_frozen_and_what_they_shared_stays_readable(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    done = await office.store(folder, "a.txt", b"1", by="ada")
    await office.share(folder, "agent", "bob", "editor", by="ada")
    await office.declare(folder, "late.txt", b"late", by="ada")
    left = fact(office, AgentLeft, "ada", ministry_id=office.ministries["interieur"])
    await office.hears(left, left)
    assert await office.content(done["file_id"], by="bob") == b"1"
    status, problem, _ = await office.declare(folder, "b.txt", b"1", by="bob")
    assert status == 409 and "frozen" in problem["detail"]
    assert (await office.call("DELETE", f"items/{done['file_id']}", by="bob"))[0] == 409
    assert await office.quota("ada") == (1, 0) and (await office.said()).count("leaver.settled.v1") == 2
    await office.hears(fact(office, AgentReinstated, "ada"))
    assert (await office.declare(folder, "b.txt", b"1", by="bob"))[0] == 201


async def test_the_shared_spaces_of_a_ministry_go_over_with_it(office: Office) -> None:
    made = await office.space("Cabinet", by="ada")
    await office.store(made["root_id"], "a.txt", b"1234", by="ada")
    here, there = office.ministries["interieur"], office.ministries["ecologie"]
    merged = MinistryMerged(at=office.clock(), about=str(here), ministry_id=here, into_ministry_id=there)
    await office.hears(merged, merged)
    async with office.files.database.read() as conn:
        assert (await conn.execute(sa.select(space.c.ministry_id).where(space.c.id == UUID(made["id"])))).scalar() == there
    rows = await office.rows("SELECT ministry_id, used_bytes FROM files.ministry_quota")
    held = {str(row[0]).replace("-", ""): row[1] for row in rows}
    assert held == {here.hex: 0, there.hex: 4}


@dataclass
class Suite:
    """Directory and files as they run, with the log between them."""

    platform: Platform
    directory: Service
    files: Service

    async def spaces(self) -> list[tuple[UUID, Any]]:
        async with self.files.database.read() as conn:
            return [(row[0], row[1]) for row in await conn.execute(sa.select(space.c.owner_id, space.c.frozen_at))]


@pytest.fixture
async def suite(place: Place, tmp_path: Path) -> AsyncIterator[Suite]:
    platform = Platform(data=tmp_path, database_url=SecretStr("" if place.server is None else place.url_of("")), access_log=False)
    services = build_all(platform, ["directory", "files"])
    await migrate(services, platform)
    background = Background()
    background.start(background_of(services, platform))
    try:
        yield Suite(platform, *services)
    finally:
        await background.stop()
        for service in services:
            await service.database.close()


async def test_over_the_log_who_joins_gets_a_space_and_who_leaves_is_ticked_off(suite: Suite) -> None:
    async with suite.directory.database.transaction() as tx:
        ministry = await actions.create_ministry(tx, ROOT, "110014016", "Ministère", now=utc_now())
        new = actions.NewPerson(ministry.id, None, "agent", "ada@example.org", "Ada", "Martin", "fr", [], None)
        ada = await actions.create_agent(tx, ROOT, new, now=utc_now())

    async def has_space() -> bool:
        return await suite.spaces() == [(ada.id, None)]

    await until(has_space, "ada has her space")
    async with suite.directory.database.transaction() as tx:
        await actions.change_agent(tx, ROOT, ada.id, actions.Changes(state="left"), if_match='"1"', now=utc_now())

    async def departure() -> DepartureSeen:
        async with suite.directory.database.read() as conn:
            return await queries.departure_for(conn, ROOT, ada.id, {"files"})

    async def is_done() -> bool:
        return bool((await departure()).done)

    await until(is_done, "files has done its part")
    assert [(step.service, step.what) for step in (await departure()).done] == [("files", ["personal space frozen"])]
    assert (await suite.spaces())[0][1] is not None


async def test_the_migrations_make_the_tables(suite: Suite) -> None:
    tree = tree_of(suite.files, suite.platform)
    assert await migrations.differences(tree) == []
    assert len(versions.heads(tree.package)) == 1
    await migrations.downgrade(tree)
    await migrations.upgrade(tree)
    assert await migrations.at_head(tree)


def test_a_lease_is_longer_than_a_look() -> None:
    assert timedelta(seconds=UPLOADS_SECONDS) < LEASE < INTENT_LIFE
