"""The tree through its doors: folders, names, moves, versions, the trash, what is found and what has changed."""

import hashlib
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from parvis_files import actions
from parvis_files.actions import trash
from parvis_files.api.common import TERMS
from parvis_files.rules import DEPTH_MAX, Item
from parvis_kit.testing.databases import queries

from .conftest import Office

NOBODY = "019353a0-33f4-7e27-9b22-7c3d5e6f7081"


async def change(office: Office, item: str, by: str = "ada", **values: Any) -> Any:
    revision = (await office.get(f"items/{item}", by=by))["revision"]
    return await office.call("PATCH", f"items/{item}", by=by, body=values, If_Match=f'"{revision}"')


async def test_folders_come_first_then_names_whatever_their_accents_by_pages(office: Office) -> None:
    root = office.root("ada")
    for name in ("zèbre", "Écoles", "archives"):
        await office.folder(root, name, by="ada")
    for name in ("b.txt", "À lire.txt", "c.txt"):
        await office.store(root, name, b"1", by="ada")
    seen, after = [], ""
    while True:
        page = await office.get(f"folders/{root}/items?limit=2{after}", by="ada")
        seen += [one["name"] for one in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == ["archives", "Écoles", "zèbre", "À lire.txt", "b.txt", "c.txt"]
    assert (await office.call("GET", f"folders/{root}/items?after=abc", by="ada"))[0] == 422


async def test_a_list_costs_the_same_with_one_item_and_with_a_hundred(office: Office) -> None:
    root, counts = office.root("ada"), []
    for names in (1, 99):
        for number in range(names):
            await office.folder(root, f"folder {names} {number}", by="ada")
        with queries(office.files.database) as sent:
            await office.get(f"folders/{root}/items?limit=200", by="ada")
        counts.append(len(sent))
    assert counts == [3, 3], "who asks, what they may, what is there"


async def test_renamed_it_is_found_under_its_new_name_alone_and_it_is_told(office: Office) -> None:
    done = await office.store(office.root("ada"), "draft.txt", b"1", by="ada")
    path = f"items/{done['file_id']}"
    assert (await office.call("PATCH", path, by="ada", body={"name": "final.txt"}))[0] == 428
    assert (await office.call("PATCH", path, by="ada", body={"name": "final.txt"}, If_Match='"7"'))[0] == 412
    status, item, headers = await change(office, done["file_id"], name="final.txt")
    assert (status, item["name"], headers["ETag"]) == (200, "final.txt", '"2"') and (await office.said())[-1] == "file.renamed.v1"
    found = [
        [hit["item"]["name"] for hit in await office.get(f"spaces/{item['space_id']}/search?name={word}", by="ada")]
        for word in ("draft", "fin")
    ]
    assert found == [[], ["final.txt"]]


@pytest.mark.parametrize(
    "values", [{"name": "taken"}, {"name": "a/b"}, {"parent_id": "itself"}, {"parent_id": "below"}, {"parent_id": "eve"}]
)
async def test_a_change_that_cannot_be_says_why_and_changes_nothing(office: Office, values: dict[str, str]) -> None:
    root = office.root("ada")
    folder, _ = await office.folder(root, "folder", by="ada"), await office.folder(root, "taken", by="ada")
    below = await office.folder(folder, "below", by="ada")
    places = {"itself": folder, "below": below, "eve": office.root("eve")}
    before = await office.said()
    status, problem, _ = await change(office, folder, **{name: places.get(value, value) for name, value in values.items()})
    assert status in (404, 409, 422) and problem["detail"]
    assert await office.names(root, by="ada") == ["folder", "taken"] and await office.said() == before


async def test_moved_with_all_that_is_in_it(office: Office) -> None:
    root = office.root("ada")
    here, there = await office.folder(root, "here", by="ada"), await office.folder(root, "there", by="ada")
    box = await office.folder(here, "box", by="ada")
    done = await office.store(box, "a.txt", b"1", by="ada")
    assert (await change(office, box, parent_id=there))[0] == 200
    assert (await office.names(here, by="ada"), await office.names(there, by="ada")) == ([], ["box"])
    assert await office.content(done["file_id"], by="ada") == b"1" and (await office.said())[-1] == "file.moved.v1"


async def test_nothing_moves_into_another_space(office: Office) -> None:
    done = await office.store(office.root("ada"), "a.txt", b"1", by="ada")
    space = await office.space("Crise", by="ada")
    status, problem, _ = await change(office, done["file_id"], parent_id=space["root_id"])
    assert status == 409 and "another space" in problem["detail"]


async def test_folders_do_not_lie_in_each_other_without_end(office: Office) -> None:
    deepest = office.root("ada")
    for number in range(DEPTH_MAX - 1):
        deepest = await office.folder(deepest, str(number), by="ada")
    assert (await office.call("POST", f"folders/{deepest}/folders", by="ada", body={"name": "more"}))[0] == 409
    tower = await office.folder(office.root("ada"), "tower", by="ada")
    assert (await change(office, tower, parent_id=deepest))[0] == 409


async def test_versions_are_kept_listed_read_and_made_current_again(office: Office) -> None:
    root = office.root("ada")
    first = await office.store(root, "a.txt", b"1", by="ada")
    file = first["file_id"]
    second = await office.store(root, "a.txt", b"22", by="ada", conflict="version")
    page = await office.get(f"files/{file}/versions", by="ada")
    assert [(one["number"], one["size_bytes"]) for one in page["items"]] == [(2, 2), (1, 1)] and page["current_id"] == second["version_id"]
    assert await office.content(file, by="ada", version=first["version_id"]) == b"1"
    item = await office.post(f"files/{file}/versions/{first['version_id']}/restore", by="ada")
    assert item["size_bytes"] == 1 and await office.content(file, by="ada") == b"1" and await office.quota("ada") == (3, 0)
    assert (await office.call("DELETE", f"files/{file}/versions/{first['version_id']}", by="ada"))[0] == 409, "it is the one that is read"
    assert (await office.call("DELETE", f"files/{file}/versions/{second['version_id']}", by="ada"))[0] == 204
    assert await office.quota("ada") == (1, 0) and (await office.said())[-1] == "file.purged.v1"
    third = await office.store(root, "a.txt", b"333", by="ada", conflict="version")
    assert (await office.get(f"files/{file}/versions", by="ada"))["current_id"] == third["version_id"]


async def test_the_oldest_version_goes_when_there_are_too_many(office: Office) -> None:
    object.__setattr__(office.files.handles[TERMS], "versions_max", 2)
    root = office.root("ada")
    for content in (b"1", b"22", b"333", b"4444"):
        done = await office.store(root, "a.txt", content, by="ada", conflict="version")
    page = await office.get(f"files/{done['file_id']}/versions", by="ada")
    assert [one["number"] for one in page["items"]] == [4, 3] and await office.quota("ada") == (7, 0)
    assert (await office.said()).count("file.purged.v1") == 2


async def test_a_file_of_its_own_gets_a_version_wherever_it_lies_by_then(office: Office) -> None:
    root = office.root("ada")
    done = await office.store(root, "a.txt", b"1", by="ada")
    body = {"size_bytes": 2, "sha256": hashlib.sha256(b"22").hexdigest()}
    upload = await office.post(f"files/{done['file_id']}/uploads", body, by="ada")
    await office.send(upload["put"], b"22")
    await change(office, done["file_id"], name="b.txt", parent_id=await office.folder(root, "elsewhere", by="ada"))
    assert (await office.post(f"uploads/{upload['id']}/complete", by="ada"))["file_id"] == done["file_id"]
    assert await office.content(done["file_id"], by="ada") == b"22"


async def test_a_folder_goes_to_the_trash_with_all_that_is_in_it_and_comes_back_as_it_was(office: Office) -> None:
    root = office.root("ada")
    folder = await office.folder(root, "folder", by="ada")
    done = await office.store(folder, "a.txt", b"1", by="ada")
    other = await office.store(folder, "b.txt", b"2", by="ada")
    assert (await office.call("DELETE", f"items/{other['file_id']}", by="ada"))[0] == 204
    assert (await office.call("DELETE", f"items/{folder}", by="ada"))[0] == 204
    assert await office.names(root, by="ada") == [] and (await office.said())[-1] == "file.trashed.v1"
    assert (await office.call("GET", f"files/{done['file_id']}/download", by="ada"))[0] == 404
    space = office.homes["ada"]["id"]
    assert await office.get(f"spaces/{space}/search?name=a", by="ada") == []
    trash = (await office.get(f"spaces/{space}/trash", by="ada"))["items"]
    assert {one["name"] for one in trash} == {"folder", "b.txt"}
    assert (await office.call("POST", f"items/{done['file_id']}/restore", by="ada"))[0] == 409, "its folder is in the trash, not it"
    await office.folder(root, "folder", by="ada")
    restored = await office.post(f"items/{folder}/restore", by="ada")
    assert restored["name"] == "folder (2)" and await office.names(folder, by="ada") == ["a.txt"], "b.txt was trashed by itself"
    assert await office.content(done["file_id"], by="ada") == b"1" and (await office.said())[-1] == "file.restored.v1"


async def test_what_is_restored_after_its_folder_lies_in_the_root(office: Office) -> None:
    root = office.root("ada")
    folder = await office.folder(root, "folder", by="ada")
    done = await office.store(folder, "a.txt", b"1", by="ada")
    for one in (done["file_id"], folder):
        await office.call("DELETE", f"items/{one}", by="ada")
    restored = await office.post(f"items/{done['file_id']}/restore", by="ada")
    assert restored["parent_id"] == root


async def test_purged_it_is_gone_with_every_version_and_its_place_is_free(office: Office) -> None:
    root = office.root("ada")
    folder = await office.folder(root, "folder", by="ada")
    for content in (b"1", b"22"):
        done = await office.store(folder, "a.txt", content, by="ada", conflict="version")
    assert (await office.call("POST", f"items/{folder}/purge", by="ada"))[0] == 404, "not in the trash"
    await office.call("DELETE", f"items/{folder}", by="ada")
    assert (await office.call("POST", f"items/{folder}/purge", by="ada"))[0] == 204
    assert await office.quota("ada") == (0, 0) and (await office.said()).count("file.purged.v1") == 2
    assert {(await office.call("GET", f"items/{one}", by="ada"))[0] for one in (folder, done["file_id"])} == {404}


async def test_a_large_folder_is_purged_by_and_by(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash, "PURGE_PIECE", 2)
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    for number in range(5):
        await office.store(folder, f"{number}.txt", b"1", by="ada")
    await office.call("DELETE", f"items/{folder}", by="ada")
    assert (await office.call("POST", f"items/{folder}/purge", by="ada"))[0] == 204
    assert (await office.get(f"spaces/{office.homes['ada']['id']}/trash", by="ada"))["items"] == []
    await actions.go_on_purging(office.files.database, office.files.handles[TERMS].limits, office.clock)
    assert await office.rows("SELECT id FROM files.item WHERE parent_id IS NOT NULL") == [] and await office.quota("ada") == (0, 0)


async def test_a_folder_that_cannot_be_purged_keeps_no_other_one_here(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash, "PURGE_PIECE", 1)
    folders = []
    for name in ("one", "two"):
        folders.append(folder := await office.folder(office.root("ada"), name, by="ada"))
        for number in range(3):
            await office.store(folder, f"{number}.txt", b"1", by="ada")
        await office.call("DELETE", f"items/{folder}", by="ada")
        assert (await office.call("POST", f"items/{folder}/purge", by="ada"))[0] == 204
    purge, bad = trash._purge_piece, min(map(UUID, folders))

    async def fail_for_one(tx: Any, top: Item, limits: Any, now: Any) -> bool:
        if top.id == bad:
            raise RuntimeError("a row that nobody expected")
        return await purge(tx, top, limits, now)

    async def left() -> int:
        return len(await office.rows("SELECT id FROM files.item WHERE parent_id IS NOT NULL"))

    [sweep] = [one for one in office.files.sweeps if one.name == "purges"]
    monkeypatch.setattr(trash, "_purge_piece", fail_for_one)
    await sweep.action()
    assert await left() == 3, "the first folder, and two of its files"
    monkeypatch.setattr(trash, "_purge_piece", purge)
    await sweep.action()
    assert await left() == 0


async def test_the_root_of_a_space_stays_where_it_is(office: Office) -> None:
    root = office.root("ada")
    assert (await office.call("DELETE", f"items/{root}", by="ada"))[0] == 409
    assert (await change(office, root, name="other"))[0] == 409


async def test_a_search_finds_the_beginnings_of_words_without_accents(office: Office) -> None:
    root, space = office.root("ada"), office.homes["ada"]["id"]
    await office.store(root, "Procès-verbal de l'été 2026.pdf", b"1", by="ada")
    await office.folder(root, "ete", by="ada")

    async def found(words: str) -> set[str]:
        return {hit["item"]["name"] for hit in await office.get(f"spaces/{space}/search?name={words}", by="ada")}

    assert await found("ETE") == {"Procès-verbal de l'été 2026.pdf", "ete"}
    assert await found("proces 2026") == {"Procès-verbal de l'été 2026.pdf"} and await found("verbaux") == await found("erbal") == set()
    assert (await office.call("GET", f"spaces/{space}/search?name=%21", by="ada"))[0] == 422


async def test_a_ligature_is_found_as_it_is_typed(office: Office) -> None:
    """Nobody has a key for œ."""
    root, space = office.root("ada"), office.homes["ada"]["id"]
    for name in ("Œuvres.odt", "oeuvre 2.odt", "Ouvrages.odt", "Næstved.odt", "Łukasz.odt", "Straße.odt"):
        await office.store(root, name, b"1", by="ada")

    async def found(words: str) -> set[str]:
        return {hit["item"]["name"] for hit in await office.get(f"spaces/{space}/search?name={words}", by="ada")}

    assert await found("oeuvre") == await found("ŒUVRE") == {"Œuvres.odt", "oeuvre 2.odt"} and await found("naestved") == {"Næstved.odt"}
    assert await found("lukasz") == {"Łukasz.odt"} and await found("strasse") == {"Straße.odt"}


async def test_a_search_for_several_words_begins_with_the_rarest_whatever_their_length(office: Office) -> None:
    root, space, begun = office.root("ada"), office.homes["ada"]["id"], list[str]()
    for name in ("rapport 1", "rapport 2", "rapport v2"):
        await office.folder(root, name, by="ada")

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "ORDER BY item_word" in statement.replace("files.", ""):
            begun.append(next(str(one) for one in parameters if one in ("rapport", b"rapport", "v2", b"v2")))

    engine = office.files.database.read_engine
    sa.event.listen(engine, "before_cursor_execute", note)
    found = await office.get(f"spaces/{space}/search?name=rapport+v2", by="ada")
    sa.event.remove(engine, "before_cursor_execute", note)
    assert [hit["item"]["name"] for hit in found] == ["rapport v2"] and len(begun) == 1 and "v2" in begun[0], begun


async def test_what_is_closed_to_the_asker_does_not_hide_what_is_found_behind_it(office: Office) -> None:
    space = await office.space("Cabinet", by="ada")
    closed = await office.folder(space["root_id"], "closed", by="ada")
    for number in range(9):
        await office.folder(closed, f"rapport {number}", by="ada")
    assert (await change(office, closed, restricted=True))[0] == 200
    await office.share(space["root_id"], "agent", "bob", "reader", by="ada")
    visible = await office.folder(space["root_id"], "rapport visible", by="ada")

    async def found(by: str, limit: int) -> list[str]:
        return [hit["item"]["id"] for hit in await office.get(f"spaces/{space['id']}/search?name=rapport&limit={limit}", by=by)]

    assert await found("bob", 1) == [visible] and await found("bob", 2) == [visible] and len(await found("ada", 2)) == 2


async def test_the_changes_of_a_space_come_in_order_once_and_say_what_is_gone(office: Office) -> None:
    root, space = office.root("ada"), office.homes["ada"]["id"]
    folder = await office.folder(root, "folder", by="ada")
    done = await office.store(folder, "a.txt", b"1", by="ada")
    first = await office.get(f"spaces/{space}/changes", by="ada")
    assert [one["item_id"] for one in first["changes"]] == [root, folder, done["file_id"]] and not first["more"]
    since = first["reaches"]
    await change(office, done["file_id"], name="b.txt")
    await office.call("DELETE", f"items/{folder}", by="ada")
    page = await office.get(f"spaces/{space}/changes?since={since}", by="ada")
    assert [(one["item_id"], one["in_trash"]) for one in page["changes"]] == [(done["file_id"], True), (folder, True)]
    await office.call("POST", f"items/{folder}/purge", by="ada")
    gone, reached = [], page["reaches"]
    while True:
        page = await office.get(f"spaces/{space}/changes?since={reached}&limit=1", by="ada")
        gone += [(one["item_id"], one["item"]) for one in page["changes"]]
        reached = page["reaches"]
        if not page["more"]:
            break
    assert sorted(gone) == sorted([(folder, None), (done["file_id"], None)])
    assert (await office.get(f"spaces/{space}/changes?since={reached}", by="ada"))["changes"] == []
