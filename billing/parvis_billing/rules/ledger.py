"""What a run books: rows with a digest each, corrections as differences, and the chain of closed months."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from parvis_kit.problems import Conflict, Invalid

from parvis_billing.rules import PERIMETERS
from parvis_billing.rules.cascade import Inputs, Outcome
from parvis_billing.rules.costs import AllocationKey
from parvis_billing.rules.months import after, ends_at

CLOSED, OPEN = "closed", "open"


@dataclass(frozen=True, slots=True)
class Period:
    """A month of the ledger. SOFT_CLOSED has its place between the two states that there are."""

    month: str
    state: str
    total_cents: int
    previous_hash: str
    hash: str
    run_id: UUID | None
    closed_at: datetime | None
    ran_at: datetime


@dataclass(frozen=True, slots=True)
class RunRow:
    """A month computed (`concerns`) and booked (`booked`): another month when it is a correction."""

    booked: str
    concerns: str
    inputs_sha256: str
    postings_sha256: str
    keys: Mapping[str, Any]
    sirens: Mapping[str, str]
    total_cents: int


@dataclass(frozen=True, slots=True)
class ItemRow:
    booked: str
    concerns: str
    item_id: str
    revision: int
    cents: int
    price: str
    quantity: str
    digest: str


@dataclass(frozen=True, slots=True)
class MinistryRow:
    booked: str
    concerns: str
    ministry_id: UUID
    seats: int
    active: int
    common: Mapping[str, int]
    digest: str


class AgentRow(NamedTuple):
    """Of each agent and month: a tuple, since there are as many of them as of both."""

    booked: str
    concerns: str
    agent_id: UUID
    ministry_id: UUID
    kind: str
    seat: int
    active: int
    use: Mapping[str, int]
    hosting_micro_eur: int
    suite_micro_eur: int
    complete_micro_eur: int
    digest: str

    @property
    def micros(self) -> tuple[int, ...]:
        return self.hosting_micro_eur, self.suite_micro_eur, self.complete_micro_eur


@dataclass(frozen=True, slots=True)
class PostingRow:
    booked: str
    concerns: str
    item_id: str
    service: str
    ministry_id: UUID
    perimeters: str
    revision: int
    cents: int
    """What is booked: of a correction, the difference."""
    computed_cents: int
    """What the run came to."""
    by_key: Mapping[str, int]
    how: Mapping[str, Any]
    digest: str

    @property
    def place(self) -> tuple[str, str, UUID, str]:
        return self.item_id, self.service, self.ministry_id, self.perimeters


Kept = RunRow | ItemRow | MinistryRow | AgentRow | PostingRow


def sealed(row: Any) -> Any:
    """The row with the digest of all else that it says."""
    return replace(row, digest=digest_of_row(row))


def names_of(kind: type[Any]) -> tuple[str, ...]:
    """Of its fields, in order."""
    return getattr(kind, "_fields", ()) or tuple(kind.__slots__)


def digest_of_row(row: Any) -> str:
    return digest_of_values([getattr(row, name) for name in names_of(type(row)) if name != "digest"])


def digest_of_values(values: Iterable[Any]) -> str:
    """A value a line; none of them holds a line end. A month has a row for each agent: this is written for speed."""
    lines = [str(sorted(one.items())) if isinstance(one, dict) else f"{one.int:x}" if isinstance(one, UUID) else str(one) for one in values]
    return sha256("\n".join(lines).encode()).hexdigest()


def rows_of(inputs: Inputs, outcome: Outcome, booked: str, postings: Sequence[PostingRow], agents: Sequence[AgentRow]) -> list[Kept]:
    """What was booked of the month before comes as `postings` and `agents`: what is booked now is the difference."""
    month = inputs.month
    sirens = {siren: str(ministry) for siren, ministry in sorted(inputs.sirens.items())}
    keys = {name: key.model_dump(mode="json") for name, key in sorted(inputs.keys.items())}
    rows: list[Kept] = [RunRow(booked, month, inputs.sha256, outcome.sha256, keys, sirens, outcome.cents)]
    for one in inputs.items:
        rows.append(sealed(ItemRow(booked, month, one.item.id, one.revision, one.cents, one.price, str(one.quantity), "")))
    for ministry, uses in inputs.by_ministry.items():
        common = dict(inputs.shared.get(ministry, {}))
        if uses or common:
            seats, active = sum(one.seat for one in uses), sum(one.active for one in uses)
            rows.append(sealed(MinistryRow(booked, month, ministry, seats, active, common, "")))
    rows += _agent_rows(inputs, outcome, booked, agents)
    rows += posting_rows(outcome, month, booked, postings)
    return rows


def _agent_rows(inputs: Inputs, outcome: Outcome, booked: str, before: Sequence[AgentRow]) -> Iterable[AgentRow]:
    sums: dict[tuple[UUID, UUID], list[int]] = {}
    for row in before:
        mine = sums.setdefault((row.ministry_id, row.agent_id), [0] * len(PERIMETERS))
        for number, micro in enumerate(row.micros):
            mine[number] += micro
    uses, nothing = {(one.ministry_id, one.agent_id): one for one in inputs.agents}, (0,) * len(PERIMETERS)
    for place in (*uses, *(one for one in sums if one not in uses)):
        use, micros = uses.get(place), outcome.micros.get(place, nothing)
        if place in sums:
            micros = tuple(new - old for new, old in zip(micros, sums[place], strict=True))
        said: tuple[Any, ...] = (use.kind, use.seat, use.active, use.use) if use else ("gone", 0, 0, {})
        values = (booked, inputs.month, place[1], place[0], *said, *micros)
        yield AgentRow._make((*values, digest_of_values(values)))


def posting_rows(outcome: Outcome, month: str, booked: str, before: Sequence[PostingRow]) -> list[PostingRow]:
    sums: dict[tuple[str, str, UUID, str], tuple[int, dict[str, int]]] = {}
    for row in before:
        cents, by_key = sums.get(row.place, (0, {}))
        merged = {name: by_key.get(name, 0) + row.by_key.get(name, 0) for name in {*by_key, *row.by_key}}
        sums[row.place] = cents + row.cents, merged
    found = []
    for one in outcome.postings:
        place = (one.item_id, one.service, one.ministry_id, " ".join(one.perimeters))
        cents, by_key = sums.pop(place, (0, {}))
        less = {name: one.by_key.get(name, 0) - by_key.get(name, 0) for name in {*one.by_key, *by_key}}
        found.append(sealed(PostingRow(booked, month, *place, one.revision, one.cents - cents, one.cents, less, one.how, "")))
    for place, (cents, by_key) in sums.items():
        less = {name: -value for name, value in by_key.items()}
        found.append(sealed(PostingRow(booked, month, *place, 0, -cents, 0, less, {"key": "", "gone": True}, "")))
    return found


# closing


def chain(previous_hash: str, month: str, runs: Sequence[RunRow], total_cents: int) -> str:
    """Of a closed month: of the one before it, and of everything that was booked in it."""
    text = "".join(f"{run.concerns} {run.inputs_sha256} {run.postings_sha256} {run.total_cents}\n" for run in sorted_runs(runs))
    return sha256(f"{previous_hash}\n{month}\n{total_cents}\n{text}".encode()).hexdigest()


def sorted_runs(runs: Sequence[RunRow]) -> list[RunRow]:
    return sorted(runs, key=lambda run: (run.booked, run.concerns))


def check_may_close(month: str, periods: Sequence[Period], now: datetime) -> None:
    """Raises Invalid for a month that is not over, Conflict when an earlier one is open."""
    if ends_at(month) > now:
        raise Invalid(f"{month} is not over: it ends with the last day of the month, in UTC.")
    for one in periods:
        if one.month < month and one.state != CLOSED:
            raise Conflict(f"{one.month} is still open: months are closed in their order. Run `parvis cost close {one.month}` first.")


def check_may_run(month: str, periods: Sequence[Period], open_ones: Sequence[str], now_month: str) -> None:
    """Raises Invalid for a month that would stand in the ledger for ever though it holds nothing: every report would begin or end there."""
    if month > now_month:
        raise Invalid(f"{month} has not begun: the last month that can be run is {now_month}.")
    if month not in open_ones and month not in {one.month for one in periods}:
        raise Invalid(f"Nothing was paid or used in {month}, nor before" + (f": begin with {open_ones[0]}." if open_ones else "."))


def open_months(periods: Sequence[Period], used: Sequence[str], now_month: str) -> list[str]:
    """Those that a run computes: from the one after the last closed month, or the first with use or cost, to the present one."""
    closed = [one.month for one in periods if one.state == CLOSED]
    known = [month for month in [*used, *(one.month for one in periods)] if month <= now_month]
    if not closed and not known:
        return []
    found, month = [], after(max(closed)) if closed else min(known)
    while month <= now_month:
        found.append(month)
        month = after(month)
    return found


def keys_from(kept: Mapping[str, Any]) -> dict[str, AllocationKey]:
    return {name: AllocationKey.model_validate(key) for name, key in kept.items()}
