"""The doors: JSON over HTTP, for finance, and for each agent about themselves."""

from typing import Annotated

from aiohttp import web
from parvis_kit.http import DB, Query, Request, Routes
from parvis_kit.problems import NotFound
from parvis_roster import AGENT
from pydantic import Field

from parvis_billing.queries import reports
from parvis_billing.rules import Asker, months
from parvis_billing.rules.report import Basis, Report

ROUTES = Routes("billing", "1")
TARGET_EUR = web.RequestKey("TARGET_EUR", int)
Month = Annotated[str, Field(pattern=months.PATTERN, description="As 2026-10, in UTC.")]


def asker_of(request: Request) -> Asker:
    agent = request[AGENT]
    return Asker(agent.id, agent.ministry_id, agent.roles)


class AskReport(Query):
    first: Month | None = None
    last: Month | None = None
    basis: Annotated[Basis, Field(description="As it was booked, or every correction in the month that it concerns.")] = "booked"


@ROUTES.get("/api/billing/v1/report", scope="billing:read", problems=(NotFound,))
async def read_report(request: Request, query: AskReport) -> Report:
    """What an agent costs a year, by ministry and service, in each perimeter, beside the range over admissible keys."""
    async with request[DB].read() as conn:
        return await reports.report_for(conn, asker_of(request), query.first, query.last, query.basis, request[TARGET_EUR])
