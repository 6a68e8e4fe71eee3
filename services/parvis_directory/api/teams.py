"""Teams and their members."""

from typing import Annotated
from uuid import UUID

from parvis_kit.http import CLOCK, DB, ETAG, LOCATION, Body, IdempotencyKey, IfMatch, Page, Reply, Request, Routes, etag
from parvis_kit.idempotency import Kept, once
from parvis_kit.problems import NotFound, PreconditionFailed
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from parvis_directory import actions, queries
from parvis_directory.api.common import Name, Paging, asked, asker_of
from parvis_directory.rules import TEAM_MEMBERS_MAX, Team

ROUTES = Routes("directory", "1")
TEAM = Kept(TypeAdapter(Team))
Members = Annotated[list[Annotated[UUID, Field(strict=False)]], Field(max_length=TEAM_MEMBERS_MAX)]


class WrittenTeam(Body):
    name: Name
    members: Members = Field(default_factory=list)


@dataclass(slots=True)
class TeamWithMembers:
    id: UUID
    ministry_id: UUID
    name: str
    members: list[UUID]


@ROUTES.get("/api/directory/v1/teams", scope="directory:read")
async def list_teams(request: Request, query: Paging) -> Page[Team]:
    """The teams of one's ministry."""
    async with request[DB].read() as conn:
        return await queries.teams_for(conn, asker_of(request), query.after, query.limit)


@ROUTES.post("/api/directory/v1/teams", scope="directory:write", headers=ETAG | LOCATION)
async def create_team(request: Request, body: WrittenTeam, key: IdempotencyKey) -> Reply[Team]:
    """Make a team in one's ministry; its members may come from any."""
    asker, now = asker_of(request), request[CLOCK]()
    async with request[DB].transaction() as tx:
        act = asked(request, key, "create_team", body)
        made = await once(tx, act, TEAM, lambda: actions.create_team(tx, asker, body.name, body.members, now=now))
    return Reply(made, {"ETag": etag(made.revision), "Location": f"/api/directory/v1/teams/{made.id}"})


@ROUTES.get("/api/directory/v1/teams/{team_id}", scope="directory:read", problems=(NotFound,), headers=ETAG)
async def get_team(request: Request, team_id: UUID) -> Reply[TeamWithMembers]:
    """A team and the ids of its members."""
    async with request[DB].read() as conn:
        found, members = await queries.members_for(conn, asker_of(request), team_id)
    return Reply(TeamWithMembers(found.id, found.ministry_id, found.name, members), {"ETag": etag(found.revision)})


@ROUTES.put("/api/directory/v1/teams/{team_id}", scope="directory:write", problems=(NotFound, PreconditionFailed), headers=ETAG)
async def write_team(request: Request, team_id: UUID, body: WrittenTeam, if_match: IfMatch) -> Reply[Team]:
    """Give a team this name and exactly these members."""
    async with request[DB].transaction() as tx:
        changed = await actions.change_team(
            tx, asker_of(request), team_id, name=body.name, members=body.members, if_match=if_match, now=request[CLOCK]()
        )
    return Reply(changed, {"ETag": etag(changed.revision)})
