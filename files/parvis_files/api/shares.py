"""Shares: who holds which role on an item, and what is shared with you."""

from typing import Annotated
from uuid import UUID

from parvis_kit.http import CLOCK, DB, LOCATION, Body, IdempotencyKey, Page, Reply, Request, Routes
from parvis_kit.idempotency import once
from parvis_kit.problems import Conflict, NotFound
from pydantic import Field

from parvis_files import actions, queries
from parvis_files.api.common import MADE, Paging, ShareShown, asked, asker_of, show_share
from parvis_files.queries import SharedItem
from parvis_files.rules import GranteeKind
from parvis_files.rules.rights import Role

ROUTES = Routes("files", "1")


class NewShare(Body):
    grantee_kind: GranteeKind
    grantee_id: Annotated[UUID, Field(strict=False, description="An agent or a team of the space's ministry.")]
    role: Role


@ROUTES.get("/api/files/v1/items/{item_id}/shares", scope="files:read", problems=(NotFound,))
async def list_shares(request: Request, item_id: UUID) -> list[ShareShown]:
    """On the item itself; what is shared above it reaches it too, unless it is restricted."""
    async with request[DB].read() as conn:
        return [show_share(one) for one in await queries.shares_for(conn, asker_of(request), item_id)]


@ROUTES.post("/api/files/v1/items/{item_id}/shares", scope="files:write", problems=(NotFound, Conflict), headers=LOCATION)
async def share_item(request: Request, item_id: UUID, body: NewShare, key: IdempotencyKey) -> Reply[ShareShown]:
    """Give an agent or a team a role; it replaces the one that they have on this item."""
    asker, now = asker_of(request), request[CLOCK]()
    async with request[DB].transaction() as tx:
        act = asked(request, key, f"share_item {item_id}", body)
        share_id = await once(
            tx, act, MADE, lambda: actions.share_item(tx, asker, item_id, body.grantee_kind, body.grantee_id, body.role, now=now)
        )
        made = await queries.share_for(tx, asker, item_id, share_id)
    return Reply(show_share(made), {"Location": f"/api/files/v1/items/{item_id}/shares/{share_id}"})


@ROUTES.delete("/api/files/v1/items/{item_id}/shares/{share_id}", scope="files:write", problems=(NotFound, Conflict))
async def revoke_share(request: Request, item_id: UUID, share_id: UUID) -> None:
    """From now on; an address that was given out dies within a minute."""
    async with request[DB].transaction() as tx:
        await actions.revoke_share(tx, asker_of(request), item_id, share_id, now=request[CLOCK]())


@ROUTES.get("/api/files/v1/shared", scope="files:read")
async def list_shared(request: Request, query: Paging) -> Page[SharedItem]:
    """What others have shared with you or a team of yours; whole spaces are in the list of spaces."""
    async with request[DB].read() as conn:
        return await queries.shared_with(conn, asker_of(request), query.after, query.limit)
