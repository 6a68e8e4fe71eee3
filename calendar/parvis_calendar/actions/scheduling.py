"""What is put into, or deleted from, an agenda, with all that follows for others (RFC 6638): in one transaction, homes locked in order."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from parvis_contracts.calendar import Answer, Channel, MeetingAnswered, MeetingDeliveryFailed
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.problems import Forbidden, NotFound, PreconditionFailed, Unavailable

from parvis_calendar import queries
from parvis_calendar.actions import objects as acts
from parvis_calendar.actions.agendas import check_deletable, delete_all
from parvis_calendar.actions.common import check_may_schedule, next_change, note_delegate
from parvis_calendar.actions.deliveries import Meeting, addresses_of, invite, meeting_of, message, put_copy, withdraw
from parvis_calendar.actions.objects import Conditions, Prepared, Put, prepared
from parvis_calendar.actions.resources import book_for, release_of
from parvis_calendar.queries.reading import aside, read, read_stored
from parvis_calendar.rules.agendas import Agenda, Asker, Home, Person, Stored, entity_tag
from parvis_calendar.rules.budgets import LOOKED_BYTES_MAX
from parvis_calendar.rules.meetings import resource_ids
from parvis_calendar.rules.objects import CalendarObject
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.scheduling import (
    ANSWERS,
    DELIVERED,
    LEFT,
    PARTSTATS,
    UNKNOWN,
    Reply,
    answered,
    answers_between,
    as_sent,
    differ,
    invited,
    is_organizer,
    is_scheduled,
    key_of,
    times_changed,
    with_answer,
)
from parvis_calendar.rules.taking import first_span
from parvis_calendar.rules.windows import epoch
from parvis_calendar.store import agendas, meetings, objects, people

MEETINGS_MAX = 500
"""Called off in one transaction, which holds the homes of all who are invited."""
MEANWHILE = "This meeting has just been changed by somebody else: ask again."


def sent_by(agenda: Agenda) -> str | None:
    """Whose address stands beside the owner's (SENT-BY)."""
    return agenda.delegate.email if agenda.delegate is not None else None


def scheduled(stored: Stored | None) -> Stored | None:
    """Who sends or answers invitations keeps a schedule tag: what has none needs no reading."""
    return stored if stored is not None and stored.schedule_tag is not None else None


async def put_object(
    tx: Tx, agenda: Agenda, name: str, new: Prepared, conditions: Conditions, base: str, before: Stored | None, *, now: datetime
) -> Put:
    """Under this name; whoever is concerned is told. `before`: what was seen there, which tells how to lock, and is read again then.

    Raises NotFound, Precondition, Unavailable and what the conditions raise.
    """
    was = await read_stored(scheduled(before))
    if agenda.kind != "agenda" or not (is_scheduled(new.what) or (was is not None and is_scheduled(was))):
        return await acts.put_object(tx, agenda, name, new, _still_plain(conditions, before), base, now=now)
    owner = await people.find_person(tx, agenda.owner_id)
    if owner is None:
        return await acts.put_object(tx, agenda, name, new, conditions, base, now=now)
    if is_organizer(new.what, owner.email) or (new.what.organizer is None and was is not None and is_organizer(was, owner.email)):
        return await put_as_organizer(tx, agenda, name, new, conditions, base, owner, now=now)
    return await _put_as_attendee(tx, agenda, name, new, conditions, base, owner, now=now)


def _still_plain(conditions: Conditions, seen: Stored | None) -> Conditions:
    """What had no schedule when it was looked at has none when it is locked: otherwise people were invited meanwhile."""

    def check(found: Stored | None) -> None:
        conditions(found)
        if found is not None and found.schedule_tag is not None and (seen is None or seen.schedule_tag is None):
            raise Unavailable(MEANWHILE)

    return check


async def put_as_organizer(
    tx: Tx,
    agenda: Agenda,
    name: str,
    new: Prepared,
    conditions: Conditions,
    base: str,
    owner: Person,
    *,
    now: datetime,
    strict: bool = False,
) -> Put:
    """`strict`: a resource that is taken refuses all of it, rather than declining. Raises ResourceTaken then."""
    check_may_schedule(agenda)
    was = await read_stored(await objects.find(tx, agenda.id, name))
    wanted = set(invited(new.what, owner.email)) | set(invited(was, owner.email) if was is not None else ())
    known = await people.by_email(tx, sorted(wanted))
    homes = await meetings.lock_homes(tx, [owner.id, *(one.id for one in known.values())])
    before = await objects.find(tx, agenda.id, name)
    conditions(before)
    was = await read_stored(before)
    if was is not None and not set(invited(was, owner.email)) <= wanted:
        raise Unavailable(MEANWHILE)
    reached = {email: one for email, one in known.items() if _is_open(homes, one.id)}
    now_invited = invited(new.what, owner.email)
    statuses = await _statuses(tx, now_invited, reached, known)
    old = before.octets if before is not None else b""
    octets = await aside(len(old) + len(new.octets), as_sent, old or None, new.octets, owner.email, statuses, sent_by(agenda))
    kept = await prepared(octets, agenda, now)
    put = await acts.put_object(tx, agenda, name, _sent(kept, new), conditions, base, now=now)
    if ids := resource_ids(addresses_of(new.what, was)):
        kept = await _with_resources(tx, agenda, name, put.id, kept, ids, owner, strict=strict, now=now)
        put = replace(put, etag=entity_tag(kept.octets), schedule_tag=entity_tag(kept.octets))
    meeting = meeting_of(put.id, owner, kept, agenda, first_span(kept.what, kept.expanded))
    is_told = was is None or await aside(len(old) + len(octets), differ, old, kept.octets)
    await _tell(tx, meeting, reached, set(now_invited), was, is_told=is_told, now=now)
    _say_failed(tx, meeting, {email: one for email, one in statuses.items() if one != DELIVERED}, was, now)
    return put


def _sent(kept: Prepared, new: Prepared) -> Prepared:
    """As it is kept, with what is known of what came."""
    return replace(kept, schedule_tag=entity_tag(kept.octets), is_exact=False, continues=new.continues)


async def _statuses(tx: Tx, invited_: Collection[str], reached: Collection[str], known: Collection[str]) -> dict[str, str]:
    """What becomes of each invitation."""
    missing = [one for one in invited_ if one not in known]
    left = {*known, *(await people.who_left(tx, missing))} if missing else set(known)
    return {one: DELIVERED if one in reached else LEFT if one in left else UNKNOWN for one in invited_}


def _is_open(homes: dict[UUID, Home], owner_id: UUID) -> bool:
    return owner_id in homes and homes[owner_id].frozen_at is None


async def _tell(
    tx: Tx,
    meeting: Meeting,
    reached: dict[str, Person],
    now_invited: Collection[str],
    was: CalendarObject | None,
    *,
    is_told: bool,
    now: datetime,
) -> None:
    invitations = await meetings.of_meeting(tx, meeting.id)
    for email, person in sorted(reached.items()):
        known = invitations.get(person.id)
        if email in now_invited and not meeting.what.is_cancelled:
            is_other = known is None or was is None or times_changed(was, meeting.what)
            await invite(tx, meeting, person, known, is_told=is_told or is_other, is_new=is_other, now=now)
        elif known is not None:
            await withdraw(tx, meeting.id, meeting.organizer.id, meeting.what.uid, person.id, meeting.what.sequence, now=now)


def _say_failed(tx: Tx, meeting: Meeting, failed: dict[str, str], was: CalendarObject | None, now: datetime) -> None:
    """Once for each of them, and not again at each change."""
    before = invited(was, meeting.organizer.email) if was is not None else {}
    for email, status in sorted(failed.items()):
        if email not in before:
            fact = MeetingDeliveryFailed(
                at=now, about=str(meeting.id), meeting_id=meeting.id, organizer_id=meeting.organizer.id,
                reason="left" if status == LEFT else "unknown",
            )  # fmt: skip
            publish(tx, fact)


async def _with_resources(
    tx: Tx, agenda: Agenda, name: str, event_id: UUID, kept: Prepared, ids: list[UUID], owner: Person, *, strict: bool, now: datetime
) -> Prepared:
    """Booked, or declined; the answer of each stands in the object."""
    answers = await book_for(tx, event_id, kept, ids, owner, agenda.zone, strict=strict, now=now)
    octets = kept.octets
    for address, partstat in answers.items():
        octets = await aside(len(octets), with_answer, octets, address, partstat)
    if octets == kept.octets:
        return kept
    again = replace(await prepared(octets, agenda, now), schedule_tag=entity_tag(octets), is_exact=False)
    stored = await objects.find(tx, agenda.id, name)
    home = await next_change(tx, agenda.owner_id)
    await acts.write(tx, agenda, home.seq, name, again, stored, now=now)
    return again


async def _put_as_attendee(
    tx: Tx, agenda: Agenda, name: str, new: Prepared, conditions: Conditions, base: str, owner: Person, *, now: datetime
) -> Put:
    check_may_schedule(agenda)
    organizer = await _organizer_of(tx, new.what)
    await meetings.lock_homes(tx, [owner.id, *([organizer.id] if organizer is not None else [])])
    was = await read_stored(await objects.find(tx, agenda.id, name))
    put = await acts.put_object(tx, agenda, name, replace(new, schedule_tag=entity_tag(new.octets)), conditions, base, now=now)
    if organizer is not None:
        replies = answers_between(was, new.what, owner.email)
        await reply(tx, organizer, owner, new.what.uid, replies, new.octets, "caldav", sent_by(agenda), now=now)
    return put


async def _organizer_of(tx: Tx, what: CalendarObject) -> Person | None:
    """When they are an agent of the suite, and their client does not answer by itself."""
    one = what.organizer
    if one is None or not one.email or one.schedule_agent != "SERVER":
        return None
    return (await people.by_email(tx, [one.email])).get(one.email)


async def reply(
    tx: Tx,
    organizer: Person,
    attendee: Person,
    uid: str,
    replies: list[Reply],
    theirs: bytes,
    channel: Channel,
    by: str | None = None,
    *,
    now: datetime,
) -> None:
    """Into the organizer's object; `by`: the address of who answers in the attendee's name. Both homes are locked."""
    there = await meetings.find_by_uid(tx, organizer.id, uid) if replies else None
    if there is None:
        return
    stored, agenda = there
    size, what, their = stored.size_bytes + len(theirs), await read(stored.octets), await read(theirs)
    octets = await aside(size, answered, stored.octets, attendee.email, replies, theirs, what, their, by)
    if octets != stored.octets and agenda.frozen_at is None:
        await put_copy(tx, organizer.id, octets, there, now=now, tag=stored.schedule_tag or entity_tag(stored.octets))
        await message(tx, organizer.id, uid, "REPLY", octets, now=now)
    said: Answer = ANSWERS[next((one.partstat for one in replies if one.key is None), replies[-1].partstat)]
    known = await meetings.find(tx, stored.id, attendee.id)
    if known is not None and known.answer != said:
        await meetings.answer(tx, stored.id, attendee.id, said)
    fact = MeetingAnswered(
        at=now, about=str(stored.id), meeting_id=stored.id, organizer_id=organizer.id, attendee_id=attendee.id,
        answer=said, channel=channel,
    )  # fmt: skip
    publish(tx, fact)


async def delete_object(tx: Tx, agenda: Agenda, name: str, conditions: Conditions, *, now: datetime, is_answer: bool = True) -> None:
    """An organizer calls the meeting off, an attendee declines (unless Schedule-Reply says no). Raises NotFound and others."""
    seen = await objects.find(tx, agenda.id, name)
    was = await read_stored(scheduled(seen)) if agenda.kind == "agenda" else None
    owner = await people.find_person(tx, agenda.owner_id) if was is not None and is_scheduled(was) else None
    if was is None or owner is None:
        plain = _still_plain(conditions, seen) if agenda.kind == "agenda" else conditions
        await acts.delete_object(tx, agenda, name, plain, now=now)
        return
    check_may_schedule(agenda)
    if is_organizer(was, owner.email):
        await _delete_as_organizer(tx, agenda, name, conditions, was, owner, now=now)
        return
    organizer = await _organizer_of(tx, was)
    await meetings.lock_homes(tx, [owner.id, *([organizer.id] if organizer is not None else [])])
    stored = await objects.find(tx, agenda.id, name)
    await acts.delete_object(tx, agenda, name, conditions, now=now)
    if organizer is not None and stored is not None and is_answer:
        replies = answers_between(await read(stored.octets), None, owner.email)
        await reply(tx, organizer, owner, was.uid, replies, stored.octets, "caldav", sent_by(agenda), now=now)


async def move_object(tx: Tx, source: Agenda, name: str, target: Agenda, new_name: str, *, overwrite: bool, now: datetime) -> bool:
    """Within a home; whether there was nothing of the new name before. Raises NotFound, Precondition and others."""
    there = await objects.find(tx, target.id, new_name)
    if there is not None and (source.id, name) != (target.id, new_name):
        if not overwrite:
            raise PreconditionFailed("There is something of this name already.")
        if await objects.find(tx, source.id, name) is None:
            raise NotFound("There is no such object.")
        await delete_object(tx, target, new_name, lambda found: None, now=now)
    await acts.move_object(tx, source, name, target, new_name, now=now)
    return there is None


async def delete_agenda(tx: Tx, agenda: Agenda, *, now: datetime) -> None:
    """With all that is in it: meetings that are not over are called off, or declined, as if each were deleted (RFC 6638 §3.2.1.4).

    Raises NotFound, Precondition, Unavailable; Forbidden for the one where invitations arrive, for inbox and outbox, and when there are
    more meetings than can be told of at once.
    """
    check_deletable(agenda)
    ids = await objects.scheduled(tx, agenda.id, epoch(now), MEETINGS_MAX + 1)
    if len(ids) > MEETINGS_MAX:
        raise Forbidden(f"More than {MEETINGS_MAX} meetings of this agenda are still to come: delete some of them first.")
    names, emails = [], set[str]()
    while ids:
        some, left = await objects.by_ids(tx, ids, LOOKED_BYTES_MAX)
        ids = [one.id for one in left]
        names += [one.name for one in some]
        emails |= await aside(sum(one.size_bytes for one in some), _concerned, [one.octets for one in some])
    known = await people.by_email(tx, sorted(emails))
    await meetings.lock_homes(tx, [agenda.owner_id, *(one.id for one in known.values())])
    for name in names:
        await delete_object(tx, agenda, name, lambda found: None, now=now)
    await delete_all(tx, agenda, now=now)


def _concerned(some: Sequence[bytes]) -> set[str]:
    """All addresses that stand on them."""
    read = [read_object(octets) for octets in some]
    return {one.email for what in read for one in (*what.attendees, what.organizer) if one is not None and one.email}


async def _delete_as_organizer(
    tx: Tx, agenda: Agenda, name: str, conditions: Conditions, was: CalendarObject, owner: Person, *, now: datetime
) -> None:
    known = await people.by_email(tx, sorted(invited(was, owner.email)))
    homes = await meetings.lock_homes(tx, [owner.id, *(one.id for one in known.values())])
    stored = await objects.find(tx, agenda.id, name)
    await acts.delete_object(tx, agenda, name, conditions, now=now)
    if stored is None:
        return
    await release_of(tx, stored.id, now=now)
    for attendee_id in sorted(await meetings.of_meeting(tx, stored.id)):
        if attendee_id not in homes:
            raise Unavailable(MEANWHILE)
        if _is_open(homes, attendee_id):
            await withdraw(tx, stored.id, owner.id, was.uid, attendee_id, was.sequence, now=now)


async def answer_for(tx: Tx, asker: Asker, agent_id: UUID, meeting_id: UUID, answer: Answer, *, now: datetime) -> None:
    """Over JSON, for oneself or in the name of a colleague whose delegate one is. Raises NotFound, Unavailable."""
    agenda = await queries.let_in(tx, asker, await agendas.find_default(tx, agent_id))
    if agenda is None or (agenda.delegate is not None and not agenda.delegate.may_schedule):
        raise NotFound("You are not invited to such a meeting.")
    await answer_meeting(tx, agent_id, meeting_id, answer, "api", sent_by(agenda), now=now)
    await note_delegate(tx, agenda, "answer", meeting_id, now=now)


async def answer_meeting(
    tx: Tx, agent_id: UUID, meeting_id: UUID, answer: Answer, channel: Channel, by: str | None = None, *, now: datetime
) -> None:
    """By another way than a CalDAV client. Said twice, it is said once. Raises NotFound, Unavailable."""
    known = await meetings.find(tx, meeting_id, agent_id)
    if known is None:
        raise NotFound("You are not invited to such a meeting.")
    await meetings.lock_homes(tx, [agent_id, known.organizer_id])
    known = await meetings.find(tx, meeting_id, agent_id)
    there = await meetings.find_by_uid(tx, agent_id, known.uid) if known is not None else None
    if known is None or there is None:
        raise NotFound("You are not invited to such a meeting.")
    if known.answer == answer:
        return
    attendee, organizer = await people.find_person(tx, agent_id), await people.find_person(tx, known.organizer_id)
    if attendee is None or organizer is None:
        raise NotFound("You are not invited to such a meeting.")
    partstat = PARTSTATS[answer]
    octets = await aside(there[0].size_bytes, with_answer, there[0].octets, attendee.email, partstat)
    await put_copy(tx, agent_id, octets, there, now=now)
    replies = [Reply(key_of(part), partstat) for part in (await read(octets)).parts]
    await reply(tx, organizer, attendee, known.uid, replies, octets, channel, by, now=now)


COMMANDS: dict[str, Answer] = {"accept": "accepted", "decline": "declined", "tentative": "tentative"}


async def take_command(tx: Tx, agent_id: UUID, meeting_id: UUID, command: str, *, now: datetime) -> None:
    """An answer given in a thread; one to a meeting that was called off meanwhile says nothing any more."""
    with suppress(NotFound):
        await answer_meeting(tx, agent_id, meeting_id, COMMANDS[command], "messaging", now=now)
