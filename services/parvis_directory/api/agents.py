"""Agents and guests."""

from datetime import date
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from aiohttp import web
from parvis_kit.http import CLOCK, DB, ETAG, LOCATION, Body, IdempotencyKey, IfMatch, Page, Reply, Request, Routes, SentMoment, etag
from parvis_kit.idempotency import Kept, once
from parvis_kit.problems import Conflict, NotFound, PreconditionFailed
from pydantic import Field, TypeAdapter

from parvis_directory import actions, queries
from parvis_directory.api.common import Email, Name, Paging, asked, asker_of
from parvis_directory.rules import Kind, Language, Person, Role, State
from parvis_directory.rules.moves import PlannedMove, check_day, today

ROUTES = Routes("directory", "1")
ZONE: web.RequestKey[ZoneInfo] = web.RequestKey("ZONE")
"""Whose midnight begins a ministry's day."""
PERSON = Kept(TypeAdapter(Person))
Roles = Annotated[list[Role], Field(max_length=4)]


class ListAgents(Paging):
    ministry_id: Annotated[UUID | None, Field(description="For operators; others see their own ministry.")] = None
    find: Annotated[
        str,
        Field(
            max_length=254,
            pattern=r"^[^\x00-\x1f\x7f]*$",
            description="Only those whose e-mail begins so, in its order, then those whose names have words that begin so; on one page.",
        ),
    ] = ""


class NewAgent(Body):
    email: Email
    given_name: Name
    family_name: Name
    kind: Kind = "agent"
    language: Language = "fr"
    roles: Roles = Field(default_factory=list)
    ministry_id: Annotated[UUID | None, Field(strict=False, description="For operators; others create in their own ministry.")] = None
    directorate_id: Annotated[UUID | None, Field(strict=False)] = None
    expires_at: Annotated[SentMoment | None, Field(description="Guests need one.")] = None


class ChangedAgent(Body):
    given_name: Name | None = None
    family_name: Name | None = None
    language: Language | None = None
    roles: Roles | None = None
    state: State | None = None
    expires_at: SentMoment | None = None


class Move(Body):
    ministry_id: Annotated[UUID, Field(strict=False)]
    directorate_id: Annotated[UUID | None, Field(strict=False)] = None
    on: Annotated[date | None, Field(strict=False, description="On this day of the ministry; left out, at once.")] = None


@ROUTES.get("/api/directory/v1/agents", scope="directory:read")
async def list_agents(request: Request, query: ListAgents) -> Page[Person]:
    """The agents of one's ministry, in the order in which they came."""
    async with request[DB].read() as conn:
        if query.find:
            return await queries.agents_found_for(conn, asker_of(request), query.find, query.limit, query.ministry_id)
        return await queries.agents_for(conn, asker_of(request), query.after, query.limit, query.ministry_id)


@ROUTES.post("/api/directory/v1/agents", scope="directory:write", problems=(Conflict,), headers=ETAG | LOCATION)
async def create_agent(request: Request, body: NewAgent, key: IdempotencyKey) -> Reply[Person]:
    """Open an account; administrators of the ministry may, and operators."""
    asker, now = asker_of(request), request[CLOCK]()
    ministry_id = body.ministry_id if body.ministry_id is not None else asker.ministry_id
    new = actions.NewPerson(
        ministry_id,
        body.directorate_id,
        body.kind,
        body.email,
        body.given_name,
        body.family_name,
        body.language,
        body.roles,
        body.expires_at,
    )
    async with request[DB].transaction() as tx:
        act = asked(request, key, "create_agent", body)
        made = await once(tx, act, PERSON, lambda: actions.create_agent(tx, asker, new, now=now))
    return Reply(made, {"ETag": etag(made.revision), "Location": f"/api/directory/v1/agents/{made.id}"})


@ROUTES.get("/api/directory/v1/agents/{agent_id}", scope="directory:read", problems=(NotFound,), headers=ETAG)
async def get_agent(request: Request, agent_id: UUID) -> Reply[Person]:
    """One agent of one's ministry, or oneself."""
    async with request[DB].read() as conn:
        found = await queries.agent_for(conn, asker_of(request), agent_id)
    return Reply(found, {"ETag": etag(found.revision)})


@ROUTES.patch(
    "/api/directory/v1/agents/{agent_id}", scope="directory:write", problems=(NotFound, PreconditionFailed, Conflict), headers=ETAG
)
async def change_agent(request: Request, agent_id: UUID, body: ChangedAgent, if_match: IfMatch) -> Reply[Person]:
    """Change names, language, roles, state or end; what is left out stays. Suspended or left, every session ends.

    Administrators may; one's own language is everybody's own matter.
    """
    changes = actions.Changes(body.given_name, body.family_name, body.language, body.roles, body.expires_at, body.state)
    async with request[DB].transaction() as tx:
        changed = await actions.change_agent(tx, asker_of(request), agent_id, changes, if_match=if_match, now=request[CLOCK]())
    return Reply(changed, {"ETag": etag(changed.revision)})


@ROUTES.post(
    "/api/directory/v1/agents/{agent_id}/move",
    scope="directory:write",
    status=(200, 202),
    problems=(NotFound, PreconditionFailed, Conflict),
    headers=ETAG,
)
async def move_agent(request: Request, agent_id: UUID, body: Move, if_match: IfMatch) -> Reply[Person]:
    """To another ministry or directorate, with identity and files; on a later day, it is planned, instead of what was. Operators may."""
    asker, now = asker_of(request), request[CLOCK]()
    now_day = today(now, request[ZONE])
    if body.on is not None:
        check_day(body.on, now_day)
    async with request[DB].transaction() as tx:
        if body.on is None or body.on == now_day:
            moved = await actions.move_agent(tx, asker, agent_id, body.ministry_id, body.directorate_id, if_match=if_match, now=now)
            return Reply(moved, {"ETag": etag(moved.revision)})
        planned = await actions.plan_move(tx, asker, agent_id, body.ministry_id, body.directorate_id, body.on, if_match=if_match, now=now)
    return Reply(planned, {"ETag": etag(planned.revision)}, 202)


@ROUTES.get("/api/directory/v1/agents/{agent_id}/move", scope="directory:read", problems=(NotFound,))
async def get_move(request: Request, agent_id: UUID) -> PlannedMove:
    """The move that is planned, or that could not be done when its day came, and why; for administrators of the ministry."""
    async with request[DB].transaction() as tx:
        return await queries.planned_move_for(tx, asker_of(request), agent_id)


@ROUTES.delete("/api/directory/v1/agents/{agent_id}/move", scope="directory:write", problems=(NotFound,))
async def cancel_move(request: Request, agent_id: UUID) -> None:
    """Call the planned move off; operators may."""
    async with request[DB].transaction() as tx:
        await actions.cancel_move(tx, asker_of(request), agent_id, now=request[CLOCK]())
