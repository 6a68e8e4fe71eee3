"""My files: spaces, folders, what others share, what is searched for, the trash."""

import asyncio
from typing import Any

from aiohttp import web
from parvis_kit.http import Request, Routes
from parvis_kit.problems import NotFound

from parvis_portal.calling import Panel, Refused
from parvis_portal.pages.common import id_in, id_of
from parvis_portal.portal import PORTAL, Form, Portal, act, once, page, see
from parvis_portal.visitors import NAMES_MAX, Visitor

ROUTES = Routes("portal", "1")
SHOWN = 50
"""Lines of a page of a list."""
FOUND_MAX, KEPT_SHOWN = 50, 20


@ROUTES.raw("GET", "/files")
@page
async def show_spaces(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await spaces(request, visitor)


async def spaces(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    portal = request[PORTAL]
    own, found, shared = await asyncio.gather(
        portal.calling.panel("files", personal(portal, visitor)),
        portal.calling.panel("files", portal.get(visitor, "files", "spaces", limit=100)),
        portal.calling.panel("files", shared_with(portal, visitor)),
    )
    return portal.show("spaces.html", visitor, request, own=own, spaces=found, shared=shared, status=status, **more)


async def personal(portal: Portal, visitor: Visitor) -> tuple[Any, Any]:
    space = await portal.get(visitor, "files", "spaces/personal")
    return space, await portal.get(visitor, "files", f"folders/{space['root_id']}/items", limit=SHOWN)


async def shared_with(portal: Portal, visitor: Visitor) -> Any:
    found = await portal.get(visitor, "files", "shared", limit=50)
    await names_of(portal, visitor, [one["shared_by"] for one in found["items"]])
    return found


async def names_of(portal: Portal, visitor: Visitor, ids: list[str]) -> None:
    """Fill in whom these ids name, as far as the visitor may know; directory being away is no reason for no page."""

    async def ask(one: str) -> None:
        found = await portal.calling.panel("directory", portal.get(visitor, "directory", f"agents/{one}"))
        if found.value is not None:
            visitor.names[one] = f"{found.value['given_name']} {found.value['family_name']}"

    if len(visitor.names) > NAMES_MAX:
        visitor.names.clear()
    await asyncio.gather(*(ask(one) for one in dict.fromkeys(ids) if one not in visitor.names))


@ROUTES.raw("POST", "/files/spaces")
@act(spaces, "name")
async def create_space(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    made = await request[PORTAL].ask(visitor, "files", "POST", "spaces", body={"name": form.get("name", "").strip()}, headers=once(form))
    return see(f"/files/folders/{made['root_id']}?done=created")


@ROUTES.raw("GET", "/files/folders/{folder_id}")
@page
async def show_folder(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await folder(request, visitor)


async def folder(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    portal, folder_id = request[PORTAL], id_in(request, "folder_id")
    after = request.query.get("after", "")
    paging: dict[str, str | int] = {"limit": SHOWN, **({"after": after} if after else {})}
    item, items, uploads, *renamed = await asyncio.gather(
        portal.get(visitor, "files", f"items/{folder_id}"),
        portal.calling.panel("files", portal.get(visitor, "files", f"folders/{folder_id}/items", **paging)),
        portal.calling.panel("files", portal.get(visitor, "files", "uploads", limit=20)),
        *(portal.calling.panel("files", portal.get(visitor, "files", f"items/{one}")) for one in kept_in(request)),
    )
    if item["kind"] != "folder":
        return see(f"/files/items/{item['id']}")
    space = await portal.calling.panel("files", portal.get(visitor, "files", f"spaces/{item['space_id']}"))
    waiting = [one for one in (uploads.value or {"items": []})["items"] if one["parent_id"] == folder_id and one["state"] == "uploading"]
    if item["trashed_at"]:
        raise NotFound("This folder is in the trash.")
    return portal.show(
        "folder.html", visitor, request, item=item, is_root=is_root(item, space), items=items, space=space, waiting=waiting, after=after,
        status=status, plain_max=portal.settings.plain_upload_bytes_max, kept=[one.value for one in renamed if one.value], **more,
    )  # fmt: skip


def kept_in(request: Request) -> list[str]:
    """The files whose names were taken when they were sent just now. Raises NotFound."""
    return [id_of(one) for one in dict.fromkeys(request.query.getall("kept", []))][:KEPT_SHOWN]


def is_root(item: Any, space: Panel[Any]) -> bool:
    """Whether it is the folder that holds all others of its space; of a space that may not be seen, nobody sees that either."""
    return space.value is not None and bool(space.value["root_id"] == item["id"])


@ROUTES.raw("POST", "/files/folders/{folder_id}/folders")
@act(folder, "name")
async def make_folder(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    folder_id = id_in(request, "folder_id")
    body = {"name": form.get("name", "").strip()}
    await request[PORTAL].ask(visitor, "files", "POST", f"folders/{folder_id}/folders", body=body, headers=once(form))
    return see(f"/files/folders/{folder_id}?done=folder")


@ROUTES.raw("GET", "/files/spaces/{space_id}/search")
@page
async def search(request: Request, visitor: Visitor) -> web.StreamResponse:
    """With htmx, the list alone."""
    portal, space_id = request[PORTAL], id_in(request, "space_id")
    words = request.query.get("name", "").strip()[:255]
    space = await portal.get(visitor, "files", f"spaces/{space_id}")
    found: list[Any] = []
    is_vague = False
    try:
        found = await portal.get(visitor, "files", f"spaces/{space_id}/search", name=words, limit=FOUND_MAX) if words else []
    except Refused as refused:
        if refused.code != "invalid":
            raise
        is_vague = True  # neither a letter nor a digit
    template = "_hits.html" if "HX-Request" in request.headers else "search.html"
    return portal.show(template, visitor, request, space=space, hits=found, words=words, is_vague=is_vague, most=FOUND_MAX)


@ROUTES.raw("GET", "/files/spaces/{space_id}/trash")
@page
async def show_trash(request: Request, visitor: Visitor) -> web.StreamResponse:
    portal, space_id, after = request[PORTAL], id_in(request, "space_id"), request.query.get("after", "")
    paging: dict[str, str | int] = {"limit": SHOWN, **({"after": after} if after else {})}
    space, items = await asyncio.gather(
        portal.get(visitor, "files", f"spaces/{space_id}"),
        portal.calling.panel("files", portal.get(visitor, "files", f"spaces/{space_id}/trash", **paging)),
    )
    return portal.show("trash.html", visitor, request, space=space, items=items)
