"""An invitation in the agenda of whom it is for, and the message about it in their inbox; the same for what is called off."""

from datetime import datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from parvis_contracts.calendar import MeetingInvited, MeetingWithdrawn
from parvis_kit.db import Tx
from parvis_kit.events import publish

from parvis_calendar.actions.objects import Prepared, prepared, write
from parvis_calendar.queries.reading import aside, read
from parvis_calendar.rules.agendas import Agenda, Person, Stored, entity_tag
from parvis_calendar.rules.meetings import Invitation
from parvis_calendar.rules.objects import CalendarObject
from parvis_calendar.rules.scheduling import NO_ANSWER, cancelled, copy_for
from parvis_calendar.rules.sheets import as_message
from parvis_calendar.rules.taking import Expanded
from parvis_calendar.rules.windows import moment, unwall
from parvis_calendar.store import agendas, meetings, objects

NOTHING = Expanded((), None, None)
"""What lies in an inbox takes place nowhere."""


class Meeting:
    """An organizer's object, as those who are told of it need it."""

    def __init__(self, meeting_id: UUID, organizer: Person, kept: Prepared, zone: str, starts_at: int, ends_at: int) -> None:
        self.id, self.organizer, self.octets, self.what = meeting_id, organizer, kept.octets, kept.what
        if kept.what.floating:
            starts_at, ends_at = unwall(starts_at, ZoneInfo(zone)), unwall(ends_at, ZoneInfo(zone))
        self.starts_at, self.ends_at = starts_at, ends_at


async def invite(
    tx: Tx, meeting: Meeting, attendee: Person, known: Invitation | None, *, is_told: bool, is_new: bool, now: datetime
) -> None:
    """Their home is locked. `is_told`: by a message in their inbox; `is_new`: to them, or at other times: by a fact, too."""
    there = await meetings.find_by_uid(tx, attendee.id, meeting.what.uid)
    copy = await aside(len(meeting.octets), copy_for, meeting.octets, attendee.email, there[0].octets if there else None)
    if copy is None:
        return
    if there is not None and known is not None and there[0].octets == copy:
        return
    await put_copy(tx, attendee.id, copy, there, now=now)
    what = meeting.what
    partstat = next((one.partstat for one in (await read(copy)).attendees if one.email == attendee.email), NO_ANSWER)
    one = Invitation(
        meeting.id, attendee.id, meeting.organizer.id, what.uid, what.sequence, meeting.starts_at, meeting.ends_at, what.recurs,
        partstat.lower(), known.invited_at if known else now,
    )  # fmt: skip
    await meetings.put(tx, one)
    if is_told:
        await message(tx, attendee.id, what.uid, "REQUEST", copy, now=now)
    if is_new:
        fact = MeetingInvited(
            at=now, about=str(meeting.id), meeting_id=meeting.id, organizer_id=meeting.organizer.id, attendee_id=attendee.id,
            starts_at=moment(meeting.starts_at), ends_at=moment(meeting.ends_at), recurs=what.recurs, sequence=what.sequence,
        )  # fmt: skip
        publish(tx, fact)


async def withdraw(tx: Tx, meeting_id: UUID, organizer_id: UUID, uid: str, attendee_id: UUID, sequence: int, *, now: datetime) -> None:
    """Their home is locked. Their copy stays, called off, so that they see what has become of it."""
    there = await meetings.find_by_uid(tx, attendee_id, uid)
    if there is not None and not (await read(there[0].octets)).is_cancelled:
        copy = await aside(there[0].size_bytes, cancelled, there[0].octets)
        await put_copy(tx, attendee_id, copy, there, now=now)
        await message(tx, attendee_id, uid, "CANCEL", copy, now=now)
    await meetings.forget(tx, meeting_id, attendee_id)
    fact = MeetingWithdrawn(
        at=now, about=str(meeting_id), meeting_id=meeting_id, organizer_id=organizer_id, attendee_id=attendee_id, sequence=sequence
    )
    publish(tx, fact)


async def put_copy(
    tx: Tx, owner_id: UUID, octets: bytes, there: tuple[Stored, Agenda] | None, *, now: datetime, tag: str | None = None
) -> None:
    """Into the agenda where it lies already, or where invitations arrive. `tag`: the schedule tag, where it stays."""
    home = await agendas.next_seq(tx, owner_id)
    stored, agenda = there if there is not None else (None, await agendas.find_default(tx, owner_id))
    if home is None or agenda is None:
        return
    new = await prepared(octets, agenda, now)
    new = Prepared(octets, new.what, new.expanded, tag or entity_tag(octets))
    await write(tx, agenda, home.seq, stored.name if stored is not None else f"{uuid4()}.ics", new, stored, now=now)


async def message(tx: Tx, owner_id: UUID, uid: str, method: str, copy: bytes, *, now: datetime) -> None:
    """One for each meeting: a newer one stands in the place of the older. Clients delete those that they have shown."""
    home = await agendas.next_seq(tx, owner_id)
    inbox = await agendas.find_named(tx, owner_id, "inbox")
    if home is None or inbox is None:
        return
    octets = await aside(len(copy), as_message, copy, method)
    new = Prepared(octets, await read(octets, is_message=True), NOTHING)
    _, there = await objects.find_either(tx, inbox.id, "", uid)
    await write(tx, inbox, home.seq, there.name if there is not None else f"{uuid4()}.ics", new, there, now=now)


def meeting_of(meeting_id: UUID, organizer: Person, kept: Prepared, agenda: Agenda, span: tuple[int | None, int | None]) -> Meeting:
    return Meeting(meeting_id, organizer, kept, agenda.zone, span[0] or 0, span[1] or 0)


def addresses_of(*objects_: CalendarObject | None) -> list[str]:
    return [one.address for what in objects_ if what is not None for one in what.attendees]
