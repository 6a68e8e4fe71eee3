"""Ministries and their directorates."""

from typing import Annotated
from uuid import UUID

from parvis_kit.http import CLOCK, DB, ETAG, LOCATION, Body, IdempotencyKey, IfMatch, Page, Reply, Request, Routes, etag
from parvis_kit.idempotency import Kept, once
from parvis_kit.problems import Conflict, NotFound, PreconditionFailed
from pydantic import Field, TypeAdapter

from parvis_directory import actions, queries
from parvis_directory.api.common import Name, Paging, asked, asker_of
from parvis_directory.rules import Directorate, Ministry

ROUTES = Routes("directory", "1")
MINISTRY, DIRECTORATE = Kept(TypeAdapter(Ministry)), Kept(TypeAdapter(Directorate))


class NewMinistry(Body):
    siren: Annotated[str, Field(pattern=r"^\d{9}$", description="Of the company register.")]
    name: Name


class ChangedMinistry(Body):
    name: Name | None = None
    app_passwords: bool | None = None


class NewDirectorate(Body):
    name: Name
    siret: Annotated[str, Field(pattern=r"^\d{14}$")] | None = None


@ROUTES.get("/api/directory/v1/ministries", scope="directory:read")
async def list_ministries(request: Request, query: Paging) -> Page[Ministry]:
    """One's own ministry; operators see all."""
    async with request[DB].read() as conn:
        return await queries.ministries_for(conn, asker_of(request), query.after, query.limit)


@ROUTES.post("/api/directory/v1/ministries", scope="directory:write", problems=(Conflict,), headers=ETAG | LOCATION)
async def create_ministry(request: Request, body: NewMinistry, key: IdempotencyKey) -> Reply[Ministry]:
    """Bring a ministry aboard; operators may."""
    asker, now = asker_of(request), request[CLOCK]()
    async with request[DB].transaction() as tx:
        made = await once(
            tx, asked(request, key, "create_ministry", body), MINISTRY,
            lambda: actions.create_ministry(tx, asker, body.siren, body.name, now=now),
        )  # fmt: skip
    return Reply(made, {"ETag": etag(made.revision), "Location": f"/api/directory/v1/ministries/{made.id}"})


@ROUTES.get("/api/directory/v1/ministries/{ministry_id}", scope="directory:read", problems=(NotFound,), headers=ETAG)
async def get_ministry(request: Request, ministry_id: UUID) -> Reply[Ministry]:
    """One ministry."""
    async with request[DB].read() as conn:
        found = await queries.ministry_for(conn, asker_of(request), ministry_id)
    return Reply(found, {"ETag": etag(found.revision)})


@ROUTES.patch(
    "/api/directory/v1/ministries/{ministry_id}", scope="directory:write", problems=(NotFound, PreconditionFailed, Conflict), headers=ETAG
)
async def change_ministry(request: Request, ministry_id: UUID, body: ChangedMinistry, if_match: IfMatch) -> Reply[Ministry]:
    """Rename a ministry, or say whether its agents may have app passwords: if not, those that they have end."""
    async with request[DB].transaction() as tx:
        changed = await actions.change_ministry(
            tx, asker_of(request), ministry_id, name=body.name, app_passwords=body.app_passwords, if_match=if_match, now=request[CLOCK]()
        )
    return Reply(changed, {"ETag": etag(changed.revision)})


@ROUTES.get("/api/directory/v1/ministries/{ministry_id}/directorates", scope="directory:read", problems=(NotFound,))
async def list_directorates(request: Request, ministry_id: UUID) -> list[Directorate]:
    """The units of a ministry."""
    async with request[DB].read() as conn:
        return await queries.directorates_for(conn, asker_of(request), ministry_id)


@ROUTES.post("/api/directory/v1/ministries/{ministry_id}/directorates", scope="directory:write", problems=(NotFound, Conflict))
async def create_directorate(request: Request, ministry_id: UUID, body: NewDirectorate, key: IdempotencyKey) -> Directorate:
    """Add a unit to a ministry."""
    asker, now = asker_of(request), request[CLOCK]()
    async with request[DB].transaction() as tx:
        return await once(
            tx, asked(request, key, f"create_directorate {ministry_id}", body), DIRECTORATE,
            lambda: actions.create_directorate(tx, asker, ministry_id, body.name, body.siret, now=now),
        )  # fmt: skip
