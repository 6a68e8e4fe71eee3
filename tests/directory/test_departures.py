"""An agent leaves: every service does its part and says so; what is missing can be seen, and when nothing is, it is over."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from parvis_contracts.leavers import LeaverAcknowledged
from parvis_directory.app import build
from parvis_directory.settings import Settings
from parvis_directory.sweeps import settle_departures
from parvis_kit.db import Database, metadata_for
from parvis_kit.events import log_tables, publish
from parvis_kit.events.bell import Bell
from parvis_kit.events.running import Flow, tasks_of
from parvis_kit.events.sql_log import SqlLog
from parvis_kit.settings import SettingsRefused
from parvis_kit.testing.databases import Place, make_tables
from parvis_kit.testing.waiting import until

from .conftest import Town
from .test_people import AGENTS, audited, said


class ShelfSettled(LeaverAcknowledged):
    """Books are back."""

    type: ClassVar = "shelf.leaver.settled.v1"


class LampSettled(LeaverAcknowledged):
    """The light is out."""

    type: ClassVar = "lamp.leaver.settled.v1"


KINDS: dict[str, type[LeaverAcknowledged]] = {"lamp": LampSettled, "shelf": ShelfSettled}
METADATA = {name: metadata_for(name) for name in KINDS}
for one in METADATA.values():
    log_tables(one)


@pytest.fixture
def acknowledgements() -> dict[str, type[LeaverAcknowledged]]:
    return KINDS


class Services:
    """Two services that acknowledge, and directory that listens."""

    def __init__(self, town: Town, place: Place) -> None:
        self.town, self.place = town, place
        self.databases: dict[str, Database] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        for name, metadata in METADATA.items():
            self.databases[name] = Database(self.place.url_of(name), name)
            await make_tables(self.databases[name], metadata)
            if not self.databases[name].is_sqlite:  # as `parvis migrate` does for services of the suite
                async with self.databases[name].transaction() as tx:
                    await tx.execute(sa.text(f"GRANT USAGE ON SCHEMA {name} TO parvis_directory"))
                    await tx.execute(sa.text(f"GRANT SELECT ON {name}.log, {name}.log_head TO parvis_directory"))
        log, town = SqlLog(self.url_of, Bell()), self.town
        flows = [Flow(one, town.clock, log, {}) for one in self.databases.values()]
        flows.append(Flow(town.directory.database, town.clock, log, town.directory.reactions))
        for flow in flows:
            self.tasks += [asyncio.ensure_future(run()) for run in tasks_of(flow).values()]

    def url_of(self, service: str) -> str:
        return self.databases[service].url if service in self.databases else self.town.platform.database_url_of(service)

    async def acknowledge(self, service: str, who: str, left_at: datetime, *done: str) -> None:
        agent_id = self.town.ids[who]
        async with self.databases[service].transaction() as tx:
            publish(tx, KINDS[service](at=self.town.clock(), about=str(agent_id), agent_id=agent_id, left_at=left_at, done=done))

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for database in self.databases.values():
            await database.close()


@pytest.fixture
async def services(town: Town, place: Place) -> AsyncIterator[Services]:
    made = Services(town, place)
    await made.open()
    yield made
    await made.close()


async def leave(town: Town, who: str) -> datetime:
    path = f"{AGENTS}/{town.ids[who]}"
    etag = (await town.call("GET", path, by="oli"))[2]["ETag"]
    assert (await town.call("PATCH", path, by="oli", body={"state": "left"}, If_Match=etag))[0] == 200
    return town.clock()


async def departure(town: Town, who: str, by: str = "ada") -> tuple[int, Any]:
    return (await town.call("GET", f"{AGENTS}/{town.ids[who]}/departure", by=by))[:2]


async def settle(town: Town) -> None:
    """As the clock asks for it: where nobody has to acknowledge, a departure is over by then."""
    [sweep] = [one for one in town.directory.sweeps if one.name == "departures"]
    await sweep.action()


async def come_back(town: Town, who: str, by: str = "ada", reader: str = "oli") -> int:
    etag = (await town.call("GET", f"{AGENTS}/{town.ids[who]}", by=reader))[2]["ETag"]
    return (await town.call("POST", f"{AGENTS}/{town.ids[who]}/return", by=by, If_Match=etag))[0]


async def ticked(town: Town, who: str, *names: str) -> None:
    async def seen() -> bool:
        return [step["service"] for step in (await departure(town, who))[1]["done"]] == list(names)

    await until(seen, f"{names} are ticked off")


async def test_what_is_missing_can_be_seen_until_nothing_is(town: Town, services: Services) -> None:
    left_at = await leave(town, "bob")
    status, seen = await departure(town, "bob")
    assert status == 200 and (seen["done"], seen["missing"], seen["settled_at"]) == ([], ["lamp", "shelf"], None)
    town.clock.advance(5)
    await services.acknowledge("shelf", "bob", left_at, "3 books back")
    await ticked(town, "bob", "shelf")
    seen = (await departure(town, "bob"))[1]
    assert seen["missing"] == ["lamp"] and seen["done"][0]["what"] == ["3 books back"]
    assert "directory.leaver.settled.v1" not in await said(town)
    await services.acknowledge("lamp", "bob", left_at)
    await ticked(town, "bob", "lamp", "shelf")
    seen = (await departure(town, "bob"))[1]
    assert seen["missing"] == [] and seen["settled_at"] is not None
    assert (await said(town))[-1] == "directory.leaver.settled.v1"
    assert (await audited(town))[-1] == ("agent.settled", "done")


async def test_who_acknowledges_three_times_and_late_is_counted_once(town: Town, services: Services) -> None:
    left_at = await leave(town, "bob")
    for _ in range(3):
        await services.acknowledge("shelf", "bob", left_at, "3 books back")
    await services.acknowledge("lamp", "bob", left_at)
    await ticked(town, "bob", "lamp", "shelf")
    settled_at = (await departure(town, "bob"))[1]["settled_at"]
    town.clock.advance(hours=3)
    await services.acknowledge("shelf", "bob", left_at, "a fourth book")
    await leave(town, "eve")
    await services.acknowledge("shelf", "eve", town.clock())

    async def heard_the_last() -> bool:
        return bool((await departure(town, "eve", by="oli"))[1]["done"])

    await until(heard_the_last, "all that was said is heard")
    seen = (await departure(town, "bob"))[1]
    assert seen["settled_at"] == settled_at and [step["what"] for step in seen["done"]] == [[], ["3 books back", "a fourth book"]]
    assert (await said(town)).count("directory.leaver.settled.v1") == 1


async def test_who_has_come_back_is_not_settled_by_what_was_said_of_the_first_departure(town: Town, services: Services) -> None:
    first = await leave(town, "bob")
    await services.acknowledge("shelf", "bob", first)
    await ticked(town, "bob", "shelf")
    town.clock.advance(60)
    assert await come_back(town, "bob") == 200
    assert (await said(town))[-2:] == ["directory.agent.reinstated.v1", "directory.agent.state.v1"]
    assert (await departure(town, "bob"))[0] == 404
    await services.acknowledge("lamp", "bob", first)
    town.clock.advance(60)
    second = await leave(town, "bob")
    await services.acknowledge("lamp", "bob", second)
    await ticked(town, "bob", "lamp")
    assert (await departure(town, "bob"))[1]["missing"] == ["shelf"]
    await services.acknowledge("shelf", "bob", first)
    await services.acknowledge("shelf", "bob", second)
    await ticked(town, "bob", "lamp", "shelf")
    assert (await said(town)).count("directory.leaver.settled.v1") == 1


async def test_who_has_left_is_not_moved_and_who_was_moved_before_leaves_from_there(town: Town, services: Services) -> None:
    body = {"ministry_id": str(town.ministries["ecologie"])}
    path = f"{AGENTS}/{town.ids['bob']}"
    assert (await town.call("POST", f"{path}/move", by="oli", body=body, If_Match='"1"'))[0] == 200
    left_at = await leave(town, "bob")
    back = {"ministry_id": str(town.ministries["interieur"])}
    assert (await town.call("POST", f"{path}/move", by="oli", body=back, If_Match='"3"'))[0] == 409
    for service in KINDS:
        await services.acknowledge(service, "bob", left_at)

    async def over() -> bool:
        return (await departure(town, "bob", by="eve"))[1]["settled_at"] is not None

    await until(over, "the departure is over")
    assert (await departure(town, "bob", by="ada"))[0] == 404


async def test_when_it_is_over_nobody_comes_back(town: Town, services: Services) -> None:
    left_at = await leave(town, "bob")
    for service in KINDS:
        await services.acknowledge(service, "bob", left_at)
    await ticked(town, "bob", "lamp", "shelf")
    assert await come_back(town, "bob") == 409


@pytest.mark.parametrize(
    ("by", "look", "back"), [("bob", 401, 401), ("eve", 404, 404), ("cyd", 403, 403), ("ada", 200, 200), ("oli", 200, 200)]
)
async def test_administrators_see_a_departure_and_call_it_off(town: Town, by: str, look: int, back: int) -> None:
    await town.add("cyd", "interieur")
    await leave(town, "bob")
    before = await said(town)
    assert (await departure(town, "bob", by=by))[0] == look
    assert await come_back(town, "bob", by=by) == back
    assert (await said(town) == before) is (back != 200)


async def test_who_has_not_left_has_no_departure(town: Town) -> None:
    assert (await departure(town, "bob"))[0] == 404
    assert await come_back(town, "bob") == 409


async def test_leavers_are_seen_by_pages_the_open_ones_first_whoever_is_settled_meanwhile(town: Town, services: Services) -> None:
    names = [f"leaver{number}" for number in range(7)]
    for name in names:
        await town.add(name, "interieur")
    for number, name in enumerate(names):
        town.clock.advance(60 if number % 3 else 0)  # some in the same moment
        left_at = await leave(town, name)
        if number < 3:
            for service in KINDS:
                await services.acknowledge(service, name, left_at)
            await ticked(town, name, "lamp", "shelf")
    way = f"/api/directory/v1/ministries/{town.ministries['interieur']}/leavers"
    seen, counts, after = [], [], ""
    while after is not None:
        status, page, _ = await town.call("GET", f"{way}?limit=2{f'&after={after}' if after else ''}", by="ada")
        assert status == 200 and len(page["items"]) <= 2
        if after == "":  # the last of the first page is settled before the second is asked for
            settled = page["items"][-1]["departure"]
            name = next(name for name in names if str(town.ids[name]) == settled["agent_id"])
            for service in KINDS:
                await services.acknowledge(service, name, datetime.fromisoformat(settled["left_at"]))
            await ticked(town, name, "lamp", "shelf")
        seen += [(one["departure"]["agent_id"], one["departure"]["settled_at"] is not None) for one in page["items"]]
        counts.append(page["open"])
        after = page["next"]
    assert {agent for agent, _ in seen} == {str(town.ids[name]) for name in names}, "nobody is left out"
    assert [over for _, over in seen] == sorted(over for _, over in seen) and (counts[0], counts[-1]) == (4, 3)
    for wrong in ("x", "0", "2" + "0" * 53, f"0{'9' * 53}"):
        assert (await town.call("GET", f"{way}?after={wrong}", by="ada"))[0] == 422
    assert (await town.call("GET", way, by="eve"))[0] == 404


async def test_a_guest_whose_time_is_over_leaves_and_does_not_come_back(town: Town) -> None:
    await town.add("gus", "interieur", kind="guest")
    await leave(town, "gus")
    town.clock.advance(days=2)
    await town.add("ada2", "interieur", "ministry_administrator")
    assert await come_back(town, "gus", by="ada2", reader="ada2") == 409


async def test_where_no_service_has_to_acknowledge_a_departure_is_over_at_once(town: Town) -> None:
    left_at = await leave(town, "bob")
    await settle_departures(town.directory.database, town.clock, frozenset(KINDS))
    assert (await departure(town, "bob"))[1]["settled_at"] is None
    for _ in range(2):
        await settle_departures(town.directory.database, town.clock, frozenset())
    seen = (await departure(town, "bob"))[1]
    assert datetime.fromisoformat(seen["settled_at"]) == left_at and seen["missing"] == []
    assert (await said(town)).count("directory.leaver.settled.v1") == 1


def test_the_installation_says_who_has_to_acknowledge(town: Town) -> None:
    only = build(town.platform, town.clock, Settings(leaver_services=("lamp",)), KINDS)
    assert list(only.reactions) == [LampSettled]
    with pytest.raises(SettingsRefused, match="attic acknowledges no departure; lamp, shelf can"):
        build(town.platform, town.clock, Settings(leaver_services=("attic",)), KINDS)
