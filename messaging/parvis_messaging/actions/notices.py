"""What agents are told, from the facts that others publish; and what they have read and want to hear."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from parvis_contracts.calendar import MeetingAnswered, MeetingInvited, MeetingWithdrawn
from parvis_contracts.directory import AgentJoined
from parvis_contracts.files import FileShared, QuotaThresholdCrossed
from parvis_kit.db import Tx

from parvis_messaging.actions.bridging import Bridge, enqueue, id_of
from parvis_messaging.actions.links import open_direct_room
from parvis_messaging.rules.notices import Notice, NoticeKind, PreferenceKind, SubjectKind
from parvis_messaging.store import links, notices

TIMES = ("starts_at", "ends_at", "recurs")
INVITATIONS = ("meeting_invited", "meeting_moved")


async def tell_agent(
    tx: Tx, bridge: Bridge, notice_id: UUID, agent_id: UUID, kind: NoticeKind, subject: tuple[SubjectKind, UUID | None],
    details: dict[str, Any], *, actor_id: UUID | None = None, at: datetime,
) -> None:  # fmt: skip
    await bridge.check_room(tx)
    if await notices.add_notice(tx, Notice(notice_id, kind, *subject, agent_id, None, actor_id, details, at)):
        lane = await open_direct_room(tx, bridge, agent_id)
        await enqueue(tx, bridge, lane, "notice", notice_id)


async def tell_team(
    tx: Tx, bridge: Bridge, notice_id: UUID, team_id: UUID, kind: NoticeKind, subject: tuple[SubjectKind, UUID | None],
    details: dict[str, Any], *, actor_id: UUID | None = None, at: datetime,
) -> None:  # fmt: skip
    await bridge.check_room(tx)
    if await notices.add_notice(tx, Notice(notice_id, kind, *subject, None, team_id, actor_id, details, at)):
        lane = await links.ensure_link(tx, "team", team_id)
        await enqueue(tx, bridge, lane, "notice", notice_id)


async def welcome(tx: Tx, bridge: Bridge, fact: AgentJoined) -> None:
    await tell_agent(tx, bridge, id_of(fact, "agent"), fact.agent_id, "welcome", ("none", None), {}, at=fact.at)


async def tell_share(tx: Tx, bridge: Bridge, fact: FileShared) -> None:
    tell = tell_team if fact.grantee_kind == "team" else tell_agent
    if fact.grantee_id != fact.shared_by:
        details = {"name": fact.name, "role": fact.role}
        await tell(
            tx, bridge, id_of(fact, "grantee"), fact.grantee_id, "file_shared", ("file", fact.file_id), details,
            actor_id=fact.shared_by, at=fact.at,
        )  # fmt: skip


async def tell_quota(tx: Tx, bridge: Bridge, fact: QuotaThresholdCrossed) -> None:
    """To whom the space belongs, or to those who manage a shared one: agents in their own rooms, teams in theirs."""
    details: dict[str, Any] = {"percent": fact.percent, "used_bytes": fact.used_bytes, "limit_bytes": fact.limit_bytes}
    subject: tuple[SubjectKind, UUID | None] = "space", fact.space_id
    if fact.owner_id is not None:
        await tell_agent(tx, bridge, id_of(fact, "owner"), fact.owner_id, "quota", subject, details, at=fact.at)
        return
    details["shared"] = True
    for one in fact.manager_ids:
        await tell_agent(tx, bridge, id_of(fact, f"manager {one}"), one, "quota", subject, details, at=fact.at)
    for one in fact.manager_team_ids:
        await tell_team(tx, bridge, id_of(fact, f"team {one}"), one, "quota", subject, details, at=fact.at)


async def tell_invitation(tx: Tx, bridge: Bridge, fact: MeetingInvited) -> None:
    """The first time as an invitation, with other times as a move; the same times again are nothing new."""
    if fact.attendee_id == fact.organizer_id:
        return
    details = {"starts_at": fact.starts_at.isoformat(), "ends_at": fact.ends_at.isoformat(), "recurs": fact.recurs}
    last = await notices.last_about(tx, fact.meeting_id, (*INVITATIONS, "meeting_withdrawn"), fact.attendee_id)
    is_invited = last is not None and last.kind in INVITATIONS
    if last is not None and is_invited and times_of(last) == details:
        return
    await tell_agent(
        tx, bridge, id_of(fact, "attendee"), fact.attendee_id, "meeting_moved" if is_invited else "meeting_invited",
        ("meeting", fact.meeting_id), details, actor_id=fact.organizer_id, at=fact.at,
    )  # fmt: skip


async def tell_withdrawal(tx: Tx, bridge: Bridge, fact: MeetingWithdrawn) -> None:
    """To who was invited, once."""
    last = await notices.last_about(tx, fact.meeting_id, (*INVITATIONS, "meeting_withdrawn"), fact.attendee_id)
    if last is not None and last.kind in INVITATIONS:
        await tell_agent(
            tx, bridge, id_of(fact, "attendee"), fact.attendee_id, "meeting_withdrawn", ("meeting", fact.meeting_id), times_of(last),
            actor_id=fact.organizer_id, at=fact.at,
        )  # fmt: skip


async def tell_answer(tx: Tx, bridge: Bridge, fact: MeetingAnswered) -> None:
    """To the organizer; and to who answered in a room, that it was heard."""
    last = await notices.last_about(tx, fact.meeting_id, INVITATIONS)
    details = {**(times_of(last) if last is not None else {}), "answer": fact.answer}
    subject: tuple[SubjectKind, UUID | None] = "meeting", fact.meeting_id
    await tell_agent(
        tx, bridge, id_of(fact, "organizer"), fact.organizer_id, "meeting_answered", subject, details, actor_id=fact.attendee_id,
        at=fact.at,
    )  # fmt: skip
    if fact.channel == "messaging":
        await tell_agent(tx, bridge, id_of(fact, "attendee"), fact.attendee_id, "answer_noted", subject, details, at=fact.at)


def times_of(notice: Notice) -> dict[str, Any]:
    return {name: notice.details[name] for name in TIMES if name in notice.details}


async def mark_read(tx: Tx, agent_id: UUID, notice_ids: Collection[UUID]) -> None:
    """What was not told to this agent is passed over in silence."""
    await notices.mark_read(tx, agent_id, notice_ids)


async def mark_all_read(tx: Tx, agent_id: UUID) -> None:
    await notices.mark_all_read(tx, agent_id)


async def put_preferences(tx: Tx, agent_id: UUID, chosen: Mapping[PreferenceKind, tuple[bool, bool]]) -> None:
    """Kind → by Matrix, on the portal."""
    if chosen:
        await notices.put_preferences(tx, agent_id, chosen)
