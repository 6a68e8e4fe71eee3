"""A homeserver elsewhere, watched: what it lost on the way to us is read back, and what a restored one has lost is told again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx
from prometheus_client import Counter, Gauge

from parvis_messaging.actions import inbounds
from parvis_messaging.actions.bridging import Bridge, enqueue
from parvis_messaging.actions.links import settle_later
from parvis_messaging.actions.sending import alias_of
from parvis_messaging.homeserver import Home
from parvis_messaging.homeserver.port import Failed
from parvis_messaging.homeserver.synapse import Synapse, gather_in
from parvis_messaging.rules import milliseconds
from parvis_messaging.rules.heard import event_of
from parvis_messaging.store import accounts, deliveries, links
from parvis_messaging.store.deliveries import Posted
from parvis_messaging.store.links import Link

PING = timedelta(minutes=1)
"""Synapse waits longer and longer before it pushes again to whom it could not reach; a ping tells it that we are there."""
RECONCILE = timedelta(hours=1)
LOOKED_WITHIN = timedelta(seconds=30)
"""So long may have passed since it was looked at, by the clocks of several machines."""
ROOMS_AT_ONCE = 4
"""Read back beside what is delivered."""
EVENTS_MAX = 5_000
"""Of one room, read back in one go; what is older than these is not heard."""
HEARD_WITHIN = timedelta(days=7)
"""What is older is not read back: below the 30 days that the ids of events are kept, so that nothing is said twice."""
TOLD_WITHIN = timedelta(days=3)
"""What was told before that is not told again, whatever became of it: a backup is younger, and what a homeserver keeps is older."""
FALLEN_AT_ONCE = 100
FAILED_MAX = 3
"""Then the homeserver is away rather than at odds with one session."""
RECOVERED = Counter("parvis_matrix_reconcile_recovered", "Messages of agents that were not pushed to us and were read back instead.")
RETOLD = Counter("parvis_matrix_retold", "Messages told again, since a homeserver that was restored had lost them.")
log = logging.getLogger(__name__)
STATE = Gauge("parvis_matrix_bridge_state", "1 for how the homeserver stands: `up`, or `away`: messages wait.", ["server", "state"])


@dataclass(slots=True)
class Watch:
    """Whether the homeserver is there, and the same run of it as before."""

    database: Database
    home: Home
    bridge: Bridge
    server: Synapse
    clock: Clock
    instance: str = ""
    answering: str = ""
    """The run of it that answered last time; empty when none did."""
    wrong: str = "it has not answered yet"
    """Why it cannot be worked with; empty when it can."""
    up_at: datetime | None = None
    """When it was last seen to be there."""
    pinged_at: datetime | None = None
    reconciled_at: datetime | None = None
    missing: list[tuple[Link, Sequence[Posted]]] = field(default_factory=list)

    async def check(self) -> str:
        """For /readyz and `parvis doctor`."""
        asked = Synapse(self.server.url, self.server.server, self.server.registration)  # whoever asks may have no loop to come
        try:
            await asked.settle_bot()
        except Failed as failed:
            return said_of(failed)
        finally:
            await asked.close()
        return ""

    async def look(self) -> None:
        """After a time away, and when it was started again, rooms wait no longer for it, and what it lost in between is read back."""
        before, self.answering = self.answering, ""
        try:
            instance = await self.server.settle_bot()
            if instance != before:
                await self.hurry()
            self.answering = instance
            is_new = bool(self.wrong) or instance != self.instance
            if is_new:
                self.server.is_settled = False
                await self.server.settle_bot()
            if is_new or self.is_due(self.pinged_at, PING):
                await self.server.ping()
                self.pinged_at = self.clock()
            if is_new or self.is_due(self.reconciled_at, RECONCILE):
                await self.reconcile(is_new=is_new)
                self.reconciled_at = self.clock()
            self.instance, self.wrong, self.up_at = instance, "", self.clock()
        except Failed as failed:
            self.wrong = said_of(failed)
        for state in ("up", "away"):
            STATE.labels(self.server.server, state).set((state == "away") is bool(self.wrong))

    async def hurry(self) -> None:
        """Rooms had waited longer and longer for a homeserver that was away: by now, for up to five minutes."""
        async with self.database.transaction() as tx:
            await links.hurry_all(tx)
            tx.after_commit.append(self.bridge.due.set)

    def is_due(self, last: datetime | None, every: timedelta) -> bool:
        return last is None or self.clock() - last >= every

    async def reconcile(self, *, is_new: bool) -> None:
        """Every room: read back, and after a restart looked at for what is missing. Raises Failed."""
        async with self.database.read() as conn:
            rooms = await links.linked(conn)
        self.missing.clear()
        await gather_in(ROOMS_AT_ONCE, *(self.look_at(link, is_new=is_new) for link in rooms))
        if self.missing:
            await self.restore(rooms)
        self.bridge.due.set()

    async def look_at(self, link: Link, *, is_new: bool) -> None:
        assert link.room_id is not None  # noqa: S101 (it is linked)
        try:
            await self.read_back(link, link.room_id)
        except Failed as failed:
            if failed.status not in (403, 404):
                raise
            if await self.server.room_of(alias_of(link)) != link.room_id:
                async with self.database.read() as conn:
                    lost = await deliveries.posted_since(conn, link.lane, self.clock() - TOLD_WITHIN)
                self.missing.append((link, lost))
            return
        if is_new and (lost := await self.lost_in(link, link.room_id)):
            self.missing.append((link, lost))

    async def read_back(self, link: Link, room_id: str) -> None:
        """From now to what was read before; noted oldest first, in the transaction that moves the mark."""
        found: list[Any] = []
        oldest_ms, start, is_known = milliseconds(self.clock() - HEARD_WITHIN), None, False
        while not is_known and len(found) < EVENTS_MAX:
            page = await self.server.read_back(room_id, start)
            for one in page.events:
                event = event_of(one)
                is_known = is_known or event is None or event.event_id == link.heard_event or event.at_ms < oldest_ms
                if is_known:
                    break
                found.append(event)
            start = page.end
            if start is None:
                break
        if found:
            async with self.database.transaction() as tx:
                recovered = sum([await inbounds.note(tx, one, now=self.clock()) for one in reversed(found)])
                await links.change_link(tx, link.lane, heard_event=found[0].event_id)
                tx.after_commit.append(self.home.noted.set)
            RECOVERED.inc(recovered)

    async def lost_in(self, link: Link, room_id: str) -> list[Posted]:
        """What was told last and is not there: the homeserver is one of before. What was told to it since it is back says nothing about
        what it had been told before."""
        sure = (self.up_at or self.clock() - RECONCILE) - LOOKED_WITHIN
        async with self.database.read() as conn:
            posted = await deliveries.posted_since(conn, link.lane, self.clock() - TOLD_WITHIN)
        lost: list[Posted] = []
        for one in reversed(posted):
            if not await self.server.has_event(room_id, one.event_id):
                lost.insert(0, one)
            elif one.at < sure:
                break
        return lost

    async def restore(self, rooms: Sequence[Link]) -> None:
        """Accounts as they are to be, then rooms with their members, then what they had been told."""
        async with self.database.read() as conn:
            known = await accounts.settled(conn)
        await gather_in(ROOMS_AT_ONCE, *(self.restore_account(*one) for one in known))
        for link, lost in self.missing:
            async with self.database.transaction() as tx:
                await self.tell_again(tx, link, lost, is_gone=await self.is_gone(link))
            RETOLD.inc(len(lost))
        for link in rooms:
            async with self.database.transaction() as tx:
                await links.lock_link(tx, link.lane)
                await links.mark_all_absent(tx, link.lane)
                await settle_later(tx, self.bridge, link.lane)

    async def restore_account(self, user_id: str, display_name: str, is_closed: bool, devices: Sequence[str]) -> None:
        if is_closed:
            await self.server.close_account(user_id)
            return
        await self.server.keep_account(user_id, display_name)
        for one in await self.server.sessions_of(user_id):
            if one not in devices:
                await self.server.end_session(user_id, one)

    async def is_gone(self, link: Link) -> bool:
        return await self.server.room_of(alias_of(link)) != link.room_id

    async def tell_again(self, tx: Tx, link: Link, lost: Sequence[Posted], *, is_gone: bool) -> None:
        await links.lock_link(tx, link.lane)
        if is_gone:
            await links.change_link(tx, link.lane, room_id=None, named="", heard_event=None, attempts=0, not_before=None)
        await deliveries.forget_events(tx, [one.event_id for one in lost])
        await deliveries.unpark(tx, link.lane, self.clock() - RECONCILE)
        for one in lost:
            if one.notice_id is not None:
                await enqueue(tx, self.bridge, link.lane, "notice", one.notice_id)

    async def end_fallen(self) -> None:
        """Sessions that would let nobody in here are ended there; those that it fails at come again, in another order."""
        failed = 0
        while True:
            async with self.database.read() as conn:
                fallen = await accounts.fallen_of(conn, self.clock(), FALLEN_AT_ONCE)
            for user_id, device_id in fallen:
                try:
                    await self.server.end_session(user_id, device_id)
                except Failed as error:
                    log.warning("the session %s of %s cannot be ended yet: %s", device_id, user_id, error)
                    failed += 1
                    if failed == FAILED_MAX:
                        return  # it is away, or will be asked again for the others
                    continue
                async with self.database.transaction() as tx:
                    await accounts.remove_devices(tx, user_id, [device_id])
            if failed or len(fallen) < FALLEN_AT_ONCE:
                return


def said_of(failed: Failed) -> str:
    return f"the homeserver cannot be worked with ({failed}): is it running, and does it have messaging's registration and module?"
