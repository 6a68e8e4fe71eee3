"""Agents who have left: what is done, what is missing, and the way back while it is open."""

from collections.abc import Collection
from typing import Annotated
from uuid import UUID

from aiohttp import web
from parvis_kit.http import CLOCK, DB, ETAG, IfMatch, Query, Reply, Request, Routes
from parvis_kit.problems import Conflict, NotFound, PreconditionFailed
from pydantic import Field

from parvis_directory import actions, queries
from parvis_directory.api.common import asker_of, tagged
from parvis_directory.rules import Person
from parvis_directory.rules.departures import DepartureSeen, Leaver, Leavers

ROUTES = Routes("directory", "1")
LEAVERS_MAX = 100
SETTLING: web.RequestKey[Collection[str]] = web.RequestKey("SETTLING")
"""The services that have to acknowledge."""


class ListDepartures(Query):
    limit: Annotated[int, Field(ge=1, le=LEAVERS_MAX)] = 20


class ListLeavers(ListDepartures):
    after: Annotated[str | None, Field(max_length=60, pattern=r"^[0-9A-Za-z]+$", description="`next` of the page before.")] = None


@ROUTES.get("/api/directory/v1/ministries/{ministry_id}/departures", scope="directory:read", problems=(NotFound,))
async def list_departures(request: Request, ministry_id: UUID, query: ListDepartures) -> list[Leaver]:
    """The first page of the ministry's leavers, without the way to the next; for administrators of the ministry."""
    async with request[DB].read() as conn:
        return (await queries.departures_for(conn, asker_of(request), ministry_id, None, query.limit, request[SETTLING])).items


@ROUTES.get("/api/directory/v1/ministries/{ministry_id}/leavers", scope="directory:read", problems=(NotFound,))
async def list_leavers(request: Request, ministry_id: UUID, query: ListLeavers) -> Leavers:
    """Who has left, those first whom a service still has to settle, and what each has done; for administrators of the ministry."""
    async with request[DB].read() as conn:
        return await queries.departures_for(conn, asker_of(request), ministry_id, query.after, query.limit, request[SETTLING])


@ROUTES.get("/api/directory/v1/agents/{agent_id}/departure", scope="directory:read", problems=(NotFound,))
async def get_departure(request: Request, agent_id: UUID) -> DepartureSeen:
    """Which services have done their part about an agent who left, and which have not; for administrators of the ministry."""
    async with request[DB].transaction() as tx:
        return await queries.departure_for(tx, asker_of(request), agent_id, request[SETTLING])


@ROUTES.post(
    "/api/directory/v1/agents/{agent_id}/return",
    scope="directory:write",
    status=200,
    problems=(NotFound, PreconditionFailed, Conflict),
    headers=ETAG,
)
async def return_agent(request: Request, agent_id: UUID, if_match: IfMatch) -> Reply[Person]:
    """Call a departure off that was a mistake, until every service has done its part; the agent signs in anew."""
    async with request[DB].transaction() as tx:
        back = await actions.return_agent(tx, asker_of(request), agent_id, if_match=if_match, now=request[CLOCK]())
    return tagged(back)
