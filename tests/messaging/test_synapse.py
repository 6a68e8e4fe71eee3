"""What is the appservice driver's own: the homeserver's door, sign-in through it, sessions that end, pushes that were lost."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import nio
import pytest
import sqlalchemy as sa
from parvis_kit.testing.waiting import until
from parvis_messaging.api.appservice import REGISTRATION
from parvis_messaging.homeserver.port import Failed
from parvis_messaging.homeserver.synapse import CLIENT, Synapse
from parvis_messaging.store import deliveries
from parvis_messaging.store.inbounds import inbound
from parvis_messaging.store.links import lane_of
from parvis_roster.asking import ADDRESS_RATE

from .bridge import deliver, facts, invited, joined, messages, room_of, sender_of, thread, told
from .conftest import Town
from .test_delivery import Faulty

pytestmark = pytest.mark.parametrize(("database_kind", "homeserver"), [("postgresql", "synapse")], indirect=True)
APP = "/_matrix/app/v1"


@pytest.fixture
async def bridged(town: Town) -> Town:
    """Bob has joined, is signed in, and was welcomed."""
    await joined(town, "bob")
    await deliver(town)
    await town.sign_in("bob")
    return town


def token_of(town: Town) -> str:
    token: str = town.messaging.handles[REGISTRATION].hs_token
    return token


async def push(town: Town, *events: Any, token: str = "", txn: str = "1") -> tuple[int, Any]:
    said = {"Authorization": f"Bearer {token or token_of(town)}"}
    return await town.call("PUT", f"{APP}/transactions/{txn}", {"events": list(events)}, **said)


async def noted(town: Town) -> list[str]:
    async with town.messaging.database.read() as conn:
        return [row[0] for row in await conn.execute(sa.select(inbound.c.event_id).order_by(inbound.c.number))]


def written(town: Town, room_id: str, event_id: str, **content: Any) -> dict[str, Any]:
    return {
        "event_id": event_id, "room_id": room_id, "type": "m.room.message", "sender": town.id_of("bob"), "origin_server_ts": 1,
        "content": {"msgtype": "m.text", "body": "Lu", **content},
    }  # fmt: skip


async def test_the_homeserver_s_door_opens_to_its_token_alone(bridged: Town) -> None:
    event = written(bridged, await room_of(bridged, "bob"), "$pushed")
    assert (await bridged.call("PUT", f"{APP}/transactions/1", {"events": [event]}))[1]["errcode"] == "M_MISSING_TOKEN"
    as_token = bridged.messaging.handles[REGISTRATION].as_token
    for token in ("wrong", as_token, bridged.tokens["bob"], token_of(bridged)[:-1]):
        status, said = await push(bridged, event, token=token)
        assert (status, said["errcode"]) == (403, "M_FORBIDDEN")
        assert (await bridged.call("POST", f"{APP}/ping", {}, Authorization=f"Bearer {token}"))[0] == 403
        body = {"name": bridged.id_of("bob"), "password": str(bridged.passwords["bob"])}
        assert (await bridged.call("POST", "/_matrix/app/fr.parvis.v1/check", body, Authorization=f"Bearer {token}"))[0] == 403
    assert await noted(bridged) == []
    assert await push(bridged, event) == (200, {})
    assert await noted(bridged) == ["$pushed"]


async def test_an_event_is_noted_once_whatever_the_transaction_is_called(bridged: Town) -> None:
    room_id = await room_of(bridged, "bob")
    first, second = (written(bridged, room_id, one) for one in ("$first", "$second"))
    await push(bridged, first, txn="1")
    await push(bridged, first, second, txn="1")
    await push(bridged, second, first, txn="2")
    assert await noted(bridged) == ["$first", "$second"]
    await deliver(bridged)
    assert len(await facts(bridged, "messaging.message.posted.v1")) == 2


async def test_what_is_no_event_stops_nothing_that_comes_after(bridged: Town) -> None:
    room_id = await room_of(bridged, "bob")
    fields: list[dict[str, Any]] = [
        {"event_id": "$\0"}, {"event_id": "$" * 300}, {"content": []}, {"sender": "x" * 300}, {"room_id": 7}, {"state_key": 7},
        {"type": None},
    ]  # fmt: skip
    shapeless = [None, 7, "text", [], {}, {"event_id": "$a"}]
    broken = [*shapeless, *({**written(bridged, room_id, "$wrong"), **one} for one in fields)]
    strange = written(
        bridged, room_id, "$strange", body="\0", deep=[[[1.5, 10**400]]], **{"m.relates_to": {"event_id": "\0", "rel_type": 7}}
    )
    assert (await push(bridged, *broken, strange, written(bridged, room_id, "$right")))[0] == 200
    assert await noted(bridged) == ["$strange", "$right"]


async def test_what_is_no_transaction_is_refused(bridged: Town) -> None:
    said = {"Authorization": f"Bearer {token_of(bridged)}"}
    for body in ([], {"events": {}}, {"events": "x"}):
        assert (await bridged.call("PUT", f"{APP}/transactions/1", body, **said))[0] == 400
    status, found = await bridged.call("PUT", f"{APP}/transactions/1", data=b"{", **said)
    assert (status, found["errcode"]) == (400, "M_BAD_JSON")
    for path in ("users/@_parvis_x:parvis.test", "rooms/%23_parvis_x:parvis.test"):
        assert (await bridged.call("GET", f"{APP}/{path}", **said))[0] == 404


async def test_one_signs_in_by_user_id_name_or_address_with_an_app_password_for_messages(bridged: Town) -> None:
    body = bridged.login_body("bob")
    address = {**body, "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "bob@example.org"}}
    for each in (body, bridged.login_body("bob", bridged.id_of("bob")), address):
        assert (await bridged.ok("POST", "login", each))["user_id"] == bridged.id_of("bob")
    await bridged.hears(bridged.credential_of("bob", scopes=("files:read",)))
    assert (await bridged.call("POST", "login", body))[0] == 403
    await bridged.hears(bridged.credential_of("bob"))
    assert (await bridged.call("POST", "login", {**body, "password": str(bridged.passwords["ada"])}))[0] == 403


async def test_who_guesses_for_long_keeps_nobody_else_out(bridged: Town) -> None:
    """All of them come from the homeserver's address, which counts by those of its clients."""
    await joined(bridged, "ada")
    await deliver(bridged)
    for number in range(ADDRESS_RATE.burst + 1):
        assert (await bridged.call("POST", "login", bridged.login_body("ada", f"guess{number}")))[0] == 403
    await bridged.sign_in("ada")


async def test_a_session_ends_with_its_app_password_and_a_suspension(bridged: Town) -> None:
    await bridged.hears(bridged.credential_of("bob", state="revoked"))
    await bridged.watch.end_fallen()
    assert (await bridged.call("GET", "account/whoami", by="bob"))[0] == 401
    await bridged.hears(bridged.credential_of("bob"))
    await bridged.sign_in("bob")
    await bridged.watch.end_fallen()
    assert (await bridged.call("GET", "account/whoami", by="bob"))[0] == 200
    await bridged.hears(bridged.state_of("bob", state="suspended"))
    await bridged.watch.end_fallen()
    assert (await bridged.call("GET", "account/whoami", by="bob"))[0] == 401
    assert (await bridged.call("POST", "login", bridged.login_body("bob")))[0] == 403


async def test_a_session_that_the_homeserver_fails_at_keeps_no_other_alive(bridged: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    end_session, asked = bridged.watch.server.end_session, list[str]()

    async def but(user_id: str, device_id: str) -> None:
        asked.append(user_id)
        if user_id == bridged.id_of("ada"):
            raise Failed(500, "M_UNKNOWN")
        await end_session(user_id, device_id)

    monkeypatch.setattr(bridged.watch.server, "end_session", but)
    await bridged.sign_in("ada", "ada")  # two sessions: nearly always one of them is asked about before bob's
    for name in ("ada", "bob"):
        await bridged.hears(bridged.credential_of(name, state="revoked"))
    await bridged.watch.end_fallen()
    assert sorted(set(asked)) == [bridged.id_of("ada"), bridged.id_of("bob")]
    assert (await bridged.call("GET", "account/whoami", by="bob"))[0] == 401
    monkeypatch.undo()
    await bridged.watch.end_fallen()
    assert (await bridged.call("GET", "account/whoami", by="ada"))[0] == 401, "it comes again"


async def test_who_changes_their_name_is_called_so(bridged: Town) -> None:
    await bridged.hears(bridged.state_of("bob", given_name="Robert"))
    await deliver(bridged)
    profile = await bridged.ok("GET", f"profile/{bridged.id_of('bob')}", by="bob")
    assert profile["displayname"] == f"Robert {bridged.family}"


async def test_nobody_is_named_who_is_called_so_already(bridged: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with two namings of one account in its hands, Synapse refuses every further one for a minute, and the bridge would wait."""
    server, asked = bridged.watch.server, Synapse.ask
    namings: list[str] = []

    async def counted(self: Synapse, method: str, path: str, *said: Any) -> Any:
        if method == "PUT" and (path.endswith("/displayname") or "/v2/users/" in path):
            namings.append(path)
        return await asked(self, method, path, *said)

    async def settled_by_all_lanes() -> list[str]:
        namings.clear()
        server.is_settled = False
        await asyncio.gather(*(server.settle_bot() for _ in range(8)))
        await server.keep_account(bridged.id_of("bob"), f"Bob {bridged.family}")
        return namings

    monkeypatch.setattr(Synapse, "ask", counted)
    assert await settled_by_all_lanes() == []
    await server.ask("PUT", bot := f"{CLIENT}/profile/{quote(server.bot)}/displayname", {"displayname": "?"}, {"user_id": server.bot})
    assert await settled_by_all_lanes() == [bot]


async def test_a_command_and_a_reaction_are_pushed_and_said(bridged: Town) -> None:
    """By a real client; nothing is read back here: it comes through the homeserver's door."""
    meeting = uuid4()
    await bridged.hears(invited(bridged, "ada", "bob", meeting))
    await deliver(bridged)
    room_id = await room_of(bridged, "bob")
    root = (await messages(bridged, "bob", room_id))[-1]["event_id"]
    bob = await bridged.nio("bob")
    content = {"msgtype": "m.text", "body": "!oui", **thread(root)}
    assert isinstance(await bob.room_send(room_id, "m.room.message", content), nio.RoomSendResponse)
    sign = {"m.relates_to": {"rel_type": "m.annotation", "event_id": root, "key": "👎"}}
    assert isinstance(await bob.room_send(room_id, "m.reaction", sign), nio.RoomSendResponse)

    async def both() -> bool:
        return len(await noted(bridged)) == 2

    await until(both, "both were pushed")
    await deliver(bridged)
    assert [one["command"] for one in await facts(bridged, "messaging.command.received.v1")] == ["accept", "decline"]


async def test_what_was_not_pushed_is_read_back_once(bridged: Town) -> None:
    room_id = await room_of(bridged, "bob")
    await deliver(bridged)
    said = [await bridged.say("bob", room_id, str(number)) for number in range(3)]

    async def pushed() -> bool:
        return set(said) <= set(await noted(bridged))

    await until(pushed, "they were pushed")
    async with bridged.messaging.database.transaction() as tx:
        await tx.execute(sa.delete(inbound))  # as if they had been lost on the way
    for _ in range(2):
        await bridged.watch.reconcile(is_new=False)
    assert await noted(bridged) == said


async def test_what_is_missing_is_found_behind_what_was_told_since(bridged: Town) -> None:
    """A homeserver that was restored is told new things before anybody has looked at it."""
    watch, lane = bridged.watch, lane_of("direct", bridged.ids["bob"])
    before = bridged.clock()
    async with bridged.messaging.database.transaction() as tx:
        await deliveries.add_posted(tx, "$gone", lane, deliveries.Subject("none", None), None, is_root=True, now=before)
    bridged.later(minutes=2)
    await bridged.hears(invited(bridged, "ada", "bob", uuid4()))
    await deliver(bridged)
    watch.instance, watch.up_at = "the run of before", before
    bridged.later(1)
    await watch.look()
    async with bridged.messaging.database.read() as conn:
        kept = [one.event_id for one in await deliveries.posted_since(conn, lane, before - timedelta(days=1))]
    assert "$gone" not in kept and len(kept) == 2, "what is there is left in peace"


async def test_a_homeserver_that_is_away_is_said_to_be_and_pinged_when_it_is_back(bridged: Town) -> None:
    server = bridged.watch.server
    server.url, there = "http://127.0.0.1:1", server.url
    await bridged.watch.look()
    assert "cannot be worked with" in bridged.watch.wrong and await bridged.messaging.outside["homeserver"]()
    with pytest.raises(Failed) as away:
        await server.send("!r:parvis.test", "m.room.message", {}, "T")
    assert away.value.status == 503
    server.url = there
    await bridged.watch.look()
    assert bridged.watch.wrong == "" and await bridged.messaging.outside["homeserver"]() == ""


async def test_a_message_waits_for_a_homeserver_that_is_away_and_arrives_once(bridged: Town) -> None:
    server = bridged.watch.server
    server.url, there = "http://127.0.0.1:1", server.url
    await bridged.hears(invited(bridged, "ada", "bob", uuid4()))
    await sender_of(bridged).deliver()
    server.url = there
    for _ in range(3):
        bridged.later(10)
        await deliver(bridged)
    assert len(await told(bridged, "bob")) == 2


@pytest.mark.parametrize("is_restart", [False, True], ids=["away", "restarted"])
async def test_what_waited_for_a_homeserver_that_was_away_goes_on_as_soon_as_it_is_back(bridged: Town, is_restart: bool) -> None:
    """But not where it has asked to be left alone."""
    await joined(bridged, "ada")
    await deliver(bridged)
    await bridged.sign_in("ada")
    asked_to_wait = Failed(429, "M_LIMIT_EXCEEDED", retry_after_ms=3_600_000)
    faulty = Faulty(bridged.watch.server)
    faulty.rooms, faulty.failures = {await room_of(bridged, "ada")}, [asked_to_wait]
    sender_of(bridged).bridge.server = faulty
    await bridged.hears(invited(bridged, "bob", "ada", uuid4()))
    await deliver(bridged)
    server = bridged.watch.server
    server.url, there = "http://127.0.0.1:1", server.url
    await bridged.hears(invited(bridged, "ada", "bob", uuid4()))
    for _ in range(10):
        bridged.later(300)
        await sender_of(bridged).deliver()
    if not is_restart:
        await bridged.watch.look()
    server.url = there
    await sender_of(bridged).deliver()
    assert len(await told(bridged, "bob")) == 1, "its room waits"
    if is_restart:
        bridged.watch.instance = bridged.watch.answering = "the run of before"
    await bridged.watch.look()
    await deliver(bridged)
    assert len(await told(bridged, "bob")) == 2
    assert len(await told(bridged, "ada")) == 1
