"""What becomes of the meetings of an agent who leaves: a choice of their ministry's administrators."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from parvis_kit.http import CLOCK, DB, Body, Request, Routes
from parvis_kit.problems import Forbidden, Invalid, NotFound
from pydantic import Field
from pydantic.dataclasses import dataclass as shown

from parvis_calendar import actions, queries
from parvis_calendar.actions.departures import Choice
from parvis_calendar.api.agendas import asker_of

ROUTES = Routes("calendar", "1")


class Leaving(Body):
    meetings: Choice
    to: Annotated[UUID | None, Field(strict=False, description="The colleague who organizes them from then on.")] = None


@shown(slots=True)
class DepartureShown:
    agent_id: UUID
    meetings: str
    """keep, hand_over or cancel."""
    to: UUID | None
    left_at: datetime | None
    settled_at: datetime | None
    open_meetings: int
    """Organized by them, with somebody invited, and not over."""


@ROUTES.get("/api/calendar/v1/departures/{agent_id}", scope="calendar:read", problems=(NotFound, Forbidden))
async def get_departure(request: Request, agent_id: UUID) -> DepartureShown:
    """What was chosen, and how many meetings it is about; by the ministry's administrators."""
    async with request[DB].read() as conn:
        return DepartureShown(*await queries.departure_for(conn, asker_of(request), agent_id, request[CLOCK]()))


@ROUTES.put("/api/calendar/v1/departures/{agent_id}", scope="calendar:write", problems=(NotFound, Forbidden, Invalid))
async def choose_departure(request: Request, agent_id: UUID, body: Leaving) -> None:
    """Before they leave, it is done when they do; afterwards at once. Without a choice the meetings stay as they are, frozen."""
    async with request[DB].transaction() as tx:
        await actions.choose_departure(tx, asker_of(request), agent_id, body.meetings, body.to, now=request[CLOCK]())
