"""What every act needs: the home with its next number, thawed; the busy weeks that follow from what takes place."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.problems import NotFound
from parvis_kit.webdav import DAV, Precondition, child_of

from parvis_calendar.rules.agendas import Agenda, Home
from parvis_calendar.rules.windows import FREE, WEEK, Span, by_week, packed, unwall, week_begins
from parvis_calendar.store import agendas, instances

NEED_PRIVILEGES = child_of(DAV, "need-privileges")


async def next_change(tx: Tx, owner_id: UUID) -> Home:
    """The home, locked, with the number of this change. Raises NotFound, Precondition when it is frozen."""
    home = await agendas.next_seq(tx, owner_id)
    if home is None:
        raise NotFound("There is no such agenda.")
    if home.frozen_at is not None:
        raise Precondition(NEED_PRIVILEGES, "These agendas are frozen, since their owner has left: they can be read, and not changed.")
    return home


def check_own(agenda: Agenda) -> None:
    """Raises Precondition: a delegate writes into an agenda, and does not change the agenda."""
    if agenda.delegate is not None:
        raise Precondition(NEED_PRIVILEGES, "Only its owner changes or deletes an agenda.")


def check_may_schedule(agenda: Agenda) -> None:
    """Raises Precondition."""
    if agenda.delegate is not None and not agenda.delegate.may_schedule:
        raise Precondition(NEED_PRIVILEGES, "You may write here, and neither invite nor answer in the owner's name.")


async def note_delegate(tx: Tx, agenda: Agenda, what: str, object_id: UUID, *, now: datetime) -> None:
    """Facts name the owner; the audit, who really did it, and in whose agenda."""
    if (who := agenda.delegate) is not None:
        why = f"in the agenda of {agenda.owner_id}"
        await audit.record(tx, who=who.id, what=f"delegate.{what}", on=object_id, ministry=agenda.ministry_id, at=now, why=why)


async def busy_changed(tx: Tx, agenda: Agenda, before: set[Span], after: set[Span]) -> None:
    """Bring the owner's busy weeks up to what they are now. The instances are written, and the home is locked."""
    if agenda.is_transparent or agenda.kind != "agenda":
        return
    gone, new = before - after, after - before
    if not gone and not new:
        return
    weeks = by_week(gone | new)
    if gone:
        await rewrite_weeks(tx, agenda.owner_id, weeks)
        return
    await instances.append_busy_weeks(tx, agenda.owner_id, {week: packed(week, spans) for week, spans in weeks.items()})


async def rewrite_weeks(tx: Tx, owner_id: UUID, weeks: Iterable[int]) -> None:
    """From what takes place in all of the owner's agendas: something may have covered what is gone."""
    wanted = sorted(weeks)
    start, end = week_begins(wanted[0]), week_begins(wanted[-1]) + WEEK
    zones = {one.id: ZoneInfo(one.zone) for one in await agendas.agendas_of(tx, owner_id)}
    spans: set[Span] = set()
    for agenda_id, one in await instances.met_busy(tx, owner_id, start, end):
        if one.busy == FREE or one.ends_at <= one.starts_at:
            continue
        if one.is_floating:
            spans.add((unwall(one.starts_at, zones[agenda_id]), unwall(one.ends_at, zones[agenda_id]), one.busy))
        else:
            spans.add((one.starts_at, one.ends_at, one.busy))
    there = by_week(spans)
    await instances.put_busy_weeks(tx, owner_id, {week: packed(week, there.get(week, ())) for week in wanted})


async def rewrite_all_weeks(tx: Tx, owner_id: UUID) -> None:
    """When an agenda as a whole begins or ceases to make busy."""
    weeks = await instances.weeks_of(tx, owner_id)
    await instances.forget_weeks(tx, owner_id)
    if weeks:
        await rewrite_weeks(tx, owner_id, weeks)
