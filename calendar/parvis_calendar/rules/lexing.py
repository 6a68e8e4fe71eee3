"""Content lines of iCalendar (RFC 5545 §3.1): unfolded once, and only those that somebody looks at are taken apart."""

import re
from typing import NamedTuple

from parvis_calendar.rules.refusals import MAX_SIZE, VALID_DATA, NotTaken

OBJECT_BYTES_MAX = 2**20
"""Of one object: what max-resource-size announces."""
LINES_MAX = 50_000
"""Unfolded: three times what a thousand occurrences that differ need, and 0.1 s of work."""
PARAMETERS_CHARACTERS_MAX = 16 * 1024
"""On one line: a list of two hundred whom somebody answers for."""
LOOKED_AT = (
    "BEGIN|END|UID|DTSTART|DTEND|DUE|DURATION|DTSTAMP|SEQUENCE|RECURRENCE-ID|RRULE|RDATE|EXDATE|EXRULE"
    "|ORGANIZER|ATTENDEE|STATUS|TRANSP|CLASS|SUMMARY|LOCATION|METHOD|CREATED|COMPLETED|ATTACH"
)
PARAMETERS = r'((?:;[^:";\n]*+(?:"[^"\n]*+"[^:";\n]*+)*+)*+)'
"""Nothing is given back (`+`): there is one way to read them, and a memory of all others took 100 MiB for a line of one."""
LINES = re.compile(rf"^({LOOKED_AT}){PARAMETERS}:([^\n]*)$", re.MULTILINE | re.IGNORECASE)
ANY_LINE = re.compile(rf"([A-Za-z0-9-]+){PARAMETERS}:(.*)")
NO_LINE = re.compile(r"^[^:\n]+$", re.MULTILINE)
"""Something without a colon between its name and a value."""
PARAMETER = re.compile(r';([^=;]+)=((?:[^";]|"[^"]*")*)')
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Neither iCalendar nor XML, in which it will be given out, knows them."""
ESCAPED = re.compile(r"\\(.)")
NO_PARAMETERS: dict[str, str] = {}


class Line(NamedTuple):
    name: str
    parameters: str
    """As written, with the semicolon before each."""
    value: str


def unfolded(octets: bytes) -> str:
    """Lines that end in a single line feed each. Raises NotTaken."""
    if len(octets) > OBJECT_BYTES_MAX:
        raise NotTaken(MAX_SIZE, f"An object has at most {OBJECT_BYTES_MAX} bytes.")
    try:
        text = octets.replace(b"\r\n", b"\n").replace(b"\n ", b"").replace(b"\n\t", b"").decode().lstrip("\ufeff")
    except UnicodeDecodeError:
        raise NotTaken(VALID_DATA, "Calendar data is UTF-8, and this is not.") from None
    if FORBIDDEN.search(text):
        raise NotTaken(VALID_DATA, "There are control characters in it.")
    return text


def lines_of(octets: bytes) -> list[tuple[str, str, str]]:
    """Those lines that are looked at, as fields of Line. Raises NotTaken for what are no content lines."""
    text = unfolded(octets)
    if not text[:15].upper() == "BEGIN:VCALENDAR":
        raise NotTaken(VALID_DATA, "This does not begin as a VCALENDAR does.")
    if (found := NO_LINE.search(text)) is not None and found.group().strip():
        raise NotTaken(VALID_DATA, f"Line {text.count(chr(10), 0, found.start()) + 1} is no content line: it has no colon.")
    if text.count("\n") > LINES_MAX:
        raise NotTaken(VALID_DATA, f"An object has at most {LINES_MAX} lines.")
    return LINES.findall(text)


def parameters_of(written: str) -> dict[str, str]:
    """Names in capitals; the values without their quotes."""
    if not written:
        return NO_PARAMETERS
    if '"' in written:
        return {name.strip().upper(): value.replace('"', "") for name, value in PARAMETER.findall(written)}
    return {name.upper(): value for name, _, value in (one.partition("=") for one in written[1:].split(";"))}


def plain(value: str) -> str:
    """A text as it was meant."""
    return ESCAPED.sub(lambda found: "\n" if found[1] in "nN" else found[1], value) if "\\" in value else value


def escaped(text: str) -> str:
    """As it is written in a value."""
    text = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return text.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


def quoted(text: str) -> str:
    """As the value of a parameter; quotes cannot stand in one."""
    return '"' + re.sub(r"[\x00-\x1f\x7f]", " ", text).replace('"', "'") + '"'


def folded(line: str) -> bytes:
    """At most 75 octets a line, no character cut in two, with the line's end."""
    octets = line.encode()
    if len(octets) <= 75:
        return octets + b"\r\n"
    parts, start, room = [], 0, 75
    while start < len(octets):
        end = min(start + room, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(octets[start:end])
        start, room = end, 74
    return b"\r\n ".join(parts) + b"\r\n"
