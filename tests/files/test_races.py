"""What happens at once, and what happens while the store is away: no circle, no two of one name, no upload that is lost for it."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from parvis_files.actions import trash
from parvis_files.blobs import Away
from parvis_files.blobs.folder import FolderStore

from .conftest import Office


async def test_two_folders_that_move_into_each_other_make_no_circle(office: Office) -> None:
    root = office.root("ada")
    for number in range(3):
        one, other = await office.folder(root, f"a{number}", by="ada"), await office.folder(root, f"b{number}", by="ada")
        moves = [
            office.call("PATCH", f"items/{what}", by="ada", body={"parent_id": into}, If_Match='"1"')
            for what, into in ((one, other), (other, one))
        ]
        assert sorted(status for status, _, _ in await asyncio.gather(*moves)) == [200, 409]
    assert len(await office.names(root, by="ada")) == 3


async def test_twenty_folders_of_one_name_get_twenty_names_or_nineteen_refusals(office: Office) -> None:
    path = f"folders/{office.root('ada')}/folders"
    refused = [office.call("POST", path, by="ada", body={"name": "one"}) for _ in range(20)]
    assert Counter(status for status, _, _ in await asyncio.gather(*refused)) == {201: 1, 409: 19}
    numbered = [office.call("POST", path, by="ada", body={"name": "many", "conflict": "rename"}) for _ in range(30)]
    names = {answer["name"] for _, answer, _ in await asyncio.gather(*numbered)}
    assert len(names) == 30 and {"many", "many (2)", "many (21)"} <= names


async def test_who_trashes_and_who_changes_at_once_are_one_after_the_other(office: Office) -> None:
    done = await office.store(office.root("ada"), "a.txt", b"1", by="ada")
    acts = [office.call("DELETE", f"items/{done['file_id']}", by="ada") for _ in range(5)]
    assert Counter(status for status, _, _ in await asyncio.gather(*acts)) == {204: 1, 404: 4}
    assert (await office.said()).count("file.trashed.v1") == 1
    restored = [office.call("POST", f"items/{done['file_id']}/restore", by="ada") for _ in range(5)]
    assert Counter(status for status, _, _ in await asyncio.gather(*restored)) == {200: 1, 404: 4}


async def test_every_change_of_a_space_has_a_number_of_its_own(office: Office) -> None:
    root = office.root("ada")
    await asyncio.gather(*(office.folder(root, f"folder {number}", by="ada") for number in range(20)))
    numbers = [row[0] for row in await office.rows("SELECT change_id FROM files.item WHERE parent_id IS NOT NULL")]
    assert len(set(numbers)) == 20
    assert (await office.get("spaces/personal", by="ada"))["change_id"] >= max(numbers)


async def away(*_: Any, **__: Any) -> Any:
    raise Away("no answer")


async def test_while_the_store_is_away_who_asks_is_told_to_come_back_and_nothing_is_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = office.root("ada")
    _, upload, _ = await office.declare(root, "a.txt", b"1", by="ada")
    await office.send(upload["put"], b"1")
    body = {"name": "film.mp4", "size_bytes": 17 * 2**20}
    with monkeypatch.context() as broken:
        for name in ("look", "begin_multipart", "parts", "abort_multipart"):
            broken.setattr(FolderStore, name, away)
        for path, sent, key in ((f"uploads/{upload['id']}/complete", {}, "c"), (f"folders/{root}/uploads", body, "d")):
            status, problem, headers = await office.call("POST", path, by="ada", body=sent, Idempotency_Key=key)
            assert (status, problem["type"]) == (503, "urn:parvis:problem:unavailable") and int(headers["Retry-After"])
        office.later(days=2)
        await office.drive()
        assert (await office.get(f"uploads/{upload['id']}", by="ada"))["state"] == "uploading", "it waits for the store"
    office.later(minutes=1)
    await office.drive()
    assert (await office.get(f"uploads/{upload['id']}", by="ada"))["state"] == "committed"
    assert await office.quota("ada") == (1, 0), "the other one was given up with its reservation"


async def test_what_is_being_purged_is_gone_from_sight_at_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash, "PURGE_PIECE", 1)
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    done = [await office.store(folder, f"{number}.txt", b"1", by="ada") for number in range(3)]
    await office.call("DELETE", f"items/{folder}", by="ada")
    assert (await office.call("POST", f"items/{folder}/purge", by="ada"))[0] == 204
    left = await office.rows("SELECT id FROM files.item WHERE parent_id IS NOT NULL")
    assert len(left) == 3
    for one in (folder, *(upload["file_id"] for upload in done)):
        assert (await office.call("GET", f"items/{one}", by="ada"))[0] == 404
    assert (await office.call("POST", f"items/{folder}/restore", by="ada"))[0] == 404
