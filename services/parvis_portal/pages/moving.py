"""A folder or file moved: one walks through its space, folder by folder, to where it shall lie."""

import asyncio
from typing import Any

from aiohttp import web
from parvis_kit.http import Request, Routes
from parvis_kit.problems import NotFound

from parvis_portal.pages.common import id_in, id_of
from parvis_portal.pages.files import is_root
from parvis_portal.pages.items import as_shown
from parvis_portal.portal import PORTAL, Form, act, page, see
from parvis_portal.visitors import Visitor

ROUTES = Routes("portal", "1")
FOLDERS_SHOWN = 200


@ROUTES.raw("GET", "/files/items/{item_id}/move")
@page
async def show_move(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await move(request, visitor)


async def move(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    """`to` of the query, or of the form that was refused: the folder that one stands in; at first where it lies."""
    portal, item_id = request[PORTAL], id_in(request, "item_id")
    item = await portal.get(visitor, "files", f"items/{item_id}")
    space = await portal.calling.panel("files", portal.get(visitor, "files", f"spaces/{item['space_id']}"))
    if item["trashed_at"] or is_root(item, space) or "write" not in item["actions"]:
        raise NotFound("It is not to be moved.")
    to = id_of(request.query.get("to") or more.get("typed", {}).get("to") or item["parent_id"] or (space.value or {}).get("root_id", ""))
    after = request.query.get("after", "")
    paging: dict[str, str | int] = {"limit": FOLDERS_SHOWN, **({"after": after} if after else {})}
    target, inside = await asyncio.gather(
        portal.get(visitor, "files", f"items/{to}"), portal.get(visitor, "files", f"folders/{to}/items", **paging)
    )
    if target["space_id"] != item["space_id"] or target["trashed_at"]:
        raise NotFound("It is moved within its space.")
    folders = [one for one in inside["items"] if one["kind"] == "folder" and one["id"] != item["id"]]
    further = inside["next"] if inside["items"] and inside["items"][-1]["kind"] == "folder" else None  # folders come first
    return portal.show(
        "move.html", visitor, request, item=item, space=space, target=target, target_is_root=is_root(target, space), folders=folders,
        further=further, is_here=target["id"] == item["parent_id"], status=status, **more,
    )  # fmt: skip


@ROUTES.raw("POST", "/files/items/{item_id}/move")
@act(move)
async def put_there(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """What somebody else has changed meanwhile is left alone: the form says which revision it shows."""
    item_id, to = id_in(request, "item_id"), id_of(form.get("to", ""))
    await request[PORTAL].ask(visitor, "files", "PATCH", f"items/{item_id}", body={"parent_id": to}, headers=as_shown(form))
    return see(f"/files/folders/{to}?done=moved")
