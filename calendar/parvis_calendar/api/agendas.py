"""One's agendas."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from parvis_kit.http import DB, Page, Query, Request, Routes
from parvis_roster import AGENT
from pydantic import Field
from pydantic.dataclasses import dataclass as shown

from parvis_calendar import queries
from parvis_calendar.rules.agendas import Agenda, Asker

ROUTES = Routes("calendar", "1")


@shown(slots=True)
class AgendaShown:
    id: UUID
    name: str
    """The last part of its CalDAV address."""
    display_name: str
    description: str
    color: str
    zone: str
    components: list[str]
    is_default: bool
    """Where invitations arrive."""
    is_transparent: bool
    """Nothing in it makes you busy."""
    revision: int
    frozen_at: datetime | None
    created_at: datetime
    owner_id: UUID


def asker_of(request: Request) -> Asker:
    agent = request[AGENT]
    return Asker(agent.id, agent.ministry_id, agent.roles)


def show(one: Agenda) -> AgendaShown:
    return AgendaShown(
        one.id, one.name, one.display_name, one.description, one.color, one.zone, list(one.takes), one.is_default, one.is_transparent,
        one.seq, one.frozen_at, one.created_at, one.owner_id,
    )  # fmt: skip


class Whose(Query):
    owner: Annotated[UUID | None, Field(description="Of a colleague who lets you write; else yours.")] = None


@ROUTES.get("/api/calendar/v1/calendars", scope="calendar:read")
async def list_calendars(request: Request, query: Whose) -> Page[AgendaShown]:
    """Your agendas and lists of tasks, the one where invitations arrive first."""
    asker = asker_of(request)
    async with request[DB].read() as conn:
        found = await queries.agendas_for(conn, asker, query.owner or asker.id)
    return Page([show(one) for one in found if one.kind == "agenda"])
