"""Mail domains that a ministry proves to be its own."""

from typing import Annotated
from uuid import UUID

from aiohttp import web
from parvis_kit.http import CLOCK, DB, Body, Request, Routes
from parvis_kit.problems import Conflict, NotFound, TooManyRequests
from pydantic import Field

from parvis_directory import actions, queries
from parvis_directory.api.common import asker_of
from parvis_directory.rules.domains import DomainSeen, Resolve, seen

ROUTES = Routes("directory", "1")
RESOLVE: web.RequestKey[Resolve] = web.RequestKey("RESOLVE")


class NewDomain(Body):
    name: Annotated[str, Field(min_length=4, max_length=253, description="As it stands behind the @ of its agents' addresses.")]


@ROUTES.get("/api/directory/v1/ministries/{ministry_id}/domains", scope="directory:read", problems=(NotFound,))
async def list_domains(request: Request, ministry_id: UUID) -> list[DomainSeen]:
    """The ministry's domains, proven or not, and the record that proves each; for administrators of the ministry."""
    async with request[DB].read() as conn:
        return [seen(one) for one in await queries.domains_for(conn, asker_of(request), ministry_id)]


@ROUTES.post("/api/directory/v1/ministries/{ministry_id}/domains", scope="directory:write", problems=(NotFound, Conflict))
async def claim_domain(request: Request, ministry_id: UUID, body: NewDomain) -> DomainSeen:
    """Say that a domain is the ministry's; the answer holds the TXT record that will prove it. Said twice, it is said once."""
    async with request[DB].transaction() as tx:
        return seen(await actions.claim_domain(tx, asker_of(request), ministry_id, body.name, now=request[CLOCK]()))


@ROUTES.post(
    "/api/directory/v1/ministries/{ministry_id}/domains/{name}/verify",
    scope="directory:write",
    status=200,
    problems=(NotFound, Conflict, TooManyRequests),
)
async def verify_domain(request: Request, ministry_id: UUID, name: str) -> DomainSeen:
    """Look for the record: when it is there, the domain is the ministry's, and its agents' addresses are nobody else's to give."""
    proven = await actions.verify_domain(request[DB], request[RESOLVE], asker_of(request), ministry_id, name, clock=request[CLOCK])
    return seen(proven)


@ROUTES.delete("/api/directory/v1/ministries/{ministry_id}/domains/{name}", scope="directory:write", problems=(NotFound,))
async def release_domain(request: Request, ministry_id: UUID, name: str) -> None:
    """Give a domain up, proven or not."""
    async with request[DB].transaction() as tx:
        await actions.release_domain(tx, asker_of(request), ministry_id, name, now=request[CLOCK]())
