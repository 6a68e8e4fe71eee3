"""Calendar objects as lines that can be changed: what is not touched stays as it was written."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from parvis_calendar.rules.lexing import ANY_LINE, folded, parameters_of, quoted, unfolded

PERSONAL = frozenset({"TRANSP"})
"""What each invited person sets for themselves."""


@dataclass(slots=True)
class Sheet:
    """One object: its head, its time zones, its components; each a list of unfolded lines, BEGIN and END among them."""

    head: list[str]
    zones: list[list[str]]
    parts: list[list[str]]

    def octets(self, method: str = "") -> bytes:
        """Written anew, folded; with a method it is a message."""
        head = [*self.head, f"METHOD:{method}"] if method else self.head
        lines = ["BEGIN:VCALENDAR", *head, *(line for block in (*self.zones, *self.parts) for line in block), "END:VCALENDAR"]
        return b"".join(map(folded, lines))


def sheet_of(octets: bytes) -> Sheet:
    """Of an object that was read without a complaint. A METHOD is left out."""
    sheet, depth, block = Sheet([], [], []), 0, list[str]()
    for line in unfolded(octets).split("\n"):
        upper = line[:6].upper()
        if not line.strip():
            continue
        if upper == "BEGIN:":
            depth += 1
            if depth == 2:
                block = []
                (sheet.zones if line[6:].strip().upper() == "VTIMEZONE" else sheet.parts).append(block)
        if depth >= 2:
            block.append(line)
        elif depth == 1 and upper != "BEGIN:" and not line.upper().startswith(("METHOD:", "METHOD;")) and upper[:4] != "END:":
            sheet.head.append(line)
        if upper[:4] == "END:":
            depth -= 1
    return sheet


def as_message(octets: bytes, method: str) -> bytes:
    """As it lies in an inbox."""
    return sheet_of(octets).octets(method)


def name_of(line: str) -> str:
    end = min((at for at in (line.find(";"), line.find(":")) if at >= 0), default=len(line))
    return line[:end].upper()


def own_lines(part: list[str]) -> Iterable[tuple[int, str]]:
    """Those of the component itself, and not of its alarms."""
    depth = 0
    for index, line in enumerate(part):
        upper = line[:6].upper()
        if upper == "BEGIN:":
            depth += 1
        elif upper[:4] == "END:":
            depth -= 1
        elif depth == 1:
            yield index, line


def first_value(part: list[str], name: str) -> str:
    """The whole line of the first property of this name; empty without one."""
    return next((line for _, line in own_lines(part) if name_of(line) == name), "")


def without(part: list[str], names: Iterable[str]) -> list[str]:
    gone = {index for index, line in own_lines(part) if name_of(line) in names}
    return [line for index, line in enumerate(part) if index not in gone]


def with_line(part: list[str], line: str) -> list[str]:
    """Before its alarms, or its end; in place of those of the same name, when there can be one only."""
    return [part[0], line, *part[1:]]


def without_alarms(part: list[str]) -> list[str]:
    kept, depth = [], 0
    for line in part:
        upper = line.upper()
        if upper.startswith("BEGIN:VALARM"):
            depth += 1
        if not depth:
            kept.append(line)
        if upper.startswith("END:VALARM"):
            depth -= 1
    return kept


def alarms_of(part: list[str]) -> list[str]:
    found, depth = [], 0
    for line in part:
        upper = line.upper()
        depth += upper.startswith("BEGIN:VALARM")
        if depth:
            found.append(line)
        depth -= upper.startswith("END:VALARM")
    return found


def set_parameters(line: str, values: dict[str, str | None]) -> str:
    """With these parameters; None takes one away."""
    read = ANY_LINE.fullmatch(line)
    if read is None:
        return line
    told = {**parameters_of(read[2]), **values}
    written = "".join(f";{name}={_written(value)}" for name, value in told.items() if value is not None)
    return f"{read[1]}{written}:{read[3]}"


def _written(value: str) -> str:
    return quoted(value) if any(one in value for one in ':;,"') else value


def email_on(line: str) -> str:
    """Folded; of a room or equipment, its own address; empty when it is neither."""
    read = ANY_LINE.fullmatch(line)
    if read is None:
        return ""
    value = read[3].strip()
    if value[:9].lower() == "urn:uuid:":
        return value.casefold()
    return value[7:].strip().casefold() if value[:7].lower() == "mailto:" else parameters_of(read[2]).get("EMAIL", "").strip().casefold()


def change_people(part: list[str], change: Callable[[str, str, str], str]) -> list[str]:
    """`change(name, email, line)` for each ATTENDEE and ORGANIZER."""
    result = list(part)
    for index, line in own_lines(part):
        name = name_of(line)
        if name in ("ATTENDEE", "ORGANIZER"):
            result[index] = change(name, email_on(line), line)
    return result
