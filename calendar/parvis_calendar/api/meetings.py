"""Invitations, and answers to them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from parvis_contracts.calendar import Answer
from parvis_kit.http import CLOCK, DB, Body, Page, Query, Request, Routes
from parvis_kit.problems import NotFound
from pydantic import Field
from pydantic.dataclasses import dataclass as shown

from parvis_calendar import actions, queries
from parvis_calendar.api.agendas import asker_of
from parvis_calendar.queries import Invited
from parvis_calendar.rules.windows import moment

ROUTES = Routes("calendar", "1")
INVITATIONS_MAX = 200


class Answering(Body):
    answer: Answer
    agent_id: Annotated[UUID | None, Field(strict=False, description="A colleague whose delegate you are; else yourself.")] = None


class Some(Query):
    limit: Annotated[int, Field(ge=1, le=INVITATIONS_MAX)] = INVITATIONS_MAX


@shown(slots=True)
class InvitationShown:
    meeting_id: UUID
    organizer_id: UUID
    organizer: str
    """Their name."""
    title: str
    place: str
    starts_at: datetime
    ends_at: datetime
    """Of the first occurrence."""
    recurs: bool
    answer: str
    """needs-action, accepted, declined or tentative."""
    invited_at: datetime


def show(one: Invited) -> InvitationShown:
    found, what = one.invitation, one.what
    return InvitationShown(
        found.meeting_id, found.organizer_id, one.organizer.name if one.organizer else "", what.summary if what else "",
        what.location if what else "", moment(found.starts_at), moment(found.ends_at), found.recurs, found.answer, found.invited_at,
    )  # fmt: skip


@ROUTES.get("/api/calendar/v1/invitations", scope="calendar:read")
async def list_invitations(request: Request, query: Some) -> Page[InvitationShown]:
    """To what you are invited and what is not over, answered or not; the next one first."""
    async with request[DB].read() as conn:
        return Page([show(one) for one in await queries.invitations_for(conn, asker_of(request), request[CLOCK](), query.limit)])


@ROUTES.post("/api/calendar/v1/meetings/{meeting_id}/answer", scope="calendar:write", problems=(NotFound,))
async def answer_meeting(request: Request, meeting_id: UUID, body: Answering) -> None:
    """Say whether you come: your agenda and the organizer's know it at once. The same answer twice is one."""
    asker = asker_of(request)
    async with request[DB].transaction() as tx:
        await actions.answer_for(tx, asker, body.agent_id or asker.id, meeting_id, body.answer, now=request[CLOCK]())
