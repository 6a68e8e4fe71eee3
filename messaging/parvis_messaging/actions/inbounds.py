"""What agents write in linked rooms: noted with the event, said on the log after."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from parvis_contracts.messaging import CommandReceived, MessagePosted
from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx
from parvis_kit.events import publish
from parvis_kit.failpoints import reach

from parvis_messaging.homeserver import Home
from parvis_messaging.rules import Event
from parvis_messaging.rules.commands import command_in, command_of_sign
from parvis_messaging.rules.heard import event_of
from parvis_messaging.store import deliveries, inbounds
from parvis_messaging.store.deliveries import Subject
from parvis_messaging.store.inbounds import Inbound

BATCH_MAX = 100
WRITTEN_WITHIN = timedelta(minutes=1)
"""A process that died between sending a message and writing down what it is about has been followed by another long since."""
NOTHING = Subject("none", None)
UNKNOWN_MINISTRY = UUID(int=0)


async def note(tx: Tx, event: Event, *, now: datetime) -> bool:
    """Whether it was a new one of an agent in a room of a team or in their own with Parvis; any other is nobody's business."""
    if event.state_key is not None or event.type not in ("m.room.message", "m.reaction") or event.rel_type == "m.replace":
        return False
    linked = await inbounds.find_linked(tx, event.room_id, event.sender)
    if linked is None:
        return False
    is_message = event.type == "m.room.message"
    relation = event.content.get("m.relates_to")
    sign = relation.get("key") if isinstance(relation, dict) else None
    command = command_in(event.content.get("body")) if is_message else command_of_sign(sign)
    if not is_message and command is None:
        return False
    return await inbounds.add_inbound(tx, Inbound(event.event_id, event.room_id, *linked, is_message, about(event), command, now))


async def hear(tx: Tx, home: Home, said: Sequence[Any], *, now: datetime) -> int:
    """What a homeserver pushes. How many of it were new."""
    events = [one for one in map(event_of, said) if one is not None]
    noted = sum([await note(tx, one, now=now) for one in events])
    if noted:
        tx.after_commit.append(home.noted.set)
    return noted


def about(event: Event) -> str | None:
    """The message that began the thread, that is reacted to, or that is answered."""
    if event.relates_to is not None:
        return event.relates_to
    relation = event.content.get("m.relates_to")
    answered = relation.get("m.in_reply_to") if isinstance(relation, dict) else None
    found = answered.get("event_id") if isinstance(answered, dict) else None
    return found if isinstance(found, str) and len(found) <= 255 else None


async def publish_noted(database: Database, clock: Clock) -> int:
    """A batch of them. How many; the rows are settled in the transaction that says them."""
    async with database.read() as conn:
        if not await inbounds.is_any_open(conn):
            return 0
    async with database.transaction() as tx:
        found = await inbounds.lock_open(tx, BATCH_MAX, clock() - WRITTEN_WITHIN)
        for one, ministry_id in found:
            await say(tx, one, ministry_id)
        if found:
            await inbounds.settle(tx, [one.event_id for one, _ in found], clock())
            await reach("bridge.saying")
    return len(found)


async def say(tx: Tx, one: Inbound, ministry_id: UUID | None) -> None:
    subject = (await deliveries.subject_of(tx, one.lane, one.about_event) if one.about_event else None) or NOTHING
    if one.is_message:
        kind = subject.kind if subject.kind in ("file", "meeting") else "none"
        publish(
            tx,
            MessagePosted(
                at=one.at, about=one.room_id, room_id=one.room_id, message_id=one.event_id, agent_id=one.agent_id,
                ministry_id=ministry_id or UNKNOWN_MINISTRY, subject_kind=kind,  # type: ignore[arg-type]
                subject_id=subject.id if kind != "none" else None,
            ),
        )  # fmt: skip
    if one.command is not None and subject.kind == "meeting" and subject.id is not None:
        publish(
            tx,
            CommandReceived(
                at=one.at, about=str(subject.id), command=one.command, agent_id=one.agent_id, meeting_id=subject.id,
                room_id=one.room_id, message_id=one.event_id,
            ),
        )  # fmt: skip
