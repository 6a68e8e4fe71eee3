"""Cost items, keys, prices and public figures from a file: tried, then taken in, with where each line came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal
from uuid import UUID

from parvis_kit import audit
from parvis_kit.db import Connection, Database, Tx
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict, Invalid

from parvis_billing.rules import cost_files
from parvis_billing.rules.cost_files import Entry
from parvis_billing.rules.costs import AllocationKey, Benchmark, CostItem, PriceVersion, content_of, digest_of
from parvis_billing.store import Row, costs, ledger

Verdict = Literal["new", "changed", "unchanged"]
KIND_OF = {CostItem: "item", AllocationKey: "key", PriceVersion: "price", Benchmark: "benchmark"}


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one thing of the file."""

    line: int
    kind: str
    id: str
    verdict: Verdict
    entry: Entry
    revision: int
    digest: str


@dataclass(frozen=True, slots=True)
class CostPlan:
    name: str
    digest: str
    steps: tuple[Step, ...]
    late_months: tuple[str, ...]
    """Closed months that it concerns: they are corrected in the month that is open."""

    @property
    def changes(self) -> list[Step]:
        return [one for one in self.steps if one.verdict != "unchanged"]


async def plan_costs(database: Database, raw: bytes, name: str) -> CostPlan:
    """What the file would do; nothing is written. Raises TooLarge, Invalid naming line and field, Conflict."""
    entries = cost_files.read(raw, name)
    async with database.read() as conn:
        return await _planned(conn, entries, raw, name)


async def _planned(conn: Connection, entries: Sequence[Entry], raw: bytes, name: str) -> CostPlan:
    known = await costs.digests(conn)
    steps = tuple(_step(one, known) for one in entries)
    await _check_names(conn, steps, name)
    await _check_prices(conn, steps, name)
    late: set[str] = set()
    for step in steps:
        if step.verdict != "unchanged" and (first := _first_month(step.entry.thing)):
            late.update(await ledger.closed_from(conn, first))
    return CostPlan(name, sha256(raw).hexdigest(), steps, tuple(sorted(late)))


def _step(entry: Entry, known: dict[tuple[str, str], tuple[str, int]]) -> Step:
    thing = entry.thing
    kind = KIND_OF[type(thing)]
    name = f"{thing.id} {thing.valid_from}" if isinstance(thing, PriceVersion) else thing.id
    digest = digest_of_thing(entry)
    before = known.get((kind, name))
    if before is None:
        return Step(entry.line, kind, name, "new", entry, 1, digest)
    same = before[0] == digest
    return Step(entry.line, kind, name, "unchanged" if same else "changed", entry, before[1] + (not same), digest)


def digest_of_thing(entry: Entry) -> str:
    thing = entry.thing
    if isinstance(thing, CostItem):
        return digest_of(thing.cents, thing.starts, thing.ends, content_of(thing))
    if isinstance(thing, PriceVersion):
        return digest_of({name: value for name, value in content_of(thing).items() if name != "valid_until"})
    return digest_of(content_of(thing))


def _first_month(thing: object) -> str | None:
    """From when on it may change a month."""
    if isinstance(thing, CostItem):
        return thing.months[0]
    if isinstance(thing, PriceVersion):
        return thing.valid_from
    return "" if isinstance(thing, AllocationKey) else None


async def _check_names(conn: Connection, steps: Sequence[Step], name: str) -> None:
    """Raises Invalid for a key, a price or a SIREN that is named and not there."""
    things = [step.entry for step in steps]
    keys = {*(await costs.keys(conn)), *(one.thing.id for one in things if isinstance(one.thing, AllocationKey))}
    prices = {*(one.id for one in await costs.prices(conn)), *(one.thing.id for one in things if isinstance(one.thing, PriceVersion))}
    sirens = {siren for _, siren, _ in await costs.ministries(conn)}
    wrong = []
    for one in things:
        label = f"line {one.line}, {one.thing.id}"
        if isinstance(one.thing, CostItem):
            wrong += [f"{label}: key: no [[key]] {key} is known" for key in one.thing.keys if key not in keys]
            if one.thing.price is not None and one.thing.price not in prices:
                wrong.append(f"{label}: price: no [[price]] {one.thing.price} is known")
        if isinstance(one.thing, AllocationKey):
            wrong += [f"{label}: shares: no ministry has the SIREN {siren}" for siren in one.thing.shares if siren not in sirens]
    if wrong:
        raise Invalid(f"{name}: {'; '.join(wrong[: cost_files.ERRORS_MAX])}.")


async def _check_prices(conn: Connection, steps: Sequence[Step], name: str) -> None:
    """Raises Conflict for a price that would change a month that is closed, or one that is there already."""
    kept = await costs.prices(conn)
    for step in steps:
        thing = step.entry.thing
        if not isinstance(thing, PriceVersion) or step.verdict == "unchanged":
            continue
        label = f"{name}, line {step.line}, {thing.id}"
        if step.verdict == "changed":
            raise Conflict(f"{label}: the version from {thing.valid_from} is there with another price; a version never changes: add one.")
        if closed := await ledger.closed_from(conn, thing.valid_from):
            raise Conflict(f"{label}: a price never touches a closed month, and {closed[-1]} is closed: begin it after that.")
        for other in kept:
            if thing.overlaps(other) and not (other.valid_until is None and other.valid_from < thing.valid_from):
                raise Conflict(f"{label}: overlaps the version from {other.valid_from}, which is valid until {other.valid_until}.")


async def keep_costs(tx: Tx, plan: CostPlan, *, who: object, now: datetime, where: str = "") -> int:
    """Take in what the plan showed; how many things changed. The same file again changes nothing. Raises Conflict."""
    entries = [step.entry for step in plan.steps]
    known = await costs.digests(tx)
    steps = [_step(one, known) for one in entries]
    changes = [one for one in steps if one.verdict != "unchanged"]
    if not changes:
        return 0
    await _check_prices(tx, steps, plan.name)
    file_id = new_id()
    await costs.add_file(
        tx,
        {"id": file_id, "kind": "costs", "name": plan.name, "digest": plan.digest, "at": now, "who": str(who), "lines": len(entries)},
    )
    for kind in ("key", "price", "item", "benchmark"):
        mine = [one for one in changes if one.kind == kind]
        if kind == "price":
            await _end_prices(tx, mine)
        if mine:
            await costs.add(tx, kind, [_row(one, file_id, now) for one in mine])
    await ledger.add_late(tx, plan.late_months)
    await audit.record(tx, who=who, what="cost.import", on=plan.name, ministry=None, at=now, where=where, why=f"sha256 {plan.digest}")
    return len(changes)


async def _end_prices(tx: Tx, steps: Sequence[Step]) -> None:
    """An open version ends where the next one begins."""
    for step in steps:
        thing = step.entry.thing
        for other in await costs.prices(tx):
            if isinstance(thing, PriceVersion) and thing.overlaps(other):
                await costs.end_price(tx, other.id, other.valid_from, thing.valid_from)


def _row(step: Step, file_id: UUID, now: datetime) -> Row:
    thing = step.entry.thing
    content = content_of(thing)
    row: Row = {"id": thing.id, "content": content, "digest": step.digest, "file_id": file_id, "line": step.line, "at": now}
    if isinstance(thing, CostItem):
        row |= {"revision": step.revision, "amount_cents": thing.cents, "starts": thing.starts, "ends": thing.ends}
    elif isinstance(thing, AllocationKey):
        row |= {"revision": step.revision}
    elif isinstance(thing, PriceVersion):
        row |= {"valid_from": thing.valid_from, "valid_until": thing.valid_until}
    return row
