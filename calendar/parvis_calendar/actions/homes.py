"""Homes of agents who join and move."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from parvis_contracts.calendar import CalendarCreated
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id

from parvis_calendar.rules.agendas import DEFAULT_ZONE, Agenda, AgendaKind, Home
from parvis_calendar.store import agendas

EPOCH_MAX = 2**31
FIRST = (
    ("agenda", "agenda", "Agenda", "VEVENT,VJOURNAL", "#000091FF", True),
    ("agenda", "tasks", "Tâches", "VTODO", "#18753CFF", False),
    ("inbox", "inbox", "Invitations", "VEVENT,VTODO", "", False),
    ("outbox", "outbox", "Envois", "VEVENT,VTODO,VFREEBUSY", "", False),
)
"""Kind, name, title, components, colour, whether invitations arrive there. Apple's Reminders take a collection of tasks alone."""


async def open_home(tx: Tx, agent_id: UUID, ministry_id: UUID, *, now: datetime) -> None:
    """With an agenda, a list of tasks, an inbox and an outbox. Done twice, it is done once."""
    one = Home(agent_id, ministry_id, "agent", 1, secrets.randbelow(EPOCH_MAX), None, {}, now)
    if not await agendas.add_home(tx, one):
        return
    for kind, name, title, components, color, is_default in FIRST:
        made = _agenda(one, kind, name, title, components, color, now, is_default=is_default)  # type: ignore[arg-type]
        await agendas.add_agenda(tx, made)
        if kind == "agenda":
            publish(tx, CalendarCreated(at=now, about=str(made.id), calendar_id=made.id, owner_id=agent_id, ministry_id=ministry_id))


def _agenda(home: Home, kind: AgendaKind, name: str, title: str, components: str, color: str, now: datetime, *, is_default: bool) -> Agenda:
    return Agenda(
        new_id(), home.owner_id, kind, name, title, "", color, None, DEFAULT_ZONE, None, components, False, is_default, {},
        home.seq, 0, 0, now,
    )  # fmt: skip


async def follow_agents(tx: Tx, ministries: Mapping[UUID, UUID]) -> None:
    """Agendas move with their agents."""
    for agent_id, ministry_id in sorted(ministries.items()):
        await agendas.change_home(tx, agent_id, ministry_id=ministry_id)


async def follow_ministry(tx: Tx, ministry_id: UUID, into_ministry_id: UUID) -> None:
    await agendas.move_homes(tx, ministry_id, into_ministry_id)


async def renew_epochs(tx: Tx, now: datetime) -> int:
    """After a restore of the database: clients compare anew, instead of believing what they remember of changes that are lost.

    By the clock, in milliseconds and so above all that were drawn: a database restored twice to the same moment has two epochs.
    """
    return await agendas.renew_epochs(tx, int(now.timestamp() * 1000))
