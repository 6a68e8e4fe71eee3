"""A ministry's file as Excel writes it, read: its letters, its separator, and each line with its agent or the reason of its refusal."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from io import StringIO

from parvis_kit.problems import Invalid, TooLarge

from parvis_directory.rules import EMAIL, Kind, Language
from parvis_directory.rules.columns import COLUMNS_MAX, KNOWN, MANDATORY, NAMES, places_of, plain
from parvis_directory.rules.names import cleaned, holds_control, is_misread

FILE_BYTES_MAX = 16 * 2**20
"""A hundred thousand lines of 160 bytes."""
LINES_MAX = 100_000
"""More are several ministries, or the same one several times."""
CELL_CHARACTERS_MAX = 1_000
RECORD_LINES_MAX = 20
"""Line breaks inside quotation marks: an address has six. Beyond, a mark was not closed, and that line alone is refused."""
NAME_CHARACTERS_MAX = 120
EXTERNAL_ID_CHARACTERS_MAX = 64
SEPARATORS = (";", ",", "\t")
KINDS: dict[str, Kind] = {
    "": "agent", "agent": "agent", "titulaire": "agent", "contractuel": "agent", "contractuelle": "agent", "fonctionnaire": "agent",
    "guest": "guest", "invite": "guest", "invitee": "guest", "externe": "guest", "prestataire": "guest",
}  # fmt: skip
LANGUAGES: dict[str, Language] = {
    "": "fr", "fr": "fr", "francais": "fr", "french": "fr", "en": "en", "anglais": "en", "english": "en",
}  # fmt: skip
ROUNDED = re.compile(r"\d(?:[.,]\d+E[+-]?|E[+-])\d+", re.IGNORECASE)
"""What Excel makes of a long number; 12E34 without a sign may be an identifier."""
QUOTED = re.compile(r'="(.*)"')
"""How people keep Excel from cutting the zeros of `000123`: a formula that is its text."""
CENTURY_FROM = 50
"""Of a year in two digits: 50 to 99 are 1950 to 1999, whence agents may have come; until 49, ours."""
FRENCH_DATE = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})(?: 00:00(?::00)?)?")
NO_END_YEAR = 9000
"""What human resources write for “no end”: 31/12/9999, or whatever their own program has for it."""
LAST_DAY = date(2199, 12, 31)
"""A later one is a slip of the keyboard."""
ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ]00:00(?::00)?)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line says of a person. None: the file has no such column."""

    external_id: str
    email: str
    given_name: str
    family_name: str
    directorate: str | None
    kind: Kind | None
    language: Language | None
    arrives_on: date | None
    leaves_on: date | None
    tells_departures: bool
    """Whether the file has their column, so that an empty cell means none."""


@dataclass(slots=True)
class Line:
    number: int
    """Of its first physical line, as an editor counts."""
    cells: list[str]
    entry: Entry | None
    code: str = ""
    """Why it is refused or left out; see reasons.py."""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line, understood."""

    titles: list[str]
    places: dict[str, int]

    @property
    def ignored(self) -> list[str]:
        used = set(self.places.values())
        return [title for place, title in enumerate(self.titles) if place not in used and title]

    def cell(self, column: str, cells: Sequence[str]) -> str | None:
        """None when the file has no such column."""
        place = self.places.get(column)
        if place is None:
            return None
        text = cleaned(cells[place]) if place < len(cells) else ""
        return cleaned(quoted[1]) if (quoted := QUOTED.fullmatch(text)) else text


@dataclass(slots=True)
class Roster:
    encoding: str
    separator: str
    header: Header
    lines: list[Line] = field(default_factory=list)

    @property
    def people(self) -> int:
        """Lines that stand for somebody, refused or not."""
        return sum(line.code != "repeated" for line in self.lines)


def read(raw: bytes) -> Roster:
    """Raises TooLarge, and Invalid when the file as a whole cannot be read; a bad line is refused by itself."""
    if len(raw) > FILE_BYTES_MAX:
        raise TooLarge(f"The file has {len(raw)} bytes; at most {FILE_BYTES_MAX} are read.")
    text, encoding = decoded(raw)
    rows = physical_lines(text)
    first = next((number for number, row in enumerate(rows) if row.strip()), None)
    if first is None:
        raise Invalid("The file is empty.")
    if announced := re.fullmatch(r"sep=(.)\s*", rows[first]):
        separator, first = announced[1], first + 1
    else:
        separator = separator_of(rows[first])
    records = records_of(rows, separator, first)
    _, titles, _ = next(records, (0, [""], True))
    titles = [cleaned(title) for title in titles]
    header = Header(titles, places_of(titles))
    roster = Roster(encoding, separator, header)
    for number, cells, is_whole in records:
        if len(roster.lines) == LINES_MAX:
            raise TooLarge(f"The file has more than {LINES_MAX} lines: send a file for each ministry.")
        roster.lines.append(read_line(header, number, cells) if is_whole else Line(number, shortened(cells), None, "broken"))
    refuse_twins(roster.lines)
    return roster


def decoded(raw: bytes) -> tuple[str, str]:
    """Raises Invalid. What is not UTF-8 to the last byte is Windows-1252: a “Prénom” in the latter is no UTF-8."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            encodings: tuple[str, ...] = (encoding,)
            break
    else:
        encodings = ("utf-8", "windows-1252")
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeError:
            continue
        if "\0" in text:
            break
        return text, encoding
    raise Invalid("The file is neither UTF-8 nor Windows-1252 text: save it from Excel as “CSV UTF-8”.")


def physical_lines(text: str) -> list[str]:
    """With their ends; by CR LF, LF or CR alone, not by all that Unicode holds for a line's end."""
    return StringIO(text, newline="").readlines()


def separator_of(first: str) -> str:
    """By which most columns are known; semicolon when it is the same."""
    return max(SEPARATORS, key=lambda one: (sum(plain(title) in KNOWN for title in _cells(first, one)), -SEPARATORS.index(one)))


def _cells(row: str, separator: str) -> list[str]:
    """One line without regard to what follows it; as far as it can be read."""
    try:
        return next(csv.reader([row], delimiter=separator), [])
    except csv.Error:
        return row.rstrip("\r\n").split(separator)


def records_of(rows: Sequence[str], separator: str, first: int) -> Iterator[tuple[int, list[str], bool]]:
    """(number of its first line, cells, whether it could be read). What breaks a record breaks that line alone."""
    at = first
    while at < len(rows):
        taken = min(at + RECORD_LINES_MAX, len(rows))
        reader = csv.reader(rows[at:taken] if '"' in rows[at] else rows[at : at + 1], delimiter=separator, strict=True)
        try:
            cells, used, is_whole = next(reader, []), reader.line_num, True
        except csv.Error:
            cells, used, is_whole = rows[at].rstrip("\r\n").split(separator), 1, False
        if any(not cell.isspace() and cell for cell in cells):
            yield at + 1, cells, is_whole
        at += max(used, 1)


class Refused(Exception):
    """Why a line is refused: its code, and what about."""

    def __init__(self, code: str, about: str = "") -> None:
        super().__init__(code, about)
        self.code, self.about = code, about


def read_line(header: Header, number: int, cells: list[str]) -> Line:
    """The person of a line, or the reason of its refusal."""
    if any(len(cell) > CELL_CHARACTERS_MAX for cell in cells) or len(cells) > COLUMNS_MAX:
        return Line(number, shortened(cells), None, "too-long", f"{number}")
    try:
        return Line(number, cells, read_entry(header, cells))
    except Refused as refused:
        return Line(number, cells, None, refused.code, refused.about[:NAME_CHARACTERS_MAX])


def shortened(cells: Sequence[str]) -> list[str]:
    """What is kept of a line that is too long."""
    return [cell[:CELL_CHARACTERS_MAX] for cell in cells[:COLUMNS_MAX]]


def read_entry(header: Header, cells: Sequence[str]) -> Entry:
    """Raises Refused."""
    if any(map(str.strip, cells[len(header.titles) :])):
        raise Refused("cells", str(len(cells)))
    found = {column: header.cell(column, cells) for column in NAMES}
    for column, text in found.items():
        if text:
            check_text(column, text)
    mandatory = {column: found[column] or "" for column in MANDATORY}
    for column, text in mandatory.items():
        if not text:
            raise Refused("empty", NAMES[column][0])
    if ROUNDED.fullmatch(mandatory["external_id"]):
        raise Refused("number", mandatory["external_id"])
    if mandatory["external_id"].startswith("="):
        raise Refused("formula", mandatory["external_id"])
    email = mandatory["email"].casefold()
    if not EMAIL.match(email) or len(email) > 254:
        raise Refused("email", mandatory["email"])
    arrives_on, leaves_on = date_of(found["arrives_on"]), date_of(found["leaves_on"])
    if leaves_on and leaves_on.year < 2000 and str(leaves_on.year) not in (found["leaves_on"] or ""):
        raise Refused("century", found["leaves_on"] or "")
    if leaves_on and leaves_on.year >= NO_END_YEAR:
        leaves_on = None
    if far := [column for column, day in (("arrives_on", arrives_on), ("leaves_on", leaves_on)) if day and day > LAST_DAY]:
        raise Refused("date-far", found[far[0]] or "")
    if arrives_on and leaves_on and leaves_on < arrives_on:
        raise Refused("dates")
    kind = None if found["kind"] is None else KINDS.get(plain(found["kind"]))
    if found["kind"] is not None and kind is None:
        raise Refused("kind", found["kind"])
    language = None if found["language"] is None else LANGUAGES.get(plain(found["language"]))
    if found["language"] is not None and language is None:
        raise Refused("language", found["language"])
    if kind == "guest" and leaves_on is None:
        raise Refused("guest-end")
    return Entry(
        mandatory["external_id"], email, mandatory["given_name"], mandatory["family_name"], found["directorate"], kind, language,
        arrives_on, leaves_on, "leaves_on" in header.places,
    )  # fmt: skip


def check_text(column: str, text: str) -> None:
    """Raises Refused."""
    longest = {"external_id": EXTERNAL_ID_CHARACTERS_MAX, "email": 254}.get(column, NAME_CHARACTERS_MAX)
    if len(text) > longest:
        raise Refused("too-long", NAMES[column][0])
    if text.isascii() and text.isprintable():
        return
    if holds_control(text):
        raise Refused("characters", NAMES[column][0])
    if is_misread(text):
        raise Refused("misread", NAMES[column][0])


def date_of(text: str | None) -> date | None:
    """31/12/2026 as Excel FR writes it, 31/12/26, or 2026-12-31. Raises Refused."""
    if not text:
        return None
    if found := FRENCH_DATE.fullmatch(text):
        day, month, year = found.groups()
    elif found := ISO_DATE.fullmatch(text):
        year, month, day = found.groups()
    else:
        raise Refused("date", text)
    try:
        century = (1900 if int(year) >= CENTURY_FROM else 2000) if len(year) == 2 else 0
        return date(century + int(year), int(month), int(day))
    except ValueError:
        raise Refused("date", text) from None


def refuse_twins(lines: Sequence[Line]) -> None:
    """One line a person: the same line again is left out, another with the same identifier or e-mail refuses all of them."""
    first: dict[str, Line] = {}
    by_id: dict[str, list[Line]] = {}
    by_email: dict[str, list[Line]] = {}
    for line in lines:
        if line.entry is None:
            continue
        same = first.get(line.entry.external_id)
        if same is not None and same.entry == line.entry:
            line.entry, line.code, line.about = None, "repeated", str(same.number)
            continue
        first.setdefault(line.entry.external_id, line)
        by_id.setdefault(line.entry.external_id, []).append(line)
        by_email.setdefault(line.entry.email, []).append(line)
    for code, groups in (("id-twice", by_id), ("email-twice", by_email)):
        for twins in (group for group in groups.values() if len(group) > 1):
            for line in twins:
                others = [other.number for other in twins if other is not line]
                line.entry, line.code = None, line.code or code
                line.about = line.about or ", ".join(map(str, others[:5]))
