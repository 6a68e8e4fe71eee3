"""Everything that a month's postings follow from, as the tables hold it now or held it when it was booked."""

import asyncio
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.problems import Conflict

from parvis_billing.rules.cascade import AgentUse, Inputs, ItemMonth, pseudonym
from parvis_billing.rules.costs import CostItem, PriceVersion, price_in
from parvis_billing.rules.ledger import RunRow, keys_from
from parvis_billing.rules.usage import Collected, uses_of
from parvis_billing.store import costs, ledger, usage


async def inputs_now(conn: Connection, month: str) -> Inputs:
    """Raises Conflict when a key or a price is named that is not there."""
    secret = await costs.secret_of(conn, int(month[:4])) or b""
    collected = Collected(
        month, await usage.seat_changes(conn), await usage.holders_in(conn, month), await usage.counted_in(conn, month),
        await usage.imported_in(conn, month),
    )  # fmt: skip
    agents, shared = await asyncio.to_thread(uses_of, collected, secret)  # a second, for forty thousand
    items, keys, prices = await costs.items(conn, month), await costs.keys(conn), await costs.prices(conn)
    used = {name for item, _ in items for name in item.keys}
    if missing := sorted(used - set(keys)):
        raise Conflict(f'No allocation key {missing[0]} is known: import a file with [[key]] id = "{missing[0]}".')
    sirens = {siren: ministry for ministry, siren, _ in await costs.ministries(conn)}
    asked = {siren for name in used for siren in keys[name].shares}
    totals = _totals(agents, shared)
    months = tuple(_item_month(item, revision, month, prices, totals) for item, revision in items)
    return Inputs(
        month, months, {name: keys[name] for name in sorted(used)}, agents, shared,
        {siren: sirens[siren] for siren in sorted(asked) if siren in sirens}, secret,
    )  # fmt: skip


def _totals(agents: tuple[AgentUse, ...], shared: dict[UUID, dict[str, int]]) -> dict[str, int]:
    """What was used in all, by meter."""
    sums = {"seats": sum(one.seat for one in agents), "active": sum(one.active for one in agents)}
    for use in (*(one.use for one in agents), *shared.values()):
        for meter, quantity in use.items():
            sums[meter] = sums.get(meter, 0) + quantity
    return sums


def _item_month(item: CostItem, revision: int, month: str, prices: list[PriceVersion], totals: dict[str, int]) -> ItemMonth:
    if item.price is None:
        return ItemMonth(item, revision, item.cents_in(month))
    price = price_in(prices, item.price, month)
    if price is None:
        raise Conflict(f"No price {item.price} is valid in {month}, which the cost item {item.id} is counted by: import one.")
    quantity = totals.get(price.meter, 0)
    return ItemMonth(item, revision, price.cents_for(quantity), f"{price.id} {price.valid_from}", quantity)


async def inputs_booked(conn: Connection, run: RunRow) -> Inputs:
    """As they were when the run was booked. Raises Conflict when a cost item of then is gone."""
    month = run.concerns
    secret = await costs.secret_of(conn, int(month[:4])) or b""
    kept = await ledger.item_months(conn, run.booked, month)
    items = await costs.items_at(conn, [(one.item_id, one.revision) for one in kept])
    if gone := [one for one in kept if (one.item_id, one.revision) not in items]:
        raise Conflict(f"Cost item {gone[0].item_id}, revision {gone[0].revision}, is gone, and {month} was booked by it.")
    months = tuple(
        ItemMonth(items[one.item_id, one.revision], one.revision, one.cents, one.price, int(one.quantity))
        for one in sorted(kept, key=lambda one: one.item_id)
    )
    agents = tuple(
        AgentUse(one.ministry_id, one.agent_id, pseudonym(secret, one.agent_id.bytes), one.kind, one.seat, one.active, one.use)
        for one in await ledger.agent_months(conn, run.booked, month)
        if one.kind != "gone"
    )
    shared = {one.ministry_id: one.common for one in await ledger.ministry_months(conn, run.booked, month) if one.common}
    sirens = {siren: UUID(ministry) for siren, ministry in run.sirens.items()}
    return Inputs(month, months, keys_from(run.keys), agents, shared, sirens, secret)
