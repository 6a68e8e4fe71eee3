"""An agent's figure, and all that it is made of; agents are explained to themselves, and on the server to finance."""

from collections.abc import Sequence
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.problems import NotFound

from parvis_billing.rules import UNKNOWN, Asker, months
from parvis_billing.rules.cascade import pseudonym
from parvis_billing.rules.explanation import Explanation, Papers, Part, explanation_of, part_of
from parvis_billing.rules.ledger import AgentRow, RunRow, keys_from
from parvis_billing.store import costs, ledger


async def explain_to(conn: Connection, asker: Asker, month: str | None) -> Explanation:
    """One's own, and nobody else's. Raises NotFound."""
    return await explain(conn, asker.id, month)


async def explain(conn: Connection, agent_id: UUID, month: str | None) -> Explanation:
    """By default of the last month that holds anything of the agent. Raises Invalid, NotFound."""
    first, last = (months.checked(month), month) if month else (months.FIRST, months.LAST)
    rows = await ledger.agent_rows(conn, agent_id, first, last)
    if not rows:
        raise NotFound(f"Nothing is booked of this agent{f' in {month}' if month else ''}: perhaps the month was not run yet.")
    chosen = month or rows[-1].concerns
    mine = [row for row in rows if row.concerns == chosen]
    secret = await costs.secret_of(conn, int(chosen[:4])) or b""
    names = {ministry: name for ministry, _, name in await costs.ministries(conn)}
    runs = {run.booked: run for run in await ledger.runs(conn, chosen)}
    papers = {booked: await _papers(conn, runs[booked]) for booked in sorted({row.booked for row in mine})}
    parts: list[Part] = []
    for row in mine:
        postings = await ledger.postings_of(conn, row.booked, chosen, row.ministry_id)
        name = "unallocated" if row.ministry_id == UNKNOWN else names.get(row.ministry_id, str(row.ministry_id))
        hidden = pseudonym(secret, agent_id.bytes)
        parts.append(part_of(row, _before(row, mine), postings, hidden, papers[row.booked], name))
    return explanation_of(agent_id, chosen, parts)


def _before(row: AgentRow, rows: Sequence[AgentRow]) -> list[AgentRow]:
    return [one for one in rows if one.ministry_id == row.ministry_id and one.booked < row.booked]


async def _papers(conn: Connection, run: RunRow) -> Papers:
    items = {one.item_id: one for one in await ledger.item_months(conn, run.booked, run.concerns)}
    contents = await costs.items_at(conn, [(one.item_id, one.revision) for one in items.values()])
    prices = {f"{one.id} {one.valid_from}": one for one in await costs.prices(conn)}
    return Papers(items, contents, prices, keys_from(run.keys))


async def agent_named(conn: Connection, named: str) -> UUID:
    """By e-mail or id. Raises NotFound."""
    if found := await costs.find_agent(conn, named.strip().casefold()):
        return found
    try:
        return UUID(named)
    except ValueError:
        raise NotFound(f"Nobody has the address {named}: give an e-mail address that is known, or an id.") from None
