"""How the bridge delivers: a lane for each room, several rooms at once, and each message once, whatever dies on the way."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from time import perf_counter
from typing import Any

from parvis_contracts.messaging import MessageDeliveryFailed, RoomLinked
from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx
from parvis_kit.events import publish
from parvis_kit.failpoints import reach
from prometheus_client import Counter, Histogram

from parvis_messaging.actions.bridging import Bridge
from parvis_messaging.actions.settling import settle_account, user_of
from parvis_messaging.homeserver.port import Failed, RoomWanted
from parvis_messaging.rules.delivery import is_final, reason_of, txn_id_of, wait_of
from parvis_messaging.rules.notices import PREFERENCE_OF, QUIET, Notice, words_of
from parvis_messaging.store import deliveries, links, notices
from parvis_messaging.store.deliveries import Delivery, Subject
from parvis_messaging.store.links import Link

LANES_AT_ONCE = 8
"""Writes in one room are serial on every homeserver; beyond eight rooms Synapse gets no faster."""
LEASE = timedelta(seconds=30)
"""A process that holds a lane and is silent for so long has died; what it had begun is done again, by the same transaction id."""
TURN_SECONDS = 10.0
"""Then a lane gives its place to another: well below the lease."""
EDIT_WITHIN = timedelta(days=7)
"""A quota alert is edited while it lasts; after so long, it is a new one."""
MEMBERS_AT_ONCE = 50
"""Brought into a room before it is written down that they are there."""
SECONDS = Histogram("parvis_matrix_send_seconds", "What the homeserver takes for one act of the bridge.", ["action"])
TOTAL = Counter(
    "parvis_matrix_send_total", "Acts of the bridge by how they ended; `parked` will not arrive, and its errcode says why.",
    ["result", "errcode"],
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Done:
    """What the homeserver did, to be written down with the end of the delivery."""

    event_id: str = ""
    subject: Subject | None = None
    is_root: bool = False


Txn = Callable[[str, str, str, str, str], str]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who delivers. `chance` spreads the waits; `txn_id` is how requests are named."""

    database: Database
    bridge: Bridge
    clock: Clock
    chance: Callable[[], float] = random.random
    txn_id: Txn = txn_id_of

    async def prepare(self) -> None:
        """On SQLite there is one process: whoever held a lane before has died, and nobody need wait for the end of its lease."""
        if self.database.is_sqlite:
            async with self.database.transaction() as tx:
                await links.drop_leases(tx)

    async def deliver(self) -> int:
        """What is due in up to eight rooms. How many rooms there were."""
        async with self.database.read() as conn:
            if not await deliveries.is_any_open(conn):
                return 0
        lease, now = token_hex(8), self.clock()
        async with self.database.transaction() as tx:
            lanes = await deliveries.due_lanes(tx, now, LANES_AT_ONCE)
            if lanes:
                await links.take_lease(tx, lanes, lease, now + LEASE)
        await asyncio.gather(*(self.drive(lane, lease) for lane in lanes))
        return len(lanes)

    async def drive(self, lane: str, lease: str) -> None:
        """One after the other, until there is nothing more, it has to wait, or its turn is over."""
        until = perf_counter() + TURN_SECONDS
        while perf_counter() < until:
            one = await self.begin(lane)
            if one is None:
                break
            try:
                await self.perform(one)
            except Failed as failed:
                if not await self.give_up_or_wait(one, lease, failed):
                    return
        async with self.database.transaction() as tx:
            await links.give_lease_back(tx, lane, lease)

    async def begin(self, lane: str) -> Delivery | None:
        """The first one. That a room is being settled is written down first: what is wanted from then on asks for another time."""
        async with self.database.read() as conn:
            one = await deliveries.first_of(conn, lane)
        if one is not None and one.act == "room" and one.state == "waiting":
            async with self.database.transaction() as tx:
                await links.lock_link(tx, lane)
                await deliveries.begin(tx, one.id)
        return one

    async def perform(self, one: Delivery) -> None:
        """Raises Failed."""
        began = perf_counter()
        async with self.database.read() as conn:
            link = await links.find_link(conn, one.lane)
        assert link is not None  # noqa: S101 (a delivery has its link)
        done = await (self.settle_room(link) if one.act == "room" else self.tell(one, link))
        await reach("bridge.sent")
        now = self.clock()
        async with self.database.transaction() as tx:
            if await deliveries.finish(tx, one.id):
                await links.change_link(tx, one.lane, attempts=0, not_before=None)
                if done.subject is not None:
                    await deliveries.add_posted(tx, done.event_id, one.lane, done.subject, one.notice_id, is_root=done.is_root, now=now)
            await reach("bridge.finishing")
        SECONDS.labels(one.act).observe(perf_counter() - began)
        TOTAL.labels("done", "").inc()

    async def give_up_or_wait(self, one: Delivery, lease: str, failed: Failed) -> bool:
        """Whether the next one of this room may be tried."""
        now, final = self.clock(), is_final(failed.status)
        async with self.database.transaction() as tx:
            link = await links.lock_link(tx, one.lane)
            assert link is not None  # noqa: S101 (a delivery has its link)
            if final:
                await deliveries.park(tx, one.id, failed.errcode[:100])
                publish(tx, failure_of(link, failed, now))
            else:
                is_asked = failed.status == 429 and failed.retry_after_ms is not None
                attempts = 0 if is_asked else link.attempts + 1
                wait = wait_of(attempts, self.chance()) if failed.retry_after_ms is None else timedelta(milliseconds=failed.retry_after_ms)
                await links.give_lease_back(tx, one.lane, lease, attempts=attempts, not_before=now + wait)
        TOTAL.labels("parked" if final else "again", failed.errcode).inc()
        return final

    async def settle_room(self, link: Link) -> Done:
        """The room is there, is called what it is to be called, and has whom it is to have."""
        if link.kind == "direct":
            await settle_account(self.database, self.bridge, link.subject_id)
        room_id = await self.room_of(link)
        if link.room_id is not None and link.name and link.named != link.name:
            await self.bridge.server.rename(room_id, link.name)
            async with self.database.transaction() as tx:
                await links.change_link(tx, link.lane, named=link.name)
        async with self.database.read() as conn:
            members = await links.members_of(conn, link.lane)
        coming = [one for one, (wanted, there) in members.items() if wanted and not there]
        going = [one for one, (wanted, _) in members.items() if not wanted]
        for begin in range(0, len(coming), MEMBERS_AT_ONCE):
            some = coming[begin : begin + MEMBERS_AT_ONCE]
            there = [one for one in some if await self.move(room_id, one, self.bridge.server.bring_in)]
            async with self.database.transaction() as tx:
                await links.mark_there(tx, link.lane, there)
        for one in going:
            await self.move(room_id, one, self.bridge.server.put_out)
        async with self.database.transaction() as tx:
            await links.forget_members(tx, link.lane, going)
        return Done()

    async def move(self, room_id: str, agent_id: Any, how: Callable[[str, str], Awaitable[None]]) -> bool:
        """False for whom the homeserver has no account, or whom it refuses: they come when that has changed. Raises Failed."""
        user_id = await user_of(self.database, self.bridge, agent_id)
        if user_id is None:
            return False
        try:
            await how(room_id, user_id)
        except Failed as failed:
            if not is_final(failed.status):
                raise
            TOTAL.labels("refused", failed.errcode).inc()
            return False
        return True

    async def room_of(self, link: Link) -> str:
        """Made when there is none: its alias makes two of them one."""
        if link.room_id is not None:
            return link.room_id
        about = {f"{'team' if link.kind == 'team' else 'agent'}_id": str(link.subject_id)}
        wanted = RoomWanted(alias_of(link), link.name, link.kind == "direct", {"kind": link.kind, **about})
        room_id = await self.bridge.server.ensure_room(wanted)
        await reach("bridge.room_made")
        now = self.clock()
        async with self.database.transaction() as tx:
            locked = await links.lock_link(tx, link.lane)
            if locked is not None and locked.room_id is None:
                await links.change_link(tx, link.lane, room_id=room_id, named=link.name)
                team_id, agent_id = (link.subject_id, None) if link.kind == "team" else (None, link.subject_id)
                publish(
                    tx,
                    RoomLinked(at=now, about=str(link.subject_id), room_id=room_id, kind=link.kind, team_id=team_id, agent_id=agent_id),
                )
        return room_id

    async def tell(self, one: Delivery, link: Link) -> Done:
        async with self.database.read() as conn:
            notice = await notices.find_notice(conn, one.notice_id) if one.notice_id is not None else None
            if notice is None:
                return Done()  # it was forgotten meanwhile, with its agent
            if notice.agent_id is not None:
                chosen = (await notices.preferences_of(conn, notice.agent_id)).get(PREFERENCE_OF.get(notice.kind, ""), (True, True))
                if not chosen[0]:
                    return Done()
            subject = Subject(notice.subject_kind, notice.subject_id)
            root = await deliveries.root_of(conn, link.lane, subject.kind, subject.id) if subject.kind != "none" else None
            body = await self.put_into_words(conn, notice)
        if notice.agent_id is not None and await user_of(self.database, self.bridge, notice.agent_id) is None:
            return await self.wait_for_account(one, notice)
        room_id = await self.room_of(link)
        is_edit = notice.kind == "quota" and root is not None and self.clock() - root[1] < EDIT_WITHIN
        content = content_of(notice, body, root[0] if root is not None and (is_edit or notice.kind != "quota") else None, is_edit)
        server = self.bridge.server
        txn_id = self.txn_id(server.server, room_id, server.bot, str(notice.id), "message")
        await reach("bridge.sending")
        event_id = await server.send(room_id, "m.room.message", content, txn_id)
        return Done(event_id, subject, is_root="m.relates_to" not in content)

    async def wait_for_account(self, one: Delivery, notice: Notice) -> Done:
        """Who joins has an account as soon as their state has come, which may be a moment later; who has left needs nothing told."""
        if self.clock() - one.created_at > timedelta(minutes=1):
            return Done()
        raise Failed(503, "FR_PARVIS_NO_ACCOUNT", f"{notice.agent_id} has no account yet")

    async def put_into_words(self, conn: Any, notice: Notice) -> str:
        """In the language of those who read it."""
        names = (await notices.names_in(conn, [notice]))[notice.id]
        language = await notices.language_of(conn, notice.agent_id, notice.team_id)
        return words_of(notice, language, names, self.bridge.public_url).body


def alias_of(link: Link) -> str:
    """By which a room is found again."""
    return f"_parvis_{link.lane.replace(':', '_')}"


def content_of(notice: Notice, body: str, root: str | None, is_edit: bool) -> dict[str, Any]:
    """Of the message: in the thread of what it is about, or in the place of the alert before."""
    said: dict[str, Any] = {"msgtype": "m.notice" if notice.kind in QUIET else "m.text", "body": body, "m.mentions": {}}
    marked = {**said, "fr.parvis.notice": {"id": str(notice.id), "kind": notice.kind}}
    if root is None:
        return marked
    if is_edit:
        return {**marked, "body": f"* {body}", "m.new_content": said, "m.relates_to": {"rel_type": "m.replace", "event_id": root}}
    thread = {"rel_type": "m.thread", "event_id": root, "is_falling_back": True, "m.in_reply_to": {"event_id": root}}
    return {**marked, "m.relates_to": thread}


def failure_of(link: Link, failed: Failed, now: datetime) -> MessageDeliveryFailed:
    team_id, agent_id = (link.subject_id, None) if link.kind == "team" else (None, link.subject_id)
    return MessageDeliveryFailed(
        at=now, about=str(link.subject_id), room_id=link.room_id, agent_id=agent_id, team_id=team_id, reason=reason_of(failed.status)
    )


async def replay_parked(tx: Tx, delivery_ids: Collection[int]) -> None:
    """Once more, in the order of their rooms, under the same transaction ids."""
    await deliveries.replay(tx, delivery_ids)


async def forget_old(tx: Tx, *, now: datetime) -> None:
    """What nobody will ask for again."""
    from parvis_messaging.store import inbounds

    await deliveries.forget_parked(tx, now - KEPT)
    await deliveries.forget_posted(tx, now - POSTED_KEPT)
    await inbounds.forget_handled(tx, now - KEPT)
    await notices.forget_notices(tx, now - NOTICES_KEPT)


KEPT = timedelta(days=30)
"""Parked deliveries, until somebody has looked; ids of events, longer than any homeserver pushes them again."""
POSTED_KEPT = timedelta(days=400)
"""As long as facts are kept: an answer in a thread finds what it is about."""
NOTICES_KEPT = timedelta(days=180)
