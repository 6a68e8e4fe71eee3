"""Agents who leave: their agendas are frozen, their meetings stay, are handed over or are called off, by a choice of their ministry."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from parvis_contracts.calendar import LeaverSettled
from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.problems import Invalid
from parvis_kit.webdav import quoted

from parvis_calendar import queries
from parvis_calendar.actions.deliveries import put_copy, withdraw
from parvis_calendar.actions.objects import prepared, take_away
from parvis_calendar.actions.resources import release_of
from parvis_calendar.actions.scheduling import put_as_organizer
from parvis_calendar.actions.telling import tell_gone
from parvis_calendar.queries.reading import aside, read
from parvis_calendar.rules.agendas import Agenda, Asker, Home, Person, Stored
from parvis_calendar.rules.composing import handed_over
from parvis_calendar.rules.scheduling import cancelled
from parvis_calendar.rules.windows import epoch
from parvis_calendar.store import agendas, meetings, people

Choice = Literal["keep", "hand_over", "cancel"]
DONE = {"keep": "meetings kept", "hand_over": "meetings handed over", "cancel": "meetings cancelled"}


async def settle_leaver(tx: Tx, agent_id: UUID, left_at: datetime, *, now: datetime) -> None:
    """What was chosen for their meetings is done, their agendas are frozen. Done twice, it is done once."""
    chosen = await meetings.find_departure(tx, agent_id)
    done = await _apply(tx, agent_id, chosen.meetings if chosen else "keep", chosen.to_id if chosen else None, now=now)
    home = await agendas.next_seq(tx, agent_id)
    if home is not None:
        done = ["agendas frozen", *done]
        if home.frozen_at is None:
            await agendas.change_home(tx, agent_id, frozen_at=now)
            await audit.record(tx, who="calendar", what="home.freeze", on=agent_id, ministry=home.ministry_id, at=now)
    await meetings.put_departure(tx, agent_id, left_at=left_at, settled_at=now)
    publish(tx, LeaverSettled(at=now, about=str(agent_id), agent_id=agent_id, left_at=left_at, done=tuple(done)))


async def welcome_back(tx: Tx, agent_id: UUID, *, now: datetime) -> None:
    """The departure was a mistake; who was only suspended had nothing frozen. Meetings that went to others stay theirs."""
    home = await agendas.next_seq(tx, agent_id)
    if home is not None and home.frozen_at is not None:
        await agendas.change_home(tx, agent_id, frozen_at=None)
        await meetings.put_departure(tx, agent_id, left_at=None, settled_at=None, meetings="keep", to_id=None)
        await audit.record(tx, who="calendar", what="home.thaw", on=agent_id, ministry=home.ministry_id, at=now)


async def choose_departure(tx: Tx, asker: Asker, agent_id: UUID, choice: Choice, to_id: UUID | None, *, now: datetime) -> None:
    """Before they leave or after; once they have, it is done at once. Raises NotFound, Forbidden, Invalid."""
    await queries.leaver_for(tx, asker, agent_id)
    if (choice == "hand_over") != (to_id is not None):
        raise Invalid("Say to whom, and only when the meetings are handed over.")
    if to_id is not None:
        to = (await people.by_id(tx, [to_id])).get(to_id)
        if to is None or to.ministry_id != asker.ministry_id or to.id == agent_id or await agendas.find_default(tx, to_id) is None:
            raise Invalid("Hand them over to a colleague of the same ministry, who has an agenda.")
    await meetings.put_departure(tx, agent_id, meetings=choice, to_id=to_id)
    await audit.record(tx, who=asker.id, what=f"departure.{choice}", on=agent_id, ministry=asker.ministry_id, at=now)
    known = await meetings.find_departure(tx, agent_id)
    if known is not None and known.left_at is not None:
        await settle_leaver(tx, agent_id, known.left_at, now=now)


async def _apply(tx: Tx, agent_id: UUID, choice: str, to_id: UUID | None, *, now: datetime) -> list[str]:
    """To meetings that are not over. In words, what was done."""
    ids = await meetings.organized_by(tx, agent_id, epoch(now))
    if not ids:
        return []
    if choice == "keep":
        return [DONE["keep"]]
    invited = {one: sorted(await meetings.of_meeting(tx, one)) for one in ids}
    concerned = {agent_id, *(attendee for some in invited.values() for attendee in some), *([to_id] if to_id else [])}
    homes = await meetings.lock_homes(tx, concerned)
    leaver = await people.find_person(tx, agent_id)
    to = await people.find_person(tx, to_id) if to_id else None
    for meeting_id in ids:
        there = await meetings.find_by_id(tx, meeting_id)
        if there is None or leaver is None or there[1].owner_id != agent_id:
            continue
        if choice == "hand_over" and to is not None:
            await _hand_over(tx, *there, leaver, to, invited[meeting_id], now=now)
        else:
            await _cancel(tx, *there, invited[meeting_id], homes, now=now)
    return [DONE[choice]]


async def _cancel(tx: Tx, stored: Stored, agenda: Agenda, invited: Sequence[UUID], homes: dict[UUID, Home], *, now: datetime) -> None:
    what = await read(stored.octets)
    for attendee_id in invited:
        if attendee_id in homes and homes[attendee_id].frozen_at is None:
            await withdraw(tx, stored.id, agenda.owner_id, what.uid, attendee_id, what.sequence, now=now)
    await release_of(tx, stored.id, now=now)
    await put_copy(tx, agenda.owner_id, await aside(stored.size_bytes, cancelled, stored.octets), (stored, agenda), now=now)


async def _hand_over(tx: Tx, stored: Stored, agenda: Agenda, leaver: Person, to: Person, invited: Sequence[UUID], *, now: datetime) -> None:
    """The answers that were given stay; it is another meeting from now on, of the new organizer."""
    octets = await aside(stored.size_bytes, handed_over, stored.octets, leaver, to, now)
    await release_of(tx, stored.id, now=now)
    home = await agendas.next_seq(tx, agenda.owner_id)
    await take_away(tx, agenda, home.seq if home is not None else 0, stored, now=now)
    await tell_gone(tx, agenda, stored, now=now)
    for attendee_id in invited:
        await meetings.forget(tx, stored.id, attendee_id)
    if (theirs := await meetings.find_by_uid(tx, to.id, stored.uid)) is not None:
        own = await agendas.next_seq(tx, to.id)
        await take_away(tx, theirs[1], own.seq if own is not None else 0, theirs[0], now=now)
    target = await agendas.find_default(tx, to.id)
    if target is None:
        return
    new, base = replace(await prepared(octets, target, now), continues=stored.id), f"/dav/calendars/{to.id}/{quoted(target.name)}/"
    await put_as_organizer(tx, target, f"{stored.id}.ics", new, lambda found: None, base, to, now=now)
