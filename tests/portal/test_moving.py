"""A folder or file is moved within its space by walking to where it shall lie; a folder is restricted, and opened again."""

import re
from html import unescape
from typing import Any
from uuid import uuid4

from parvis_kit.testing.waiting import until

from .conftest import Visitor
from .test_files import details, own_folder, send

HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def form_to(visitor: Visitor, act: str) -> dict[str, str]:
    """What the page's form of this act carries."""
    return dict(HIDDEN.findall(visitor.text.partition(f'/{act}"')[2].partition("</form>")[0]))


async def folder_in(visitor: Visitor, way: str, name: str) -> str:
    """Made in the folder of this page; its own page."""
    await visitor.see(way)
    await visitor.post(f"{way}/folders", {"name": name})
    found = re.search(rf'href="(/files/folders/[0-9a-f-]+)">{re.escape(name)}<', visitor.text)
    assert visitor.status == 200 and found, visitor.text
    return found[1]


def id_in(way: str) -> str:
    return way.rpartition("/")[2]


async def test_a_file_is_moved_by_walking_to_where_it_shall_lie(visit: Any) -> None:
    visitor = await visit("agent")
    root, mark = await own_folder(visitor), uuid4().hex[:8]
    outer = await folder_in(visitor, root, f"Dehors {mark}")
    inner = await folder_in(visitor, outer, f"Dedans & {mark}".replace("& ", ""))
    await visitor.see(root)
    await send(visitor, root, f"{mark}.txt", b"ici")
    item = details(visitor, f"{mark}.txt")
    await visitor.see(item)
    await visitor.see(visitor.link("Déplacer…"))
    assert "C’est ici qu’il se trouve" in visitor.text and f"Dehors {mark}</a>" in visitor.text
    await visitor.see(visitor.link(f"Dehors {mark}"))
    await visitor.see(visitor.link(f"Dedans {mark}"))
    assert f"Déplacer dans « Dedans {mark} »" in unescape(visitor.text) and "Aucun dossier ici" in visitor.text
    await visitor.post(f"{item}/move", form_to(visitor, "move"))
    assert visitor.url.partition("?")[0].endswith(inner) and 'id="done"' in visitor.text and f"{mark}.txt" in visitor.text
    await visitor.see(root)
    assert f"{mark}.txt" not in visitor.text
    await visitor.see(f"{item}/move")
    await visitor.see(visitor.link("Dossier parent"))
    await visitor.post(f"{item}/move", form_to(visitor, "move"))
    assert visitor.url.partition("?")[0].endswith(outer) and f"{mark}.txt" in visitor.text


async def test_a_folder_cannot_be_moved_into_itself_nor_onto_a_name_that_is_taken(visit: Any) -> None:
    visitor = await visit("agent")
    root, mark = await own_folder(visitor), uuid4().hex[:8]
    outer = await folder_in(visitor, root, f"Même {mark}")
    inner = await folder_in(visitor, outer, f"Même {mark}")
    way = f"/files/items/{id_in(outer)}/move"
    await visitor.see(way)
    assert f"to={id_in(outer)}" not in visitor.text, "it is not offered as a place for itself"
    await visitor.see(f"{way}?to={id_in(inner)}")
    await visitor.post(way, form_to(visitor, "move"))
    assert visitor.status == 409 and 'id="mistake"' in visitor.text
    way = f"/files/items/{id_in(inner)}/move"
    await visitor.see(f"{way}?to={id_in(root)}")
    await visitor.post(way, form_to(visitor, "move"))
    assert visitor.status == 409 and 'id="mistake"' in visitor.text
    await visitor.see(outer)
    assert f"Même {mark}" in visitor.text, "it lies where it lay"


async def test_what_was_changed_meanwhile_is_not_moved_and_what_one_may_not_change_is_no_page(visit: Any) -> None:
    visitor, stranger = await visit("agent"), await visit("english")
    root, mark = await own_folder(visitor), uuid4().hex[:8]
    one, to = await folder_in(visitor, root, f"Un {mark}"), await folder_in(visitor, root, f"Deux {mark}")
    way = f"/files/items/{id_in(one)}"
    await visitor.see(f"{way}/move?to={id_in(to)}")
    form = form_to(visitor, "move")
    await visitor.see(way)
    await visitor.post(f"{way}/rename", form_to(visitor, "rename") | {"name": f"Trois {mark}"})
    await visitor.post(f"{way}/move", form)
    assert visitor.status == 412, visitor.text
    await visitor.post(f"{way}/move", {"to": "nowhere", "revision": "1"})
    assert visitor.status == 404
    await visitor.post(f"{way}/move", {"to": id_in(to), "revision": ""})
    assert visitor.status == 422
    for where in (f"/files/items/{id_in(root)}/move", f"/files/items/{uuid4()}/move", f"{way}/move?to={uuid4()}", f"{way}/move?to=x"):
        await visitor.see(where)
        assert visitor.status == 404, where
    await stranger.see(f"{way}/move")
    assert stranger.status == 404


async def test_a_restricted_folder_is_closed_to_those_above_and_open_again_when_one_says_so(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    root, mark = await own_folder(visitor), uuid4().hex[:8]
    outer = await folder_in(visitor, root, f"Partagé {mark}")
    inner = await folder_in(visitor, outer, f"Réservé {mark}")
    await visitor.see(f"/files/items/{id_in(outer)}")
    share = {"kind": "agent", "email": visitor.suite.person("colleague")["email"], "role": "reader"}
    await visitor.post(f"/files/items/{id_in(outer)}/shares", share)
    assert visitor.status == 200

    async def sees(status: int) -> None:
        async def does() -> bool:
            await colleague.see(inner)
            return colleague.status == status

        await until(does, f"the colleague gets {status}", 30)

    await sees(200)
    way = f"/files/items/{id_in(inner)}"
    await visitor.see(way)
    await visitor.post(f"{way}/restrict", form_to(visitor, "restrict"))
    assert 'id="done"' in visitor.text and "Ce dossier est réservé" in visitor.text
    await sees(404)
    await visitor.post(f"{way}/restrict", form_to(visitor, "restrict"))
    assert "est réservé" not in visitor.text.partition('id="change"')[2] and "voient aussi celui-ci" in visitor.text
    await sees(200)
