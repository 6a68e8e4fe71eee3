"""What tests of the bridge share: facts as others publish them, deliveries as the clock asks for them, rooms as clients see them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from parvis_contracts.calendar import MeetingAnswered, MeetingInvited, MeetingWithdrawn
from parvis_contracts.directory import AgentJoined, TeamState
from parvis_contracts.files import FileShared, QuotaThresholdCrossed
from parvis_kit.events import Erased
from parvis_kit.events.ledger import tables_of
from parvis_messaging.actions import Sender
from parvis_messaging.app import SENDER
from parvis_messaging.store.links import lane_of, link

from .conftest import Town
from .conftest import deliver as deliver

MONDAY = datetime(2026, 11, 30, 13, tzinfo=UTC)


def sender_of(town: Town) -> Sender:
    sender: Sender = town.messaging.handles[SENDER]
    return sender


async def joined(town: Town, *names: str) -> None:
    for name in names:
        one = town.ids[name]
        of = town.ministries["interieur"]
        await town.hears(AgentJoined(at=town.clock(), about=str(one), agent_id=one, ministry_id=of, kind="agent"))


def shared(town: Town, by: str, to: str, file_id: UUID | None = None, kind: str = "agent", name: str = "Budget.ods") -> FileShared:
    share = uuid4()
    return FileShared(
        at=town.clock(), about=str(share), share_id=share, file_id=file_id or uuid4(), space_id=uuid4(), grantee_kind=kind,  # type: ignore[arg-type]
        grantee_id=town.ids[to], role="reader", shared_by=town.ids[by], name=name,
    )  # fmt: skip


def invited(town: Town, by: str, to: str, meeting: UUID, *, hours: float = 0, sequence: int = 0) -> MeetingInvited:
    starts = MONDAY + timedelta(hours=hours)
    return MeetingInvited(
        at=town.clock(), about=str(meeting), meeting_id=meeting, organizer_id=town.ids[by], attendee_id=town.ids[to], starts_at=starts,
        ends_at=starts + timedelta(minutes=90), sequence=sequence,
    )  # fmt: skip


def withdrawn(town: Town, by: str, to: str, meeting: UUID) -> MeetingWithdrawn:
    return MeetingWithdrawn(at=town.clock(), about=str(meeting), meeting_id=meeting, organizer_id=town.ids[by], attendee_id=town.ids[to])


def answered(town: Town, by: str, to: str, meeting: UUID, answer: str = "accepted", channel: str = "caldav") -> MeetingAnswered:
    return MeetingAnswered(
        at=town.clock(), about=str(meeting), meeting_id=meeting, organizer_id=town.ids[to], attendee_id=town.ids[by],
        answer=answer, channel=channel,  # type: ignore[arg-type]
    )  # fmt: skip


def nearly_full(town: Town, owner: str, percent: int, space: UUID) -> QuotaThresholdCrossed:
    return QuotaThresholdCrossed(
        at=town.clock(), about=str(space), space_id=space, kind="personal", ministry_id=town.ministries["interieur"],
        owner_id=town.ids[owner], percent=percent, used_bytes=percent * 2**30 // 10, limit_bytes=10 * 2**30,
    )  # fmt: skip


async def team_gone(town: Town, name: str) -> None:
    async with town.messaging.database.transaction() as tx:
        handler: Any = town.messaging.reactions[Erased(TeamState)]
        await handler(tx, Erased(TeamState, str(town.ids[name]), town.clock()))


async def room_of(town: Town, name: str, kind: str = "direct") -> str:
    async with town.messaging.database.read() as conn:
        lane = lane_of(kind, town.ids[name])  # type: ignore[arg-type]
        found = (await conn.execute(sa.select(link.c.room_id).where(link.c.lane == lane))).scalar()
    assert found is not None, f"{name} has no room yet"
    return str(found)


async def messages(town: Town, by: str, room_id: str) -> list[Any]:
    """What a client reads in a room, the oldest first."""
    page = await town.ok("GET", f"rooms/{room_id}/messages?dir=b&limit=100", by=by)
    return [one for one in reversed(page["chunk"]) if one["type"] == "m.room.message"]


async def told(town: Town, name: str) -> list[str]:
    """The first lines of what Parvis has told somebody in their room, the oldest first."""
    found = await messages(town, name, await room_of(town, name))
    return [one["content"]["body"].partition("\n")[0] for one in found if one["sender"] == f"@parvis:{town.home.server}"]


async def members(town: Town, by: str, room_id: str) -> set[str]:
    return set((await town.ok("GET", f"rooms/{room_id}/joined_members", by=by))["joined"])


async def facts(town: Town, kind: str) -> list[dict[str, Any]]:
    """What messaging has said of this kind, in order."""
    log, outbox = tables_of("messaging")["log"].c, tables_of("messaging")["outbox"].c
    carried, waiting = sa.select(log.data, sa.literal(0), log.seq), sa.select(outbox.data, sa.literal(1), outbox.id)
    both = sa.union_all(carried.where(log.type == kind), waiting.where(outbox.type == kind)).order_by(sa.text("2, 3"))
    async with town.messaging.database.read() as conn:
        return [json.loads(row[0]) for row in await conn.execute(both)]


def thread(root: str) -> dict[str, Any]:
    """As a client that knows threads answers in one."""
    return {"m.relates_to": {"rel_type": "m.thread", "event_id": root, "is_falling_back": True, "m.in_reply_to": {"event_id": root}}}
