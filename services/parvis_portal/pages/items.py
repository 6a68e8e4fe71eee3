"""One folder or file: its versions, who shares it, and what may be done with it."""

import asyncio
from typing import Any

from aiohttp import web
from parvis_kit.http import Request, Routes

from parvis_portal.calling import Panel
from parvis_portal.looks import Mistake
from parvis_portal.pages.common import id_in, id_of
from parvis_portal.pages.files import is_root, names_of
from parvis_portal.portal import PORTAL, Form, Portal, Wrong, act, page, see
from parvis_portal.visitors import Visitor

ROUTES = Routes("portal", "1")
ROLES = ("reader", "editor", "manager", "depositor")
TEAMS_MAX = 100
"""The teams that a form offers; a ministry with more names them by their page."""
PEOPLE_FOUND_MAX = 10
FIND_MIN = 2
"""Letters of a colleague's address before anybody is looked for."""


@ROUTES.raw("GET", "/files/items/{item_id}")
@page
async def show_item(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await item(request, visitor)


async def item(request: Request, visitor: Visitor, status: int = 200, mistake: Mistake | None = None, **more: Any) -> web.StreamResponse:
    portal, item_id = request[PORTAL], id_in(request, "item_id")
    seen = await portal.get(visitor, "files", f"items/{item_id}")
    may_share = "share" in seen["actions"] and not seen["trashed_at"]
    space, versions, shares, teams = await asyncio.gather(
        portal.calling.panel("files", portal.get(visitor, "files", f"spaces/{seen['space_id']}")),
        portal.calling.panel("files", versions_of(portal, visitor, seen)),
        portal.calling.panel("files", shares_of(portal, visitor, item_id, may_share)),
        portal.calling.panel("directory", teams_of(portal, visitor, may_share)),
    )
    names = {one["id"]: one["name"] for one in (teams.value or [])}
    is_walled = mistake is not None and mistake.code == "holds-restricted" and await manages(portal, visitor, space)
    return portal.show(
        "item.html", visitor, request, item=seen, is_root=is_root(seen, space), space=space, versions=versions, shares=shares, teams=teams,
        team_names=names, may_share=may_share, roles=ROLES, status=status, plain_max=portal.settings.plain_upload_bytes_max,
        mistake=mistake, is_walled=is_walled, **more,
    )  # fmt: skip


async def manages(portal: Portal, visitor: Visitor, space: Panel[Any]) -> bool:
    """Whether the visitor may end what is in a space, even what is closed to them."""
    if not space.value:
        return False
    root = await portal.calling.panel("files", portal.get(visitor, "files", f"items/{space.value['root_id']}"))
    return root.value is not None and "purge" in root.value["actions"]


async def versions_of(portal: Portal, visitor: Visitor, seen: Any) -> Any:
    if seen["kind"] != "file" or "read" not in seen["actions"] or seen["trashed_at"]:
        return None
    found = await portal.get(visitor, "files", f"files/{seen['id']}/versions", limit=100)
    await names_of(portal, visitor, [one["stored_by"] for one in found["items"]])
    return found


async def shares_of(portal: Portal, visitor: Visitor, item_id: str, may_share: bool) -> Any:
    if not may_share:
        return []
    found = await portal.get(visitor, "files", f"items/{item_id}/shares")
    await names_of(portal, visitor, [one["grantee_id"] for one in found if one["grantee_kind"] == "agent"])
    return found


async def teams_of(portal: Portal, visitor: Visitor, may_share: bool) -> Any:
    return (await portal.get(visitor, "directory", "teams", limit=TEAMS_MAX))["items"] if may_share else []


@ROUTES.raw("GET", "/people")
@page
async def find_people(request: Request, visitor: Visitor) -> web.StreamResponse:
    """Colleagues by the beginning of their address: what a field offers while one types."""
    portal, find = request[PORTAL], request.query.get("email", "").strip()[:254]
    found = await portal.get(visitor, "directory", "agents", find=find, limit=PEOPLE_FOUND_MAX) if len(find) >= FIND_MIN else {"items": []}
    return portal.show("_people.html", visitor, request, people=found["items"])


async def colleague(portal: Portal, visitor: Visitor, email: str) -> str:
    """The id of whoever has this address. Raises Wrong."""
    if not email:
        raise Wrong("email", "wrong.whom")
    found = await portal.get(visitor, "directory", "agents", find=email, limit=1)
    if not found["items"] or found["items"][0]["email"] != email.strip().casefold():
        raise Wrong("email", "wrong.nobody", email=email)
    one = found["items"][0]
    visitor.names[one["id"]] = f"{one['given_name']} {one['family_name']}"
    return str(one["id"])


@ROUTES.raw("POST", "/files/items/{item_id}/shares")
@act(item, "email")
async def share(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    portal, item_id = request[PORTAL], id_in(request, "item_id")
    kind, role = form.get("kind", "agent"), form.get("role", "")
    if role not in ROLES:
        raise Wrong("role", "wrong.role")
    if kind == "team" and not form.get("team"):
        raise Wrong("team", "wrong.team")
    grantee = form.get("team", "") if kind == "team" else await colleague(portal, visitor, form.get("email", "").strip())
    if kind != "team" and grantee == visitor.id:
        raise Wrong("email", "wrong.oneself")
    body = {"grantee_kind": "team" if kind == "team" else "agent", "grantee_id": grantee, "role": role}
    await portal.ask(visitor, "files", "POST", f"items/{item_id}/shares", body=body)
    return see(f"/files/items/{item_id}?done=shared")


@ROUTES.raw("POST", "/files/items/{item_id}/shares/{share_id}/revoke")
@act(item)
async def revoke(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    item_id, share_id = id_in(request, "item_id"), id_in(request, "share_id")
    await request[PORTAL].ask(visitor, "files", "DELETE", f"items/{item_id}/shares/{share_id}")
    return see(f"/files/items/{item_id}?done=unshared")


@ROUTES.raw("GET", "/files/items/{item_id}/download")
@page
async def download(request: Request, visitor: Visitor) -> web.StreamResponse:
    """An address that lives a minute, with the blob store's own headers: saved, never shown in our pages' origin."""
    item_id, version = id_in(request, "item_id"), request.query.get("version", "")
    way = f"files/{item_id}/versions/{id_of(version)}/download" if version else f"files/{item_id}/download"
    return see((await request[PORTAL].get(visitor, "files", way))["url"])


@ROUTES.raw("POST", "/files/items/{item_id}/rename")
@act(item, "name")
async def rename(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """What somebody else renamed meanwhile is not overwritten: the form says which revision it shows."""
    portal, item_id = request[PORTAL], id_in(request, "item_id")
    name = form.get("name", "").strip()
    if not name:
        raise Wrong("name", "wrong.name")
    await portal.ask(visitor, "files", "PATCH", f"items/{item_id}", body={"name": name}, headers=as_shown(form))
    return see(f"/files/items/{item_id}?done=renamed")


@ROUTES.raw("POST", "/files/items/{item_id}/restrict")
@act(item)
async def restrict(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """A folder is kept for those with whom it is shared itself, or is open again to those above."""
    item_id, is_restricted = id_in(request, "item_id"), form.get("restricted") == "1"
    await request[PORTAL].ask(visitor, "files", "PATCH", f"items/{item_id}", body={"restricted": is_restricted}, headers=as_shown(form))
    return see(f"/files/items/{item_id}?done={'restricted' if is_restricted else 'opened'}")


def as_shown(form: Form) -> dict[str, str]:
    """The revision that a form shows. Raises Wrong for one that shows none."""
    revision = form.get("revision", "")
    if not revision.isdecimal():
        raise Wrong("", "problem.precondition-failed")
    return {"If-Match": f'"{revision}"'}


def walls(form: Form) -> dict[str, str] | None:
    """Of folders in it that are closed to the visitor: only the button says so that comes with the refusal, and tells what it does."""
    return {"with_restricted": "true"} if "with_restricted" in form else None


@ROUTES.raw("POST", "/files/items/{item_id}/trash")
@act(item)
async def trash(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    portal, item_id = request[PORTAL], id_in(request, "item_id")
    seen = await portal.get(visitor, "files", f"items/{item_id}")
    await portal.ask(visitor, "files", "DELETE", f"items/{item_id}", query=walls(form))
    return see(f"/files/folders/{seen['parent_id']}?done=trashed" if seen["parent_id"] else "/files?done=trashed")


@ROUTES.raw("POST", "/files/items/{item_id}/restore")
@act(item)
async def restore(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    item_id = id_in(request, "item_id")
    await request[PORTAL].ask(visitor, "files", "POST", f"items/{item_id}/restore")
    return see(f"/files/items/{item_id}?done=restored")


@ROUTES.raw("POST", "/files/items/{item_id}/purge")
@act(item)
async def purge(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    portal, item_id = request[PORTAL], id_in(request, "item_id")
    seen = await portal.get(visitor, "files", f"items/{item_id}")
    await portal.ask(visitor, "files", "POST", f"items/{item_id}/purge", query=walls(form))
    return see(f"/files/spaces/{seen['space_id']}/trash?done=purged")


@ROUTES.raw("POST", "/files/items/{item_id}/versions/{version_id}/restore")
@act(item)
async def restore_version(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    item_id, version_id = id_in(request, "item_id"), id_in(request, "version_id")
    await request[PORTAL].ask(visitor, "files", "POST", f"files/{item_id}/versions/{version_id}/restore")
    return see(f"/files/items/{item_id}?done=version")
