"""The homeserver of this process, as the bridge asks it: the same doors' verbs, each in a transaction of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx
from parvis_kit.problems import Unavailable

from parvis_messaging.actions import accounts, rooms
from parvis_messaging.actions.rooms import Author, NewRoom
from parvis_messaging.homeserver import Home
from parvis_messaging.homeserver.port import Failed, RoomWanted
from parvis_messaging.rules import BOT, LINK
from parvis_messaging.rules.matrix import Refused
from parvis_messaging.store import accounts as account_rows
from parvis_messaging.store import events

DEVICE = "PARVIS"
"""The device that the bot sends from: transaction ids count for each device."""


async def renew_positions(tx: Tx, now: datetime) -> int:
    """After a restore of the database: what clients remember of it is answered with all there is."""
    return await events.renew_positions(tx, now)


class Loopback:
    """A `Homeserver`."""

    def __init__(self, database: Database, home: Home, clock: Clock) -> None:
        self.database, self.home, self.clock = database, home, clock
        self.server, self.bot = home.server, home.user_id(BOT)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        try:
            async with self.database.transaction() as tx:
                yield tx
        except Refused as refused:
            raise Failed(refused.status, refused.errcode, refused.error, refused.more.get("retry_after_ms")) from None
        except Unavailable as away:
            raise Failed(503, "M_UNKNOWN", away.detail) from None

    async def prepare(self) -> None:
        async with self.database.transaction() as tx:
            await accounts.ensure_bot(tx, self.home, now=self.clock())

    async def keep_account(self, user_id: str, display_name: str) -> None:
        """The row is the account."""

    async def close_account(self, user_id: str) -> int:
        """Its row says so already, and lets nobody in."""
        async with self.transaction() as tx:
            await events.take_positions(tx, 0)
            return await rooms.leave_all(tx, self.home, user_id, now=self.clock())

    async def end_session(self, user_id: str, device_id: str) -> None:
        async with self.transaction() as tx:
            await account_rows.remove_devices(tx, user_id, [device_id])
            tx.after_commit.append(lambda: self.home.waiters.wake(0, user_id))

    async def ensure_room(self, wanted: RoomWanted) -> str:
        alias = self.home.alias(wanted.alias)
        async with self.transaction() as tx:
            await events.take_positions(tx, 0)
            if (found := await events.room_of_alias(tx, alias)) is not None:
                return found[0]
            state = [{"type": LINK, "state_key": "", "content": dict(wanted.link)}]
            new = NewRoom(name=wanted.name, alias=alias, is_direct=wanted.is_direct, state=state)
            return await rooms.create_room(tx, self.home, Author(self.bot), new, now=self.clock())

    async def rename(self, room_id: str, name: str) -> None:
        async with self.transaction() as tx:
            await rooms.set_state(tx, self.home, room_id, Author(self.bot), "m.room.name", "", {"name": name}, now=self.clock())

    async def bring_in(self, room_id: str, user_id: str) -> None:
        async with self.transaction() as tx:
            await events.take_positions(tx, 0)
            membership = await events.membership_of(tx, room_id, user_id)
            if membership == "join":
                return
            if membership != "invite":
                await rooms.change_membership(tx, self.home, room_id, Author(self.bot), user_id, "invite", now=self.clock())
            await rooms.change_membership(tx, self.home, room_id, Author(user_id), user_id, "join", now=self.clock())

    async def put_out(self, room_id: str, user_id: str) -> None:
        async with self.transaction() as tx:
            await events.take_positions(tx, 0)
            if await events.membership_of(tx, room_id, user_id) in ("join", "invite"):
                await rooms.change_membership(tx, self.home, room_id, Author(self.bot), user_id, "leave", now=self.clock())

    async def send(self, room_id: str, kind: str, content: Mapping[str, Any], txn_id: str) -> str:
        async with self.transaction() as tx:
            return await rooms.send(tx, self.home, room_id, Author(self.bot, DEVICE, txn_id), kind, dict(content), now=self.clock())
