"""What the proofs ask of the CalDAV client; it runs in the client's own environment: `… caldav_client.py URL USER PASSWORD COMMAND …`."""

import sys
from datetime import datetime, timedelta
from typing import Any

import caldav


def agenda(url: str, user: str, password: str) -> Any:
    """Found as a phone finds it: from the address of the server alone."""
    client = caldav.DAVClient(url=url, username=user, password=password)
    return client.principal().calendars()[0]


def meet(calendar: Any, uid: str, begins: str, organizer: str, attendee: str) -> str:
    """Put the meeting; put again, it is the same."""
    start = datetime.fromisoformat(begins)
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Parvis//preuve//FR", "BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20261101T000000Z",
        f"DTSTART:{start:%Y%m%dT%H%M%SZ}", f"DTEND:{start + timedelta(hours=1):%Y%m%dT%H%M%SZ}", "SUMMARY:Point d'avancement",
        f"ORGANIZER:mailto:{organizer}", f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{organizer}",
        f"ATTENDEE;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:{attendee}", "END:VEVENT", "END:VCALENDAR", "",
    ]  # fmt: skip
    calendar.save_event("\r\n".join(lines))
    return "put"


def partstat(calendar: Any, uid: str, attendee: str) -> str:
    """What the agenda says that this attendee has answered."""
    event = calendar.event_by_uid(uid).icalendar_component
    attendees = event["ATTENDEE"] if isinstance(event["ATTENDEE"], list) else [event["ATTENDEE"]]
    return next(str(one.params.get("PARTSTAT", "NEEDS-ACTION")) for one in attendees if str(one).lower() == f"mailto:{attendee}")


def main() -> None:
    url, user, password, command, *rest = sys.argv[1:]
    calendar = agenda(url, user, password)
    print(meet(calendar, rest[0], rest[1], user, rest[2]) if command == "meet" else partstat(calendar, *rest))


if __name__ == "__main__":
    main()
