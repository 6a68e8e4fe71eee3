"""What every homeserver owes the bridge: the same contract for each driver. What is asked twice is done once."""

from dataclasses import dataclass
from uuid import uuid4

import pytest
from parvis_kit.testing.waiting import until
from parvis_messaging.actions.settling import settle_account
from parvis_messaging.homeserver.port import Failed, Homeserver, RoomWanted
from parvis_messaging.store import accounts

from .bridge import sender_of
from .conftest import ON_EVERY_HOMESERVER, Town

pytestmark = ON_EVERY_HOMESERVER


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

    async def gone(self, room_id: str, user_id: str) -> None:
        """Synapse leaves the rooms of a closed account a moment later."""

        async def is_gone() -> bool:
            return user_id not in await self.members(room_id)

        await until(is_gone, f"{user_id} is out of the room")

    async def name(self, room_id: str) -> str:
        return str((await self.town.ok("GET", f"rooms/{room_id}/state/m.room.name", by="ada"))["name"])


@pytest.fixture
async def bench(town: Town) -> Bench:
    server = sender_of(town).bridge.server
    for name in ("ada", "bob"):
        await settle_account(town.messaging.database, sender_of(town).bridge, town.ids[name])
    await town.sign_in("ada", "bob")
    return Bench(server, town)


@pytest.fixture
def wanted() -> RoomWanted:
    team = uuid4()
    return RoomWanted(f"_parvis_team_{team}", "Projet", False, {"kind": "team", "team_id": str(team)})


async def test_a_room_is_made_once_and_found_again_by_its_alias(bench: Bench, wanted: RoomWanted) -> None:
    first = await bench.server.ensure_room(wanted)
    assert await bench.server.ensure_room(wanted) == first
    await bench.server.bring_in(first, bench.town.id_of("ada"))
    assert await bench.name(first) == "Projet"
    assert await bench.town.ok("GET", f"rooms/{first}/state/fr.parvis.link", by="ada") == wanted.link


async def test_members_come_and_go_however_often_it_is_asked(bench: Bench, wanted: RoomWanted) -> None:
    room_id = await bench.server.ensure_room(wanted)
    for name in ("ada", "bob", "bob"):
        await bench.server.bring_in(room_id, bench.town.id_of(name))
    assert await bench.members(room_id) == {bench.server.bot, bench.town.id_of("ada"), bench.town.id_of("bob")}
    for _ in range(2):
        await bench.server.put_out(room_id, bench.town.id_of("bob"))
    assert await bench.members(room_id) == {bench.server.bot, bench.town.id_of("ada")}


async def test_a_name_is_changed(bench: Bench, wanted: RoomWanted) -> None:
    room_id = await bench.server.ensure_room(wanted)
    await bench.server.bring_in(room_id, bench.town.id_of("ada"))
    for _ in range(2):
        await bench.server.rename(room_id, "Nouveau projet")
    assert await bench.name(room_id) == "Nouveau projet"


async def test_a_message_sent_twice_under_one_transaction_id_is_one(bench: Bench, wanted: RoomWanted) -> None:
    room_id = await bench.server.ensure_room(wanted)
    await bench.server.bring_in(room_id, bench.town.id_of("ada"))
    content = {"msgtype": "m.text", "body": "Bonjour"}
    first = await bench.server.send(room_id, "m.room.message", content, "T1")
    assert await bench.server.send(room_id, "m.room.message", content, "T1") == first
    assert await bench.server.send(room_id, "m.room.message", content, "T2") != first
    assert await bench.texts(room_id) == ["Bonjour", "Bonjour"]


async def test_an_account_is_called_as_the_directory_calls_its_agent(bench: Bench) -> None:
    for _ in range(2):
        await bench.server.keep_account(bench.town.id_of("ada"), f"Ada {bench.town.family}")
    profile = await bench.town.ok("GET", f"profile/{bench.town.id_of('ada')}", by="bob")
    assert profile["displayname"] == f"Ada {bench.town.family}"


async def test_a_session_is_ended_and_no_other(bench: Bench) -> None:
    await bench.town.sign_in("ada", "bob")
    here = (await bench.town.ok("GET", "account/whoami", by="ada"))["device_id"]
    for _ in range(2):
        await bench.server.end_session(bench.town.id_of("ada"), here)
    assert (await bench.town.call("GET", "account/whoami", by="ada"))[1]["errcode"] == "M_UNKNOWN_TOKEN"
    assert (await bench.town.call("GET", "account/whoami", by="bob"))[0] == 200


async def test_a_closed_account_is_in_no_room_and_comes_back(bench: Bench, wanted: RoomWanted) -> None:
    room_id, bob = await bench.server.ensure_room(wanted), bench.town.id_of("bob")
    for name in ("ada", "bob"):
        await bench.server.bring_in(room_id, bench.town.id_of(name))
    async with bench.town.messaging.database.transaction() as tx:
        await accounts.change_account(tx, bob, closed_at=bench.town.clock())
    assert await bench.server.close_account(bob) >= 1
    await bench.server.close_account(bob)
    await bench.gone(room_id, bob)
    assert (await bench.town.call("GET", "account/whoami", by="bob"))[0] == 401
    assert (await bench.town.call("POST", "login", bench.town.login_body("bob")))[0] == 403
    async with bench.town.messaging.database.transaction() as tx:
        await accounts.change_account(tx, bob, closed_at=None)
    await bench.server.keep_account(bob, "Bob")
    await bench.town.sign_in("bob")


async def test_what_is_refused_has_its_status_and_errcode(bench: Bench, wanted: RoomWanted) -> None:
    with pytest.raises(Failed) as refused:
        await bench.server.send("!nowhere:elsewhere", "m.room.message", {"msgtype": "m.text", "body": "?"}, "T1")
    assert refused.value.status == 403 and refused.value.errcode == "M_FORBIDDEN"
    room_id = await bench.server.ensure_room(wanted)
    with pytest.raises(Failed) as refused:
        await bench.server.send(room_id, "m.room.message", {"msgtype": "m.text", "body": "x" * 70_000}, "T2")
    assert refused.value.status == 413 and refused.value.errcode == "M_TOO_LARGE"
