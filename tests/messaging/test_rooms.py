"""What rooms promise: who may do what in them, once each, in their order, and nothing told to those who are not in them."""

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa
from parvis_kit.db import migrations, versions
from parvis_kit.http.mount import CHAINS
from parvis_suite.assembly import tree_of

from .conftest import CLIENT, Town

SMALL = {"msgtype": "m.text", "body": "x"}


async def bodies(town: Town, by: str, room: str) -> list[str]:
    found = await town.ok("GET", f"rooms/{room}/messages?dir=b&limit=100", by=by)
    return [one["content"].get("body", "") for one in found["chunk"] if one["type"] == "m.room.message"]


@pytest.fixture
async def room(town: Town) -> str:
    await town.sign_in("ada", "bob", "eve")
    return await town.room("ada", "bob", name="Projet")


async def test_the_same_transaction_id_is_the_same_event(town: Town, room: str) -> None:
    first = await town.say("ada", room, "un", "t1")
    assert await town.say("ada", room, "un", "t1") == first
    assert await town.say("bob", room, "un", "t1") != first
    other = await town.ok("POST", "login", town.login_body("ada"))
    town.tokens["other"] = other["access_token"]
    assert await town.say("other", room, "un", "t1") != first, "another device is another sender"
    assert await bodies(town, "ada", room) == ["un"] * 3


async def test_sent_at_once_by_many_it_is_there_once_each(town: Town, room: str) -> None:
    sent = await asyncio.gather(*(town.say("ada", room, "même", "same") for _ in range(8)))
    assert len(set(sent)) == 1
    await asyncio.gather(*(town.say("ada" if number % 2 else "bob", room, f"n{number}") for number in range(16)))
    assert sorted(await bodies(town, "bob", room)) == sorted(["même", *(f"n{number}" for number in range(16))])


async def test_of_a_room_that_one_is_not_in_nothing_is_told(town: Town, room: str) -> None:
    event = await town.say("ada", room, "secret")
    doors = [
        ("GET", f"rooms/{room}/messages?dir=b"), ("GET", f"rooms/{room}/state"), ("GET", f"rooms/{room}/state/m.room.name/"),
        ("GET", f"rooms/{room}/members"), ("GET", f"rooms/{room}/joined_members"), ("GET", f"rooms/{room}/event/{event}"),
        ("GET", f"rooms/{room}/context/{event}"), ("GET", f"/_matrix/client/v1/rooms/{room}/relations/{event}"),
        ("GET", f"/_matrix/client/v1/rooms/{room}/threads"), ("GET", f"rooms/{room}/aliases"),
        ("PUT", f"rooms/{room}/send/m.room.message/t"), ("PUT", f"rooms/{room}/redact/{event}/t"),
        ("PUT", f"rooms/{room}/state/m.room.topic/"), ("POST", f"rooms/{room}/join"), ("POST", f"rooms/{room}/invite"),
        ("POST", f"rooms/{room}/receipt/m.read/{event}"), ("PUT", f"rooms/{room}/typing/{town.id_of('eve')}"),
    ]  # fmt: skip
    for method, path in doors:
        body = None if method == "GET" else {**SMALL, "user_id": town.id_of("bob"), "typing": True}
        real = await town.call(method, path, body, by="eve")
        assert (real[0], real[1]["errcode"]) == (403, "M_FORBIDDEN"), (path, real)
    assert "secret" not in json.dumps(await town.sync("eve"))


async def test_who_leaves_reads_no_more_and_is_told_that_they_left(town: Town, room: str) -> None:
    since = (await town.sync("bob"))["next_batch"]
    await town.ok("POST", f"rooms/{room}/leave", {}, by="bob")
    await town.say("ada", room, "après")
    told = await town.sync("bob", since)
    assert room in told["rooms"]["leave"] and "après" not in json.dumps(told)
    assert (await town.call("GET", f"rooms/{room}/messages?dir=b", by="bob"))[0] == 403
    assert (await town.call("POST", f"rooms/{room}/join", {}, by="bob"))[0] == 403
    await town.ok("POST", f"rooms/{room}/invite", {"user_id": town.id_of("bob")}, by="ada")
    await town.ok("POST", f"rooms/{room}/join", {}, by="bob")
    assert await bodies(town, "bob", room) == ["après"]


async def test_power_decides_who_kicks_renames_and_takes_back(town: Town, room: str) -> None:
    event = await town.say("ada", room, "à moi")
    refused = [
        ("POST", f"rooms/{room}/kick", {"user_id": town.id_of("ada")}),
        ("PUT", f"rooms/{room}/state/m.room.name/", {"name": "À moi"}),
        ("PUT", f"rooms/{room}/redact/{event}/t", {}),
        ("PUT", f"rooms/{room}/state/m.room.power_levels/", {"users": {town.id_of("bob"): 100}}),
    ]
    for method, path, body in refused:
        status, said = await town.call(method, path, body, by="bob")
        assert (status, said["errcode"]) == (403, "M_FORBIDDEN"), (path, said)
    levels = await town.ok("GET", f"rooms/{room}/state/m.room.power_levels/", by="ada")
    levels["users"][town.id_of("bob")] = 50
    await town.ok("PUT", f"rooms/{room}/state/m.room.power_levels/", levels, by="ada")
    await town.ok("PUT", f"rooms/{room}/state/m.room.name/", {"name": "À nous"}, by="bob")
    levels["users"][town.id_of("bob")] = 100
    assert (await town.call("PUT", f"rooms/{room}/state/m.room.power_levels/", levels, by="bob"))[0] == 403
    await town.ok("POST", f"rooms/{room}/kick", {"user_id": town.id_of("bob"), "reason": "fini"}, by="ada")
    assert (await town.call("GET", f"rooms/{room}/state", by="bob"))[0] == 403


async def test_a_sync_says_everything_once_and_in_order(town: Town, room: str) -> None:
    since = (await town.sync("bob"))["next_batch"]
    seen = []
    for number in range(60):
        await town.say("ada", room, f"n{number}")
        if number % 7 == 0:
            got = await town.sync("bob", since)
            since = got["next_batch"]
            seen += [one["content"]["body"] for one in got["rooms"]["join"][room]["timeline"]["events"]]
    got = await town.sync("bob", since)
    seen += [one["content"]["body"] for one in got["rooms"]["join"][room]["timeline"]["events"]]
    assert seen == [f"n{number}" for number in range(60)]
    assert "rooms" not in await town.sync("bob", got["next_batch"])


async def test_a_gap_is_said_to_be_one_and_can_be_paged_through(town: Town, room: str) -> None:
    since = (await town.sync("bob"))["next_batch"]
    for number in range(70):
        await town.say("ada", room, f"n{number}")
    part = (await town.sync("bob", since))["rooms"]["join"][room]["timeline"]
    assert part["limited"] and len(part["events"]) == 20
    token, older = part["prev_batch"], []
    while token is not None:
        page = await town.ok("GET", f"rooms/{room}/messages?dir=b&from={token}&to={since}&limit=13", by="bob")
        older += [one["content"]["body"] for one in page["chunk"]]
        token = page.get("end")
    newer = [one["content"]["body"] for one in part["events"]]
    assert [*reversed(older), *newer] == [f"n{number}" for number in range(70)]


async def test_an_alias_leads_to_a_room_and_is_given_once(town: Town) -> None:
    await town.sign_in("ada", "bob")
    made = await town.ok("POST", "createRoom", {"room_alias_name": "accueil", "preset": "public_chat"}, by="ada")
    status, said = await town.call("POST", "createRoom", {"room_alias_name": "accueil"}, by="bob")
    assert (status, said["errcode"]) == (400, "M_ROOM_IN_USE")
    alias = "%23accueil:parvis.test"
    assert (await town.ok("GET", f"directory/room/{alias}", by="bob"))["room_id"] == made["room_id"]
    assert (await town.ok("POST", f"join/{alias}", {}, by="bob"))["room_id"] == made["room_id"]
    assert (await town.call("DELETE", f"directory/room/{alias}", by="bob"))[0] == 403
    await town.ok("DELETE", f"directory/room/{alias}", by="ada")
    assert (await town.call("GET", f"directory/room/{alias}", by="bob"))[1]["errcode"] == "M_NOT_FOUND"


async def test_what_one_has_read_is_seen_by_the_others(town: Town, room: str) -> None:
    event = await town.say("ada", room, "lis")
    since = (await town.sync("ada"))["next_batch"]
    assert (await town.sync("bob"))["rooms"]["join"][room]["unread_notifications"]["notification_count"] == 1
    await town.ok("POST", f"rooms/{room}/receipt/m.read/{event}", {}, by="bob")
    told = (await town.sync("ada", since))["rooms"]["join"][room]["ephemeral"]["events"]
    assert town.id_of("bob") in told[0]["content"][event]["m.read"]
    assert (await town.sync("bob"))["rooms"]["join"][room]["unread_notifications"]["notification_count"] == 0


async def test_what_was_taken_back_is_gone_from_the_database_too(town: Town, room: str) -> None:
    event = await town.say("bob", room, "confidentiel")
    await town.ok("PUT", f"rooms/{room}/redact/{event}/t", {}, by="bob")
    async with town.messaging.database.read() as conn:
        rows = (await conn.execute(sa.text("SELECT content FROM messaging.event"))).all()
    assert "confidentiel" not in str(rows)


async def test_nothing_here_is_encrypted_from_end_to_end_and_it_is_said(town: Town, room: str) -> None:
    encryption: dict[str, Any] = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}, "state_key": ""}
    assert (await town.call("PUT", f"rooms/{room}/state/m.room.encryption/", encryption["content"], by="ada"))[0] == 403
    assert (await town.call("POST", "createRoom", {"initial_state": [encryption]}, by="ada"))[0] == 403
    assert (await town.call("PUT", f"rooms/{room}/send/m.room.encrypted/t", {"ciphertext": ""}, by="ada"))[0] == 403
    assert (await town.ok("POST", "keys/query", {"device_keys": {}}, by="ada"))["device_keys"] == {}
    known = await town.ok("GET", "/.well-known/matrix/client")
    assert known["io.element.e2ee"]["force_disable"] and known["m.homeserver"]["base_url"] == "http://parvis.test"


async def test_media_beyond_the_caps_is_refused(town: Town) -> None:
    await town.sign_in("ada", "bob")
    way = "/_matrix/media/v3/upload"
    status, said = await town.call("POST", way, data=b"x" * 1001, by="ada")
    assert (status, said["errcode"]) == (413, "M_TOO_LARGE")
    for _ in range(2):
        assert (await town.call("POST", way, data=b"x" * 1000, by="ada"))[0] == 200
    assert (await town.call("POST", way, data=b"x" * 1000, by="ada"))[0] == 403
    assert (await town.call("POST", way, data=b"x" * 1000, by="bob"))[0] == 200


async def test_a_page_that_was_uploaded_does_not_run(town: Town) -> None:
    await town.sign_in("ada")
    status, said = await town.call("POST", "/_matrix/media/v3/upload?filename=a.html", data=b"<script>", by="ada", Content_Type="text/html")
    assert status == 200
    path = "/_matrix/client/v1/media/download/" + said["content_uri"].removeprefix("mxc://")
    async with town.client.get(path, headers={"Authorization": f"Bearer {town.tokens['ada']}"}) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["Content-Security-Policy"] and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (await town.call("GET", path))[1]["errcode"] == "M_MISSING_TOKEN"


async def test_those_who_wait_take_no_place_from_those_at_work(town: Town) -> None:
    await town.sign_in("ada", "bob")
    room = await town.room("ada", "bob")
    since = (await town.sync("ada"))["next_batch"]
    many = town.platform.in_flight_max + 10
    waiting = [asyncio.create_task(town.sync("ada", since, 30_000)) for _ in range(many)]
    while len(town.home.waiters.all) < many:
        await asyncio.sleep(0.01)
    assert not town.app[CHAINS]["messaging"].at_work.deadlines
    assert len(town.app[CHAINS]["messaging.waiting"].at_work.deadlines) == many
    await town.say("bob", room, "debout")
    for got in await asyncio.wait_for(asyncio.gather(*waiting), 20):
        assert got["rooms"]["join"][room]["timeline"]["events"][0]["content"]["body"] == "debout"
    assert not town.home.waiters.all and not town.home.waiters.by_key


async def test_what_another_process_writes_wakes_too(town: Town) -> None:
    await town.sign_in("ada", "bob")
    room = await town.room("ada", "bob")
    since = (await town.sync("ada"))["next_batch"]
    await town.look_after_waiters()
    waiting = asyncio.create_task(town.sync("ada", since, 30_000))
    while not any(room in one.keys for one in town.home.waiters.all):
        await asyncio.sleep(0.01)
    heard, town.home.waiters.by_key = town.home.waiters.by_key, {}  # this process hears nothing of it
    await town.say("bob", room, "d'ailleurs")
    town.home.waiters.by_key, town.home.waiters.seen = heard, 0
    await town.look_after_waiters()
    assert "d'ailleurs" in json.dumps(await asyncio.wait_for(waiting, 5), ensure_ascii=False)


async def test_who_waits_is_let_go_when_the_process_stops(town: Town) -> None:
    await town.sign_in("ada")
    since = (await town.sync("ada"))["next_batch"]
    waiting = asyncio.create_task(town.sync("ada", since, 30_000))
    while not town.home.waiters.all:
        await asyncio.sleep(0.01)
    town.process.draining = True
    assert "rooms" not in await asyncio.wait_for(waiting, 5)


async def test_a_browser_may_ask_from_elsewhere(town: Town) -> None:
    async with town.client.options(f"{CLIENT}/sync") as answer:
        assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_the_migrations_make_the_tables(town: Town) -> None:
    tree = tree_of(town.messaging, town.platform)
    assert await migrations.differences(tree) == []
    assert len(versions.heads(tree.package)) == 1
    await migrations.downgrade(tree)
    await migrations.upgrade(tree)
    assert await migrations.at_head(tree)
