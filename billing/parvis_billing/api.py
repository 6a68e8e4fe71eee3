"""The doors: JSON over HTTP, for finance, and for each agent about themselves."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from aiohttp import web
from parvis_kit.http import CLOCK, DB, Page, Query, Request, Routes
from parvis_kit.problems import Conflict, NotFound, Unavailable
from parvis_roster import AGENT
from pydantic import Field

from parvis_billing.queries import explanations, listings, reports, simulations
from parvis_billing.rules import Asker, months
from parvis_billing.rules.explanation import Explanation
from parvis_billing.rules.report import Basis, Report
from parvis_billing.rules.simulation import AGENTS_MAX, Simulation

ROUTES = Routes("billing", "1")
TARGET_EUR = web.RequestKey("TARGET_EUR", int)
KEPT = web.RequestKey("KEPT", reports.Kept)
Month = Annotated[str, Field(pattern=months.PATTERN, description="As 2026-10, in UTC.")]


def asker_of(request: Request) -> Asker:
    agent = request[AGENT]
    return Asker(agent.id, agent.ministry_id, agent.roles)


class AskReport(Query):
    first: Month | None = None
    last: Month | None = None
    basis: Annotated[Basis, Field(description="As it was booked, or every correction in the month that it concerns.")] = "booked"


class AskOwn(Query):
    month: Month | None = None


class AskSimulation(Query):
    ministry_id: UUID
    agents: Annotated[int, Field(ge=0, le=AGENTS_MAX, description="How many more.")]


class AskItems(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[str, Field(max_length=80, pattern=r"^[a-z0-9._-]*$", description="`next` of the page before.")] = ""


@dataclass(slots=True)
class PeriodSeen:
    """A month of the ledger."""

    month: str
    state: str
    total_cents: int
    hash: str
    """Of a closed month: over the one before it and all that was booked; empty while it is open."""
    closed_at: datetime | None
    ran_at: datetime


@dataclass(slots=True)
class ItemSeen:
    """A cost item as it stands, and where it came from."""

    id: str
    revision: int
    title: str
    amount_cents: int | None
    price: str | None
    starts: date
    ends: date
    services: dict[str, int]
    perimeters: list[str]
    key: str
    admissible: list[str]
    source: str
    document: str
    file: str
    line: int


@ROUTES.get("/api/billing/v1/report", scope="billing:read", problems=(NotFound, Unavailable))
async def read_report(request: Request, query: AskReport) -> Report:
    """What an agent costs a year, by ministry and service, in each perimeter, beside the range over admissible keys; for finance."""
    async with request[DB].read() as conn:
        target, kept = request[TARGET_EUR], request[KEPT]
        return await reports.report_for(conn, asker_of(request), query.first, query.last, query.basis, target, kept)


@ROUTES.get("/api/billing/v1/periods", scope="billing:read")
async def list_periods(request: Request) -> list[PeriodSeen]:
    """The months of the ledger, open and closed; for finance."""
    async with request[DB].read() as conn:
        found = await reports.periods_for(conn, asker_of(request))
    return [PeriodSeen(one.month, one.state, one.total_cents, one.hash, one.closed_at, one.ran_at) for one in found]


@ROUTES.get("/api/billing/v1/items", scope="billing:read")
async def list_items(request: Request, query: AskItems) -> Page[ItemSeen]:
    """The cost items as they stand, with their sources; for finance."""
    async with request[DB].read() as conn:
        page = await listings.items_for(conn, asker_of(request), query.after, query.limit)
    return Page([ItemSeen(*one) for one in page.items], page.next)


@ROUTES.get("/api/billing/v1/me", scope="billing:read", problems=(NotFound, Conflict))
async def read_own(request: Request, query: AskOwn) -> Explanation:
    """What whoever asks costs in a month, walked back to the invoices; by default in the last month that was run."""
    async with request[DB].read() as conn:
        return await explanations.explain_to(conn, asker_of(request), query.month)


@ROUTES.get("/api/billing/v1/simulate", scope="billing:read", problems=(NotFound, Conflict))
async def read_simulation(request: Request, query: AskSimulation) -> Simulation:
    """What more agents would cost a ministry in a year; for finance, and for administrators of the ministry."""
    async with request[DB].read() as conn:
        return await simulations.simulation_for(conn, asker_of(request), query.ministry_id, query.agents, now=request[CLOCK]())
