"""A file of use: tried line by line, then taken in once it is approved."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from parvis_kit import audit
from parvis_kit.db import Database, Tx
from parvis_kit.ids import new_id

from parvis_billing.rules import usage_files
from parvis_billing.rules.costs import digest_of
from parvis_billing.rules.months import month_of
from parvis_billing.rules.usage_files import Known, Refused, UsageLine
from parvis_billing.store import ROWS_MAX, Row, costs, ledger, usage


@dataclass(frozen=True, slots=True)
class UsagePlan:
    """What the file would do."""

    name: str
    digest: str
    new: tuple[UsageLine, ...]
    changed: tuple[UsageLine, ...]
    unchanged: int
    refused: tuple[Refused, ...]

    @property
    def months(self) -> list[str]:
        return sorted({one.month for one in (*self.new, *self.changed)})


async def plan_usage(database: Database, raw: bytes, name: str, *, now: datetime) -> UsagePlan:
    """Nothing is written. Raises TooLarge, Invalid when it cannot be read."""
    async with database.read() as conn:
        ministries = await costs.ministries(conn)
        agents = await costs.agents(conn)
    named = {siren: ministry for ministry, siren, _ in ministries} | {str(ministry): ministry for ministry, _, _ in ministries}
    lines, refused = await asyncio.to_thread(usage_files.read, raw, Known(named, agents, month_of(now)))
    async with database.read() as conn:
        rows = [row for month in sorted({one.month for one in lines}) for row in await usage.imported_rows(conn, month)]
    kept = {(row.month, row.meter, row.ministry_id, row.agent_id): int(row.quantity) for row in rows}
    new = tuple(one for one in lines if one.place not in kept)
    changed = tuple(one for one in lines if one.place in kept and kept[one.place] != one.quantity)
    return UsagePlan(name, sha256(raw).hexdigest(), new, changed, len(lines) - len(new) - len(changed), tuple(refused))


async def keep_usage(tx: Tx, plan: UsagePlan, *, who: object, now: datetime, where: str = "") -> int:
    """Take in the lines that the plan did not refuse; how many. Months that are closed are corrected in the open one."""
    lines = (*plan.new, *plan.changed)
    if not lines:
        return 0
    file_id = new_id()
    await costs.add_file(
        tx, {"id": file_id, "kind": "usage", "name": plan.name, "digest": plan.digest, "at": now, "who": str(who), "lines": len(lines)}
    )
    rows = [_row(one, file_id) for one in lines]
    for first in range(0, len(rows), ROWS_MAX):
        await usage.put_imported(tx, rows[first : first + ROWS_MAX])
    closed = set(await ledger.closed_from(tx, plan.months[0]))
    await ledger.add_late(tx, closed & set(plan.months))
    await audit.record(tx, who=who, what="usage.import", on=plan.name, ministry=None, at=now, where=where, why=f"sha256 {plan.digest}")
    return len(lines)


def _row(one: UsageLine, file_id: object) -> Row:
    said: Sequence[object] = (one.month, one.meter, one.ministry_id, one.agent_id, str(one.quantity))
    return {
        "month": one.month, "meter": one.meter, "ministry_id": one.ministry_id, "agent_id": one.agent_id,
        "quantity": str(one.quantity), "file_id": file_id, "line": one.line, "digest": digest_of(*said),
    }  # fmt: skip
