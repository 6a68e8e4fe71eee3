"""What every homeserver owes the bridge: the same contract for each driver. What is asked twice is done once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from parvis_messaging.actions import Loopback
from parvis_messaging.homeserver.port import Failed, Homeserver, RoomWanted

from .conftest import SERVER, Town


@dataclass
class Bench:
    """A homeserver with accounts for ada and bob, and eyes that see what clients would."""

    server: Homeserver
    town: Town

    async def members(self, room_id: str) -> set[str]:
        return set((await self.town.ok("GET", f"rooms/{room_id}/joined_members", by="ada"))["joined"])

    async def texts(self, room_id: str) -> list[str]:
        page = await self.town.ok("GET", f"rooms/{room_id}/messages?dir=f&limit=100", by="ada")
        return [one["content"]["body"] for one in page["chunk"] if one["type"] == "m.room.message"]

    async def name(self, room_id: str) -> str:
        return str((await self.town.ok("GET", f"rooms/{room_id}/state/m.room.name", by="ada"))["name"])


@pytest.fixture(params=["loopback"])
async def bench(request: pytest.FixtureRequest, town: Town) -> AsyncIterator[Bench]:
    """Another driver joins by its name here."""
    await town.sign_in("ada", "bob")
    yield Bench(Loopback(town.messaging.database, town.home, town.clock), town)


WANTED = RoomWanted("_parvis_team_1", "Projet", False, {"kind": "team", "team_id": "1"})


async def test_a_room_is_made_once_and_found_again_by_its_alias(bench: Bench) -> None:
    first = await bench.server.ensure_room(WANTED)
    assert await bench.server.ensure_room(WANTED) == first
    await bench.server.bring_in(first, bench.town.id_of("ada"))
    assert await bench.name(first) == "Projet"
    assert (await bench.town.ok("GET", f"rooms/{first}/state/fr.parvis.link", by="ada"))["team_id"] == "1"


async def test_members_come_and_go_however_often_it_is_asked(bench: Bench) -> None:
    room_id = await bench.server.ensure_room(WANTED)
    for name in ("ada", "bob", "bob"):
        await bench.server.bring_in(room_id, bench.town.id_of(name))
    assert await bench.members(room_id) == {bench.server.bot, bench.town.id_of("ada"), bench.town.id_of("bob")}
    for _ in range(2):
        await bench.server.put_out(room_id, bench.town.id_of("bob"))
    assert await bench.members(room_id) == {bench.server.bot, bench.town.id_of("ada")}


async def test_a_name_is_changed(bench: Bench) -> None:
    room_id = await bench.server.ensure_room(WANTED)
    await bench.server.bring_in(room_id, bench.town.id_of("ada"))
    for _ in range(2):
        await bench.server.rename(room_id, "Nouveau projet")
    assert await bench.name(room_id) == "Nouveau projet"


async def test_a_message_sent_twice_under_one_transaction_id_is_one(bench: Bench) -> None:
    room_id = await bench.server.ensure_room(WANTED)
    await bench.server.bring_in(room_id, bench.town.id_of("ada"))
    content = {"msgtype": "m.text", "body": "Bonjour"}
    first = await bench.server.send(room_id, "m.room.message", content, "T1")
    assert await bench.server.send(room_id, "m.room.message", content, "T1") == first
    assert await bench.server.send(room_id, "m.room.message", content, "T2") != first
    assert await bench.texts(room_id) == ["Bonjour", "Bonjour"]


async def test_an_agent_has_an_account_or_none(bench: Bench) -> None:
    assert await bench.server.user_of(bench.town.ids["ada"]) == f"@ada.martin:{SERVER}"
    assert await bench.server.user_of(uuid4()) is None


async def test_what_is_refused_has_its_status_and_errcode(bench: Bench) -> None:
    with pytest.raises(Failed) as refused:
        await bench.server.send("!nowhere:elsewhere", "m.room.message", {"msgtype": "m.text", "body": "?"}, "T1")
    assert refused.value.status == 403 and refused.value.errcode == "M_FORBIDDEN"
    room_id = await bench.server.ensure_room(WANTED)
    with pytest.raises(Failed) as refused:
        await bench.server.send(room_id, "m.room.message", {"msgtype": "m.text", "body": "x" * 70_000}, "T2")
    assert refused.value.status == 413 and refused.value.errcode == "M_TOO_LARGE"
