"""Folders and files in their tree: listed, made, renamed, moved, restricted, trashed, restored, purged."""

from typing import Annotated
from uuid import UUID

from parvis_kit.http import CLOCK, DB, ETAG, LOCATION, Body, IdempotencyKey, IfMatch, Page, Query, Reply, Request, Routes
from parvis_kit.idempotency import once
from parvis_kit.problems import Conflict, NotFound, PreconditionFailed
from pydantic import Field

from parvis_files import actions, queries
from parvis_files.api.common import MADE, TERMS, Conflicting, ItemShown, Name, asked, asker_of, show
from parvis_files.rules import Entry
from parvis_files.rules.names import BadName
from parvis_files.rules.rights import HoldsRestricted

ROUTES = Routes("files", "1")


class Listing(Query):
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    after: Annotated[str | None, Field(max_length=1000, pattern=r"^[A-Za-z0-9_-]+$", description="`next` of the page before.")] = None


class NewFolder(Body):
    name: Name
    conflict: Conflicting = "fail"


class ChangedItem(Body):
    name: Name | None = None
    parent_id: Annotated[UUID | None, Field(strict=False, description="The folder to move it into, in the same space.")] = None
    restricted: Annotated[bool | None, Field(description="Whether a folder lets nothing through of what is shared above it.")] = None
    conflict: Conflicting = "fail"


class Ending(Query):
    with_restricted: Annotated[
        bool, Field(description="By whoever manages the space: also the restricted folders in it that are closed to them.")
    ] = False


@ROUTES.get("/api/files/v1/folders/{folder_id}/items", scope="files:read", problems=(NotFound, Conflict))
async def list_items(request: Request, folder_id: UUID, query: Listing) -> Page[Entry]:
    """What is in a folder: folders first, then by name."""
    async with request[DB].read() as conn:
        return await queries.items_in(conn, asker_of(request), folder_id, query.after, query.limit)


@ROUTES.post(
    "/api/files/v1/folders/{folder_id}/folders", scope="files:write", problems=(NotFound, Conflict, BadName), headers=ETAG | LOCATION
)
async def make_folder(request: Request, folder_id: UUID, body: NewFolder, key: IdempotencyKey) -> Reply[ItemShown]:
    """Make a folder in a folder."""
    asker, now = asker_of(request), request[CLOCK]()
    async with request[DB].transaction() as tx:
        act = asked(request, key, f"make_folder {folder_id}", body)
        made = await once(tx, act, MADE, lambda: actions.make_folder(tx, asker, folder_id, body.name, body.conflict, now=now))
        seen = await queries.item_for(tx, asker, made, trash=None)
    return show(seen, Location=f"/api/files/v1/items/{made}")


@ROUTES.get("/api/files/v1/items/{item_id}", scope="files:read", problems=(NotFound,), headers=ETAG)
async def get_item(request: Request, item_id: UUID) -> Reply[ItemShown]:
    """A folder or file, and what you may do with it; in the trash too."""
    async with request[DB].read() as conn:
        return show(await queries.item_for(conn, asker_of(request), item_id, trash=None))


@ROUTES.patch(
    "/api/files/v1/items/{item_id}", scope="files:write", problems=(NotFound, PreconditionFailed, Conflict, BadName), headers=ETAG
)
async def change_item(request: Request, item_id: UUID, body: ChangedItem, if_match: IfMatch) -> Reply[ItemShown]:
    """Rename, move, restrict; what is left out stays."""
    asker = asker_of(request)
    async with request[DB].transaction() as tx:
        await actions.change_item(
            tx, asker, item_id, name=body.name, parent_id=body.parent_id, restricted=body.restricted, conflict=body.conflict,
            if_match=if_match, now=request[CLOCK](),
        )  # fmt: skip
        return show(await queries.item_for(tx, asker, item_id))


@ROUTES.delete("/api/files/v1/items/{item_id}", scope="files:write", problems=(NotFound, Conflict, HoldsRestricted))
async def trash_item(request: Request, item_id: UUID, query: Ending) -> None:
    """Put it into the trash, with all that is in it."""
    async with request[DB].transaction() as tx:
        await actions.trash_item(tx, asker_of(request), item_id, if_match=None, with_restricted=query.with_restricted, now=request[CLOCK]())


@ROUTES.post("/api/files/v1/items/{item_id}/restore", scope="files:write", status=200, problems=(NotFound, Conflict), headers=ETAG)
async def restore_item(request: Request, item_id: UUID) -> Reply[ItemShown]:
    """Take it back from the trash, where it was if that is still there."""
    asker = asker_of(request)
    async with request[DB].transaction() as tx:
        await actions.restore_item(tx, asker, item_id, now=request[CLOCK]())
        return show(await queries.item_for(tx, asker, item_id))


@ROUTES.post("/api/files/v1/items/{item_id}/purge", scope="files:write", status=204, problems=(NotFound, Conflict, HoldsRestricted))
async def purge_item(request: Request, item_id: UUID, query: Ending) -> None:
    """From the trash for good, with every version; its place is free."""
    async with request[DB].transaction() as tx:
        limits = request[TERMS].limits
        await actions.purge_item(tx, asker_of(request), item_id, limits, with_restricted=query.with_restricted, now=request[CLOCK]())
