"""How the bridge delivers when the homeserver does not: who waits, who is given up, and who goes on."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from parvis_kit.events import Retry
from parvis_messaging.actions import Bridge, Sender, bridging
from parvis_messaging.homeserver.port import Failed, Homeserver, RoomWanted
from parvis_messaging.homeserver.registration import Registration
from parvis_messaging.homeserver.synapse import Synapse
from parvis_messaging.rules.delivery import txn_id_of, wait_of

from .bridge import deliver, facts, invited, joined, messages, nearly_full, room_of, sender_of, shared, thread, told
from .conftest import Town


class Faulty:
    """A homeserver that fails as it is told, in these rooms or all, before or after it has done what was asked."""

    def __init__(self, inner: Homeserver) -> None:
        self.inner, self.server, self.bot = inner, inner.server, inner.bot
        self.failures: list[Failed] = []
        self.rooms: set[str] = set()
        self.is_done_first = False
        self.sent: list[str] = []

    async def keep_account(self, user_id: str, display_name: str) -> None:
        await self.inner.keep_account(user_id, display_name)

    async def close_account(self, user_id: str) -> int:
        return await self.inner.close_account(user_id)

    async def end_session(self, user_id: str, device_id: str) -> None:
        await self.inner.end_session(user_id, device_id)

    async def ensure_room(self, wanted: RoomWanted) -> str:
        return await self.inner.ensure_room(wanted)

    async def rename(self, room_id: str, name: str) -> None:
        await self.inner.rename(room_id, name)

    async def bring_in(self, room_id: str, user_id: str) -> None:
        await self.inner.bring_in(room_id, user_id)

    async def put_out(self, room_id: str, user_id: str) -> None:
        await self.inner.put_out(room_id, user_id)

    async def send(self, room_id: str, kind: str, content: Mapping[str, Any], txn_id: str) -> str:
        self.sent.append(txn_id)
        fails = bool(self.failures) and (not self.rooms or room_id in self.rooms)
        if fails and not self.is_done_first:
            raise self.failures.pop(0)
        event_id = await self.inner.send(room_id, kind, content, txn_id)
        if fails:
            raise self.failures.pop(0)
        return event_id


@pytest.fixture
async def faulty(town: Town) -> Faulty:
    """Between the bridge and its homeserver, from after the welcome on."""
    await joined(town, "ada", "bob")
    await deliver(town)
    await town.sign_in("ada", "bob")
    made = Faulty(sender_of(town).bridge.server)
    sender_of(town).bridge.server = made
    return made


async def test_a_lane_waits_as_long_as_the_homeserver_asks_and_keeps_its_order(town: Town, faulty: Faulty) -> None:
    faulty.failures = [Failed(429, "M_LIMIT_EXCEEDED", retry_after_ms=30_000)]
    await town.hears(shared(town, "ada", "bob", name="un"), shared(town, "ada", "bob", name="deux"))
    await deliver(town)
    town.later(29)
    await deliver(town)
    assert len(await told(town, "bob")) == 1
    town.later(2)
    await deliver(town)
    assert [one.partition("«")[2] for one in (await told(town, "bob"))[1:]] == [" un »", " deux »"]


async def test_a_room_that_fails_holds_no_other_up(town: Town, faulty: Faulty) -> None:
    faulty.failures, faulty.rooms = [Failed(502, "M_UNKNOWN")] * 3, {await room_of(town, "bob")}
    await town.hears(shared(town, "ada", "bob"), shared(town, "bob", "ada"))
    await deliver(town)
    assert (len(await told(town, "bob")), len(await told(town, "ada"))) == (1, 2)
    for _ in range(3):
        town.later(10)
        await deliver(town)
    assert len(await told(town, "bob")) == 2


async def test_what_was_done_though_the_answer_was_lost_is_not_done_again(town: Town, faulty: Faulty) -> None:
    faulty.failures, faulty.is_done_first = [Failed(504, "M_UNKNOWN")] * 2, True
    await town.hears(shared(town, "ada", "bob"))
    for _ in range(4):
        await deliver(town)
        town.later(10)
    assert len(await told(town, "bob")) == 2
    assert len(faulty.sent) == 3 and len(set(faulty.sent)) == 1


async def test_an_answer_that_is_quicker_than_we_write_down_what_it_is_about_is_said_all_the_same(town: Town, faulty: Faulty) -> None:
    faulty.failures, faulty.is_done_first = [Failed(504, "M_UNKNOWN")], True
    meeting = uuid4()
    await town.hears(invited(town, "ada", "bob", meeting))
    await deliver(town)
    room_id = await room_of(town, "bob")
    root = (await messages(town, "bob", room_id))[-1]["event_id"]
    await town.say("bob", room_id, "!oui", **thread(root))
    await deliver(town)
    assert await facts(town, "messaging.command.received.v1") == [], "it waits"
    town.later(10)
    await deliver(town)
    [said] = await facts(town, "messaging.command.received.v1")
    assert (said["command"], said["meeting_id"]) == ("accept", str(meeting))


@pytest.mark.parametrize(("status", "reason"), [(403, "forbidden"), (404, "not_found"), (413, "too_large"), (400, "refused")])
async def test_what_is_refused_for_good_is_parked_and_said_and_the_next_one_goes_on(
    town: Town, faulty: Faulty, status: int, reason: str
) -> None:
    faulty.failures = [Failed(status, "M_FORBIDDEN")]
    await town.hears(shared(town, "ada", "bob", name="un"), shared(town, "ada", "bob", name="deux"))
    await deliver(town)
    assert [one.partition("«")[2] for one in (await told(town, "bob"))[1:]] == [" deux »"]
    [failed] = await facts(town, "messaging.message.delivery_failed.v1")
    assert (failed["reason"], failed["agent_id"], failed["about"]) == (reason, str(town.ids["bob"]), str(town.ids["bob"]))


async def test_what_a_process_had_begun_when_it_died_is_done_by_another_after_its_lease(town: Town, faulty: Faulty) -> None:
    class Dies(Exception):
        pass

    faulty.failures, faulty.is_done_first = [Dies()], True  # type: ignore[list-item]
    await town.hears(shared(town, "ada", "bob"))
    with pytest.raises(Dies):
        await sender_of(town).deliver()
    await deliver(town)
    assert len(faulty.sent) == 1, "its lane is still taken"
    town.later(31)
    await deliver(town)
    assert len(await told(town, "bob")) == 2 and len(set(faulty.sent)) == 1


async def test_facts_wait_in_the_log_while_too_much_waits_to_be_delivered(
    town: Town, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridging, "DEPTH_MAX", 3)
    await town.hears(*(shared(town, "ada", "bob", name=str(number)) for number in range(3)))
    town.later(2)
    with pytest.raises(Retry):
        await town.hears(shared(town, "ada", "bob"))
    await deliver(town)
    town.later(2)
    await town.hears(shared(town, "ada", "bob"))
    town.later(62)
    with pytest.raises(Retry):
        await town.hears(shared(town, "ada", "bob"))


async def test_who_does_not_want_to_hear_by_message_hears_nothing(town: Town, faulty: Faulty) -> None:
    from parvis_messaging import actions

    async with town.messaging.database.transaction() as tx:
        await actions.put_preferences(tx, town.ids["bob"], {"file_shared": (False, True)})
    await town.hears(shared(town, "ada", "bob"), nearly_full(town, "bob", 80, UUID(int=1)))
    await deliver(town)
    assert [one.partition(",")[0] for one in (await told(town, "bob"))[1:]] == ["Votre espace est plein à 80 %"]


async def test_two_processes_deliver_each_message_once(town: Town, faulty: Faulty) -> None:
    import asyncio

    await town.hears(*(shared(town, "ada", name, name=str(number)) for number in range(10) for name in ("bob", "eve")))
    other = Sender(town.messaging.database, Bridge(faulty, "", town.clock), town.clock)
    await asyncio.gather(sender_of(town).deliver(), other.deliver())
    await deliver(town)
    assert len(await told(town, "bob")) == 11
    assert len(faulty.sent) == len(set(faulty.sent)) == 20


@pytest.mark.parametrize(
    ("status", "body", "header", "wait_ms"),
    [(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1500}, "", 1500), (429, {"errcode": "M_LIMIT_EXCEEDED"}, "3", 3000),
     (503, "away", "2", 2000), (502, "<html>", "", None)],
)  # fmt: skip
async def test_a_lane_is_told_how_long_the_homeserver_asks_it_to_wait(status: int, body: Any, header: str, wait_ms: int | None) -> None:
    async def answer(request: web.Request) -> web.Response:
        headers = {"Retry-After": header} if header else {}
        if isinstance(body, str):
            return web.Response(text=body, status=status, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as busy:
        server = Synapse(str(busy.make_url("")), "parvis.test", Registration("", "parvis", "as", "hs"))
        try:
            with pytest.raises(Failed) as failed:
                await server.send("!r:parvis.test", "m.room.message", {}, "T")
            assert (failed.value.status, failed.value.retry_after_ms) == (status, wait_ms)
        finally:
            await server.close()


def test_a_transaction_id_is_the_same_for_the_same_message_alone() -> None:
    first = ("server", "!room", "@parvis", "event", "part")
    others = [(*first[:place], "x", *first[place + 1 :]) for place in range(5)]
    assert len({txn_id_of(*one) for one in (first, first, *others)}) == 6
    assert len(txn_id_of(*first)) == 26


def test_waits_double_up_to_five_minutes_and_are_spread() -> None:
    longest = [wait_of(attempts, 1.0).total_seconds() for attempts in (1, 2, 3, 20, 10_000)]
    assert longest == [1, 2, 4, 300, 300]
    assert wait_of(3, 0.0).total_seconds() == 2
