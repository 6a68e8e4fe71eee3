"""Rooms and equipment: made, booked with the event that needs them, and free again with it."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_contracts.calendar import ResourceBooked, ResourceReleased
from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Forbidden, Invalid

from parvis_calendar.actions.objects import Prepared
from parvis_calendar.rules.agendas import Asker, Person
from parvis_calendar.rules.meetings import RESOURCE_SPANS_MAX, Resource, ResourceKind, ResourceTaken
from parvis_calendar.rules.windows import moment, spans_of
from parvis_calendar.store import resources


async def make_resource(tx: Tx, asker: Asker, kind: ResourceKind, name: str, place: str, seats: int | None, *, now: datetime) -> Resource:
    """Of the asker's ministry. Raises Forbidden."""
    if "ministry_administrator" not in asker.roles:
        raise Forbidden("A ministry's rooms and equipment are kept by its administrators.")
    made = Resource(new_id(), await resources.next_number(tx), asker.ministry_id, kind, name, place, seats, now)
    await resources.add(tx, made)
    await audit.record(tx, who=asker.id, what="resource.create", on=made.id, ministry=asker.ministry_id, at=now)
    return made


async def book_for(
    tx: Tx, event_id: UUID, kept: Prepared, ids: list[UUID], owner: Person, zone: str, *, strict: bool, now: datetime
) -> dict[str, str]:
    """What an event needs is taken for all its occurrences, or declines. Address → PARTSTAT. Raises ResourceTaken when `strict`."""
    locked = {one: found for one, found in (await resources.lock(tx, ids)).items() if found.ministry_id == owner.ministry_id}
    before = await resources.booked_spans(tx, event_id)
    wanted = {one.address.casefold() for one in kept.what.attendees} if not kept.what.is_cancelled else set[str]()
    spans = sorted((first, last) for first, last, _ in spans_of(kept.expanded.takings, ZoneInfo(zone)))
    answers: dict[str, str] = {}
    await resources.release(tx, event_id)
    for resource_id, one in locked.items():
        if one.address not in wanted:
            if resource_id in before:
                publish(tx, ResourceReleased(at=now, about=str(resource_id), resource_id=resource_id, event_id=event_id))
            continue
        if await _is_free(tx, resource_id, spans):
            await resources.book(tx, one, event_id, owner.id, spans)
            answers[one.address] = "ACCEPTED"
            if sorted(before.get(resource_id, ())) != spans:
                _say_booked(tx, one, event_id, owner, spans, now)
        elif strict:
            raise ResourceTaken(f"{one.name} is taken at that time: choose another time or room.")
        else:
            answers[one.address] = "DECLINED"
            if resource_id in before:
                publish(tx, ResourceReleased(at=now, about=str(resource_id), resource_id=resource_id, event_id=event_id))
    if strict and set(ids) - set(locked) and not before:
        raise Invalid("There is no such room or equipment in your ministry.")
    return answers


async def _is_free(tx: Tx, resource_id: UUID, spans: list[tuple[int, int]]) -> bool:
    """For all of them; what takes place without end cannot be promised beyond what is written down."""
    if len(spans) > RESOURCE_SPANS_MAX or any(first[1] > second[0] for first, second in zip(spans, spans[1:], strict=False)):
        return False
    if not spans:
        return True
    taken = (await resources.taken(tx, [resource_id], spans[0][0], spans[-1][1])).get(resource_id, [])
    return not any(first < other_last and last > other_first for first, last in spans for other_first, other_last, _ in taken)


def _say_booked(tx: Tx, one: Resource, event_id: UUID, owner: Person, spans: list[tuple[int, int]], now: datetime) -> None:
    for first, last in spans:
        fact = ResourceBooked(
            at=now, about=str(one.id), resource_id=one.id, event_id=event_id, booked_by=owner.id,
            starts_at=moment(first), ends_at=moment(last),
        )  # fmt: skip
        publish(tx, fact)


async def release_of(tx: Tx, event_id: UUID, *, now: datetime) -> None:
    """What was taken for an event that does not take place; for most it is nothing."""
    if not (held := sorted(await resources.booked_spans(tx, event_id))):
        return
    await resources.lock(tx, held)
    for resource_id in await resources.release(tx, event_id):
        publish(tx, ResourceReleased(at=now, about=str(resource_id), resource_id=resource_id, event_id=event_id))
