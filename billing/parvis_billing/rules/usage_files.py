"""A file of use: past months, or a service outside Parvis; each line is taken or refused with its number and a reason."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from uuid import UUID

from parvis_kit.problems import Invalid, TooLarge

from parvis_billing.rules import ACTIVE, QUALIFYING, SEATS, STORAGE, UNKNOWN, months

FILE_BYTES_MAX = 64 * 1024 * 1024
"""Forty thousand agents, twelve months and two meters are a million lines of sixty bytes."""
LINES_MAX = 1_000_000
QUANTITY_MAX = 10**24
"""A thousand petabytes for a month are 2.6 × 10²⁴ byte-seconds; more is a slip of the pen."""
QUANTITY_CHARACTERS_MAX = 15
"""With the 13 digits of a gigabyte-hour, what a Decimal holds exactly."""
METER = re.compile(r"^[a-z][a-z_]{0,29}(\.[a-z][a-z_]{0,39})?$")
COLUMNS = ("month", "ministry", "agent", "meter", "quantity")
SCALES = {"files.gb_hours": (STORAGE, 10**9 * 3600)}
"""Written so by people; counted in whole byte-seconds."""
ONCE = frozenset({SEATS, ACTIVE})
METERED = frozenset({*QUALIFYING, *ONCE, STORAGE})
"""What Parvis counts itself: of the present month nobody else may."""


@dataclass(frozen=True, slots=True)
class UsageLine:
    line: int
    month: str
    meter: str
    ministry_id: UUID
    agent_id: UUID
    """UNKNOWN for use that is no single agent's."""
    quantity: int

    @property
    def place(self) -> tuple[str, str, UUID, UUID]:
        return self.month, self.meter, self.ministry_id, self.agent_id


@dataclass(frozen=True, slots=True)
class Refused:
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Known:
    """Whom the copy of the directory knows."""

    ministries: Mapping[str, UUID]
    """By SIREN and by id."""
    agents: Mapping[str, tuple[UUID, UUID]]
    """By e-mail: the agent, and the ministry of now."""
    this_month: str


def read(raw: bytes, known: Known) -> tuple[list[UsageLine], list[Refused]]:
    """Raises TooLarge, and Invalid when it is no such file at all."""
    if len(raw) > FILE_BYTES_MAX:
        raise TooLarge(f"The file has more than {FILE_BYTES_MAX} bytes: cut it by months.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"The file is not UTF-8 (byte {error.start}): save it as “CSV UTF-8”.") from None
    head = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=";" if head.count(";") > head.count(",") else ",", strict=True)
    try:
        titles = [one.strip().lower() for one in next(rows, [])]
    except csv.Error as error:
        raise Invalid(f"Line 1: {error}.") from None
    if sorted(titles) != sorted(COLUMNS):
        raise Invalid(f"The first line names the columns {', '.join(COLUMNS)}; it names {', '.join(titles) or 'none'}.")
    taken: dict[tuple[str, str, UUID, UUID], UsageLine] = {}
    refused: list[Refused] = []
    try:
        for cells in rows:
            if not any(one.strip() for one in cells):
                continue
            if rows.line_num > LINES_MAX:
                raise TooLarge(f"The file has more than {LINES_MAX} lines: cut it by months.")
            try:
                if len(cells) != len(titles):
                    raise ValueError(f"{len(cells)} cells under {len(titles)} titles")
                line = _judge(rows.line_num, dict(zip(titles, (one.strip() for one in cells), strict=True)), known)
                if line.place in taken:
                    raise ValueError(f"says the same as line {taken[line.place].line}: month, ministry, agent and meter once each")
                taken[line.place] = line
            except ValueError as error:
                refused.append(Refused(rows.line_num, str(error)))
    except csv.Error as error:
        raise Invalid(f"Line {rows.line_num}: {error}.") from None
    return list(taken.values()), refused


def _judge(number: int, cells: Mapping[str, str], known: Known) -> UsageLine:
    """Raises ValueError with the reason."""
    month = cells["month"]
    if not months.MONTH.match(month) or not months.FIRST <= month <= months.LAST:
        raise ValueError(f"month: {month!r} is none: write 2026-10")
    if month > known.this_month:
        raise ValueError(f"month: {month} has not begun")
    meter, scale = SCALES.get(cells["meter"], (cells["meter"], 1))
    if not METER.match(meter):
        raise ValueError(f"meter: {meter!r} is none: write {SEATS}, {ACTIVE}, files.gb_hours, or service.thing")
    if meter in METERED and month == known.this_month:
        raise ValueError(f"meter: {meter} of {month} is being counted by Parvis itself")
    agent, theirs = _agent(cells["agent"], known)
    ministry = known.ministries.get(cells["ministry"].replace(" ", "").lower()) if cells["ministry"] else theirs
    if ministry is None:
        raise ValueError(f"ministry: no ministry {cells['ministry']!r} is known: write its SIREN or its id")
    quantity = _quantity(cells["quantity"], scale)
    if meter in ONCE and (agent == UNKNOWN or quantity != 1):
        raise ValueError(f"{meter}: an agent has one: name the agent, with the quantity 1")
    return UsageLine(number, month, meter, ministry, agent, quantity)


def _agent(text: str, known: Known) -> tuple[UUID, UUID | None]:
    if not text:
        return UNKNOWN, None
    if found := known.agents.get(text.casefold()):
        return found
    try:
        return UUID(text), None
    except ValueError:
        raise ValueError(f"agent: nobody has the address {text!r}, and it is no id") from None


def _quantity(text: str, scale: int) -> int:
    if len(text) > QUANTITY_CHARACTERS_MAX:
        raise ValueError("quantity: has too many digits")
    try:
        exact = Decimal(text.replace(",", ".")) * scale
    except InvalidOperation:
        raise ValueError(f"quantity: {text!r} is no number") from None
    if not exact.is_finite() or exact < 0 or exact > QUANTITY_MAX:
        raise ValueError(f"quantity: {text} is below zero, or too much")
    if exact != exact.to_integral_value():
        raise ValueError(f"quantity: {text} is no whole number of what the meter counts")
    return int(exact)
