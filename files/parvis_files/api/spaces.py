"""Spaces: what they hold, what is found in them, what has changed, what is in their trash."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from parvis_kit.http import CLOCK, DB, LOCATION, Body, IdempotencyKey, Page, Query, Reply, Request, Routes
from parvis_kit.idempotency import once
from parvis_kit.problems import Conflict, NotFound, Outdated
from pydantic import Field

from parvis_files import actions, queries
from parvis_files.api.common import MADE, TERMS, ItemShown, Name, Paging, SpaceShown, asked, asker_of, show_item, show_space
from parvis_files.queries import Change, Hit
from parvis_files.rules.names import BadName
from parvis_files.rules.quotas import Quota

ROUTES = Routes("files", "1")


class NewSpace(Body):
    name: Name
    team_id: Annotated[UUID | None, Field(strict=False, description="A team of the ministry, which may change what is in it.")] = None


class ChangedSpace(Body):
    name: Name


class Search(Query):
    name: Annotated[str, Field(min_length=1, max_length=255, description="The beginnings of words of the name.")]
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class Since(Query):
    since: Annotated[int, Field(ge=0, le=2**62, description="`reaches` of the answer before; 0 for all.")] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 100


@dataclass(slots=True)
class Changes:
    changes: list[Change]
    reaches: int
    """Ask from here the next time."""
    more: bool


@ROUTES.get("/api/files/v1/spaces", scope="files:read")
async def list_spaces(request: Request, query: Paging) -> Page[SpaceShown]:
    """Your own, and those that are shared with you as a whole."""
    asker = asker_of(request)
    async with request[DB].read() as conn:
        found = await queries.spaces_for(conn, asker, query.after, query.limit)
    return Page([show_space(request, one) for one in found], str(found[-1].id) if len(found) == query.limit else None)


@ROUTES.post("/api/files/v1/spaces", scope="files:write", problems=(BadName,), headers=LOCATION)
async def create_space(request: Request, body: NewSpace, key: IdempotencyKey) -> Reply[SpaceShown]:
    """Make a shared space; you manage it. Share its root with agents and teams."""
    asker, now = asker_of(request), request[CLOCK]()
    async with request[DB].transaction() as tx:
        act = asked(request, key, "create_space", body)
        space_id = await once(tx, act, MADE, lambda: actions.create_space(tx, asker, body.name, body.team_id, now=now))
        made = (await queries.space_for(tx, asker, space_id)).space
    return Reply(show_space(request, made), {"Location": f"/api/files/v1/spaces/{space_id}"})


@ROUTES.get("/api/files/v1/spaces/personal", scope="files:read")
async def get_personal_space(request: Request) -> SpaceShown:
    """Your own; made now, if you ask before the directory's facts have come."""
    asker = asker_of(request)
    async with request[DB].read() as conn:
        found = await queries.personal_space_of(conn, asker)
    if found is None:
        async with request[DB].transaction() as tx:
            found = await actions.open_personal_space(tx, asker.id, asker.ministry_id, now=request[CLOCK]())
    return show_space(request, found)


@ROUTES.get("/api/files/v1/spaces/{space_id}", scope="files:read", problems=(NotFound,))
async def get_space(request: Request, space_id: UUID) -> SpaceShown:
    """A space, what it holds and what it may hold."""
    async with request[DB].read() as conn:
        return show_space(request, (await queries.space_for(conn, asker_of(request), space_id)).space)


@ROUTES.patch("/api/files/v1/spaces/{space_id}", scope="files:write", problems=(NotFound, Conflict, BadName))
async def change_space(request: Request, space_id: UUID, body: ChangedSpace) -> SpaceShown:
    """Rename a space that you manage."""
    asker = asker_of(request)
    async with request[DB].transaction() as tx:
        await actions.change_space(tx, asker, space_id, body.name, now=request[CLOCK]())
        return show_space(request, (await queries.space_for(tx, asker, space_id)).space)


@ROUTES.get("/api/files/v1/spaces/{space_id}/search", scope="files:read", problems=(NotFound,))
async def search(request: Request, space_id: UUID, query: Search) -> list[Hit]:
    """Items by the beginnings of the words of their names; accents and capitals do not matter."""
    asker = asker_of(request)
    async with request[DB].read() as conn:
        root_id = (await queries.space_for(conn, asker, space_id)).item.id
        return await queries.search_in(conn, asker, root_id, query.name, query.limit)


@ROUTES.get("/api/files/v1/spaces/{space_id}/changes", scope="files:read", problems=(NotFound, Outdated))
async def read_changes(request: Request, space_id: UUID, query: Since) -> Changes:
    """What has changed after a number, in order; what was trashed says so, what is gone for good has no item."""
    asker = asker_of(request)
    async with request[DB].read() as conn:
        root_id = (await queries.space_for(conn, asker, space_id)).item.id
        return Changes(*await queries.changes_for(conn, asker, root_id, query.since, query.limit))


@ROUTES.get("/api/files/v1/spaces/{space_id}/trash", scope="files:read", problems=(NotFound,))
async def list_trash(request: Request, space_id: UUID, query: Paging) -> Page[ItemShown]:
    """What was put into the trash, each with all that is in it."""
    asker = asker_of(request)
    async with request[DB].read() as conn:
        seen = await queries.space_for(conn, asker, space_id)
        found = await queries.trash_in(conn, asker, seen.item.id, query.after, query.limit)
    return Page([show_item(one, allowed, sees_parent=sees_parent) for one, allowed, sees_parent in found.items], found.next)


@ROUTES.get("/api/files/v1/ministry/quota", scope="files:read")
async def get_ministry_quota(request: Request) -> Quota:
    """What all spaces of your ministry hold; for its administrators, finance and operators."""
    async with request[DB].read() as conn:
        return await queries.ministry_quota_for(conn, asker_of(request), request[TERMS].limits)
