"""The price before the act."""

import asyncio
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.problems import NotFound

from parvis_billing.queries.inputs import inputs_booked
from parvis_billing.rules import FINANCE_ROLES, Asker, check_may_simulate
from parvis_billing.rules.disclosure import AGENTS_SHOWN_MIN
from parvis_billing.rules.months import ends_at
from parvis_billing.rules.simulation import Simulation, simulate
from parvis_billing.store import costs, ledger


async def simulation_for(conn: Connection, asker: Asker, ministry_id: UUID, agents: int, *, now: datetime) -> Simulation:
    """Raises Forbidden; NotFound for an unknown ministry, or before a month was run."""
    check_may_simulate(asker, ministry_id)
    if ministry_id not in {one for one, _, _ in await costs.ministries(conn)}:
        raise NotFound(f"There is no ministry {ministry_id}.")
    found = await simulation(conn, ministry_id, agents, now=now)
    if asker.roles & FINANCE_ROLES or found.provisioned_now >= AGENTS_SHOWN_MIN:
        return found
    hidden = [replace(one, per_agent_cents=None) for one in found.perimeters]
    return replace(found, perimeters=hidden)


async def simulation(conn: Connection, ministry_id: UUID, agents: int, *, now: datetime) -> Simulation:
    """On the last month that is over and was run; on the present one before there is such. Raises NotFound."""
    runs = [run for run in await ledger.runs(conn)]
    if not runs:
        raise NotFound("No month was computed yet: `parvis cost run` does it, once there are cost items.")
    over = [run for run in runs if ends_at(run.concerns) <= now]
    last = max(over or runs, key=lambda run: (run.concerns, run.booked))
    prices = {f"{one.id} {one.valid_from}": one for one in await costs.prices(conn)}
    inputs = await inputs_booked(conn, last)
    return await asyncio.to_thread(simulate, inputs, ministry_id, agents, prices)
