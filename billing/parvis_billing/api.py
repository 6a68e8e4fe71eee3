"""The doors: JSON over HTTP."""

from aiohttp import web
from parvis_kit.http import DB, Request, Routes
from parvis_kit.problems import NotFound
from parvis_roster import AGENT

from parvis_billing import queries, rules

ROUTES = Routes("billing", "1")
GREETING = web.RequestKey("GREETING", str)


@ROUTES.get("/api/billing/v1/welcome", scope="billing:read", problems=(NotFound,))
async def read_welcome(request: Request) -> rules.Welcome:
    """The welcome that waits for whoever asks."""
    async with request[DB].read() as conn:
        return rules.Welcome(request[GREETING], await queries.welcome_for(conn, request[AGENT]))
