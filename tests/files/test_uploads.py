"""Uploads by their doors: declared, sent, completed, read back; in parts, twice, too late, and refused."""

import asyncio
import hashlib
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from parvis_files.blobs.disk import crc64nvme
from parvis_files.rules.uploads import INTENT_LIFE, LEASE, PART_BYTES, SINGLE_BYTES_MAX
from parvis_files.store import item as item_table
from parvis_files.store import upload as upload_table
from parvis_kit.testing.databases import queries

from .conftest import MIB, Office

WHOLE = bytes(range(256)) * 4 * 1024 * 17 + b"the end"
PARTS = [WHOLE[at : at + PART_BYTES] for at in range(0, len(WHOLE), PART_BYTES)]
DIGEST = hashlib.sha256(WHOLE).hexdigest()


async def test_what_is_sent_can_be_read_back_and_it_is_told(office: Office) -> None:
    done = await office.store(office.root("ada"), "rapport.pdf", b"content", by="ada", media_type="application/pdf")
    assert await office.content(done["file_id"], by="ada") == b"content"
    assert await office.names(office.root("ada"), by="ada") == ["rapport.pdf"]
    assert await office.quota("ada") == (7, 0)
    assert (await office.said())[-1] == "file.stored.v1"


async def test_an_empty_file_is_a_file(office: Office) -> None:
    done = await office.store(office.root("ada"), "empty.txt", b"", by="ada", media_type="text/plain")
    assert await office.content(done["file_id"], by="ada") == b""


async def test_completed_twice_it_is_stored_once_and_answered_the_same(office: Office) -> None:
    done = await office.store(office.root("ada"), "a.txt", b"once", by="ada")
    again = [await office.call("POST", f"uploads/{done['id']}/complete", by="ada", body={}) for _ in range(2)]
    assert [(status, answer) for status, answer, _ in again] == [(200, done)] * 2
    twins = [office.call("POST", f"uploads/{done['id']}/complete", by="ada", body={}) for _ in range(10)]
    assert {status for status, _, _ in await asyncio.gather(*twins)} == {200}
    assert (await office.said()).count("file.stored.v1") == 1 and await office.quota("ada") == (4, 0)


async def test_racing_completions_store_once(office: Office) -> None:
    _, upload, _ = await office.declare(office.root("ada"), "a.txt", b"once", by="ada")
    await office.send(upload["put"], b"once")
    twins = [office.call("POST", f"uploads/{upload['id']}/complete", by="ada", body={}) for _ in range(10)]
    assert [status for status, _, _ in await asyncio.gather(*twins)] == [200] * 10
    assert (await office.said()).count("file.stored.v1") == 1 and await office.names(office.root("ada"), by="ada") == ["a.txt"]


async def test_declared_twice_under_one_key_it_is_one_upload_with_a_new_address(office: Office) -> None:
    body = {"name": "a.txt", "size_bytes": 4, "sha256": hashlib.sha256(b"once").hexdigest()}
    path = f"folders/{office.root('ada')}/uploads"
    first = await office.post(path, body, by="ada", Idempotency_Key="k")
    office.later(5)
    second = await office.post(path, body, by="ada", Idempotency_Key="k")
    assert first["id"] == second["id"] and first["put"]["url"] != second["put"]["url"]
    assert await office.quota("ada") == (0, 4)
    status, problem, _ = await office.call("POST", path, by="ada", body=body | {"name": "b.txt"}, Idempotency_Key="k")
    assert (status, problem["type"]) == (409, "urn:parvis:problem:key-reused")


async def test_completed_before_it_was_sent_it_is_told_what_to_do(office: Office) -> None:
    _, upload, _ = await office.declare(office.root("ada"), "a.txt", b"later", by="ada")
    status, problem, _ = await office.call("POST", f"uploads/{upload['id']}/complete", by="ada", body={})
    assert status == 409 and "send all of it" in problem["detail"]
    assert await office.send(upload["put"], b"wrong") == 400 and await office.send(upload["put"], b"later") == 200
    assert (await office.post(f"uploads/{upload['id']}/complete", by="ada"))["state"] == "committed"


async def parts_of(office: Office, **values: Any) -> dict[str, Any]:
    """A declared upload of WHOLE."""
    body = {"name": "film.mp4", "size_bytes": len(WHOLE), "media_type": "video/mp4", **values}
    upload: dict[str, Any] = await office.post(f"folders/{office.root('ada')}/uploads", body, by="ada")
    assert upload["put"] is None and (upload["parts"], upload["part_bytes"]) == (len(PARTS), PART_BYTES)
    return upload


async def send_parts(office: Office, upload: dict[str, Any], numbers: list[int]) -> Any:
    asked = {"parts": [{"number": number, "crc64nvme": crc64nvme(PARTS[number - 1])} for number in numbers]}
    answer = await office.post(f"uploads/{upload['id']}/parts", asked, by="ada")
    for one in answer["parts"]:
        assert await office.send(one["address"], PARTS[one["number"] - 1]) == 200
    return answer


async def test_in_parts_a_break_costs_what_was_on_its_way(office: Office) -> None:
    upload = await parts_of(office)
    await send_parts(office, upload, [1, 3])
    status, problem, _ = await office.call("POST", f"uploads/{upload['id']}/complete", by="ada", body={})
    assert status == 409 and "missing" in problem["detail"]
    stored = (await office.post(f"uploads/{upload['id']}/parts", {"parts": []}, by="ada"))["stored"]
    assert [(one["number"], one["size_bytes"]) for one in stored] == [(1, PART_BYTES), (3, len(PARTS[2]))]
    await send_parts(office, upload, [2])
    done = await office.post(f"uploads/{upload['id']}/complete", by="ada")
    assert done["state"] == "committed" and await office.content(done["file_id"], by="ada") == WHOLE


async def test_a_digest_that_was_declared_for_parts_is_checked_before_anybody_reads(office: Office) -> None:
    upload = await parts_of(office, sha256=DIGEST)
    await send_parts(office, upload, [1, 2, 3])
    status, answer, _ = await office.call("POST", f"uploads/{upload['id']}/complete", by="ada", body={})
    assert (status, answer["state"]) == (202, "received") and await office.names(office.root("ada"), by="ada") == []
    await office.drive()
    status, done, _ = await office.call("POST", f"uploads/{upload['id']}/complete", by="ada", body={})
    assert (status, done["state"], done["sha256"]) == (200, "committed", DIGEST)
    assert await office.content(done["file_id"], by="ada") == WHOLE


async def test_another_digest_than_declared_is_rejected_and_its_place_given_back(office: Office) -> None:
    upload = await parts_of(office, sha256="0" * 64)
    await send_parts(office, upload, [1, 2, 3])
    await office.post(f"uploads/{upload['id']}/complete", by="ada")
    assert (await office.quota("ada"))[1] == len(WHOLE)
    await office.drive()
    status, problem, _ = await office.call("POST", f"uploads/{upload['id']}/complete", by="ada", body={})
    assert status == 409 and "checksum" in problem["detail"]
    assert await office.quota("ada") == (0, 0) and (await office.said())[-1] == "upload.rejected.v1"


async def test_a_part_of_another_content_is_refused_by_the_store_and_sent_again(office: Office) -> None:
    upload = await parts_of(office)
    asked = {"parts": [{"number": 1, "crc64nvme": crc64nvme(PARTS[0])}]}
    address = (await office.post(f"uploads/{upload['id']}/parts", asked, by="ada"))["parts"][0]["address"]
    assert await office.send(address, b"x" + PARTS[0][1:]) == 400
    await send_parts(office, upload, [1, 2, 3])
    assert (await office.post(f"uploads/{upload['id']}/complete", by="ada"))["state"] == "committed"


@pytest.mark.parametrize("number", [0, 4, 10_001])
async def test_a_part_that_there_is_not_is_refused(office: Office, number: int) -> None:
    upload = await parts_of(office)
    asked = {"parts": [{"number": number, "crc64nvme": crc64nvme(b"")}]}
    assert (await office.call("POST", f"uploads/{upload['id']}/parts", by="ada", body=asked))[0] == 422


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"name": ""}, 422),
        ({"name": ".."}, 422),
        ({"name": "../up"}, 422),
        ({"name": "..%2fup"}, 422),
        ({"name": "%252e%252e%252f"}, 422),
        ({"name": "a\\b"}, 422),
        ({"name": "a\u0000b"}, 422),
        ({"name": "a\u0007b"}, 422),
        ({"name": "gpj.\u202eexe"}, 422),
        ({"name": "\u00ad"}, 422),
        ({"name": "\u3164\u2800\u200d"}, 422),
        ({"name": "é" * 128}, 422),
        ({"name": "con.txt"}, 422),
        ({"name": "ends."}, 422),
        ({"name": " begins"}, 422),
        ({"size_bytes": -1}, 422),
        ({"size_bytes": 30 * MIB + 1}, 422),
        ({"sha256": None}, 422),
        ({"sha256": "abc"}, 422),
        ({"media_type": "no type"}, 422),
        ({"media_type": "text/html\r\nX-Evil: 1"}, 422),
        ({"conflict": "overwrite"}, 422),
        ({"surprise": 1}, 422),
    ],
)
async def test_what_would_hurt_is_refused_with_a_reason_and_reserves_nothing(office: Office, values: Any, status: int) -> None:
    before = await office.said()
    got, problem, _ = await office.declare(office.root("ada"), **{"name": "a.txt", "content": b"1", "by": "ada"} | values)
    assert got == status and (problem.get("detail") or problem["errors"])
    assert await office.quota("ada") == (0, 0) and await office.said() == before


@pytest.mark.parametrize(
    "name",
    [
        "a:b.txt",
        "what?.txt",
        "a|b",
        "a*b",
        'x"y',
        "a<b",
        "a>b",
        "CONIN$",
        "conout$.txt",
        "a\u180eb",
        "soft\u00adhyphen",
        "tag\U000e0041.txt",
    ],
)
async def test_a_name_that_some_computer_could_not_keep_or_nobody_sees_is_refused_wherever_it_comes_from(office: Office, name: str) -> None:
    root = office.root("ada")
    folder = await office.folder(root, "folder", by="ada")
    doors = [("POST", f"folders/{root}/uploads", {"size_bytes": 1, "sha256": "0" * 64}), ("POST", f"folders/{root}/folders", {})]
    doors += [("PATCH", f"items/{folder}", {}), ("POST", "spaces", {})]
    for method, way, body in doors:
        status, problem, _ = await office.call(method, way, by="ada", body=body | {"name": name}, If_Match='"1"')
        assert (status, problem["type"]) == (422, "urn:parvis:problem:bad-name") and problem["detail"], way
    assert await office.names(root, by="ada") == ["folder"]


@pytest.mark.parametrize(
    "name", ["می\u200cخواهم.txt", "famille 👨\u200d👩\u200d👧.jpg", "14h30 – « bilan » (n° 2) #1 & 50 %.odt", "❤\ufe0f"]
)
async def test_a_name_that_all_can_keep_is_taken(office: Office, name: str) -> None:
    await office.store(office.root("ada"), name, b"1", by="ada")
    assert await office.names(office.root("ada"), by="ada") == [name]


async def test_an_item_keeps_a_name_that_it_has_from_before(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    async with office.files.database.transaction() as tx:
        await tx.execute(sa.update(item_table).where(item_table.c.id == UUID(folder)).values(name="a:b"))
    status, item, _ = await office.call("PATCH", f"items/{folder}", by="ada", body={"name": "a:b", "restricted": True}, If_Match='"1"')
    assert (status, item["name"], item["restricted"]) == (200, "a:b", True)


async def test_names_are_one_in_whatever_form_they_are_composed(office: Office) -> None:
    await office.store(office.root("ada"), "e\u0301te\u0301.txt", b"1", by="ada")
    assert await office.names(office.root("ada"), by="ada") == ["été.txt"]
    assert (await office.declare(office.root("ada"), "été.txt", b"1", by="ada", conflict="fail"))[0] == 409


async def test_a_name_that_is_taken_is_changed_versioned_or_refused_as_asked(office: Office) -> None:
    root = office.root("ada")
    first = await office.store(root, "a.txt", b"1", by="ada")
    renamed = await office.store(root, "a.txt", b"22", by="ada", conflict="rename")
    versioned = await office.store(root, "a.txt", b"333", by="ada", conflict="version")
    assert (await office.declare(root, "a.txt", b"1", by="ada", conflict="fail"))[0] == 409
    assert await office.names(root, by="ada") == ["a (2).txt", "a.txt"]
    assert versioned["file_id"] == first["file_id"] != renamed["file_id"]
    assert await office.content(first["file_id"], by="ada") == b"333" and await office.quota("ada") == (6, 0)


async def test_a_name_taken_meanwhile_is_told_and_decided_at_the_end(office: Office) -> None:
    root = office.root("ada")
    _, upload, _ = await office.declare(root, "a.txt", b"late", by="ada", conflict="fail")
    await office.send(upload["put"], b"late")
    await office.store(root, "a.txt", b"early", by="ada")
    status, problem, _ = await office.call("POST", f"uploads/{upload['id']}/complete", by="ada", body={})
    assert status == 409 and "by now" in problem["detail"] and await office.quota("ada") == (5, 4)
    done = await office.post(f"uploads/{upload['id']}/complete", {"conflict": "rename"}, by="ada")
    assert done["state"] == "committed" and await office.names(root, by="ada") == ["a (2).txt", "a.txt"]


async def test_given_up_its_place_is_free_and_it_cannot_be_completed(office: Office) -> None:
    _, upload, _ = await office.declare(office.root("ada"), "a.txt", b"never", by="ada")
    await office.send(upload["put"], b"never")
    for _ in range(2):
        assert (await office.call("DELETE", f"uploads/{upload['id']}", by="ada"))[0] == 204
    assert (await office.call("POST", f"uploads/{upload['id']}/complete", by="ada", body={}))[0] == 409
    assert await office.quota("ada") == (0, 0) and await office.names(office.root("ada"), by="ada") == []


async def test_another_s_upload_is_answered_like_none(office: Office) -> None:
    _, upload, _ = await office.declare(office.root("ada"), "a.txt", b"mine", by="ada")
    for method, way, body in (("GET", "", None), ("POST", "/complete", {}), ("POST", "/parts", {}), ("DELETE", "", None)):
        answers = []
        for named in (upload["id"], "019353a0-33f4-7e27-9b22-7c3d5e6f7081"):
            status, problem, _ = await office.call(method, f"uploads/{named}{way}", by="bob", body=body)
            answers.append((status, str(problem).replace(named, "ID")))
        assert answers[0] == answers[1] and answers[0][0] == 404
    assert (await office.get("uploads", by="bob"))["items"] == []
    assert [one["id"] for one in (await office.get("uploads", by="ada"))["items"]] == [upload["id"]]


async def test_a_folder_that_is_gone_for_good_rejects_what_was_on_its_way(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "soon gone", by="ada")
    _, upload, _ = await office.declare(folder, "a.txt", b"late", by="ada")
    await office.send(upload["put"], b"late")
    assert (await office.call("DELETE", f"items/{folder}", by="ada"))[0] == 204
    assert (await office.call("POST", f"items/{folder}/purge", by="ada"))[0] == 204
    status, problem, _ = await office.call("POST", f"uploads/{upload['id']}/complete", by="ada", body={})
    assert status == 409 and "gone" in problem["detail"] and await office.quota("ada") == (0, 0)


@pytest.mark.parametrize("trashed", ["folder", "file", "above"])
async def test_what_was_trashed_meanwhile_takes_an_upload_when_it_is_restored(office: Office, trashed: str) -> None:
    above = await office.folder(office.root("ada"), "above", by="ada")
    folder = await office.folder(above, "folder", by="ada")
    file = (await office.store(folder, "kept.txt", b"kept", by="ada"))["file_id"]
    way = f"files/{file}/uploads" if trashed == "file" else f"folders/{folder}/uploads"
    body = {"size_bytes": 4, "sha256": hashlib.sha256(b"late").hexdigest()} | ({} if trashed == "file" else {"name": "late.txt"})
    upload = await office.post(way, body, by="ada")
    await office.send(upload["put"], b"late")
    one = {"folder": folder, "file": file, "above": above}[trashed]
    assert (await office.call("DELETE", f"items/{one}", by="ada"))[0] == 204
    status, problem, _ = await office.call("POST", f"uploads/{upload['id']}/complete", by="ada", body={})
    assert (status, problem["type"]) == (409, "urn:parvis:problem:in-trash") and "restored by 2026-" in problem["detail"]
    assert await office.quota("ada") == (4, 4)
    await office.post(f"items/{one}/restore", by="ada")
    done = await office.post(f"uploads/{upload['id']}/complete", by="ada")
    assert done["state"] == "committed" and await office.content(done["file_id"], by="ada") == b"late"


async def test_the_clock_puts_nothing_into_the_trash(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    _, upload, _ = await office.declare(folder, "late.txt", b"late", by="ada")
    await office.send(upload["put"], b"late")
    await office.call("DELETE", f"items/{folder}", by="ada")
    office.later(days=1, seconds=1)
    await office.drive()
    found = await office.get(f"uploads/{upload['id']}", by="ada")
    assert (found["state"], found["reason"], (await office.said())[-1]) == ("rejected", "gone", "upload.rejected.v1")
    await office.post(f"items/{folder}/restore", by="ada")
    assert await office.names(folder, by="ada") == [] and await office.quota("ada") == (0, 0)


async def test_nothing_is_read_through_for_the_trash_and_no_part_is_sent_there(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    body = {"name": "film.mp4", "size_bytes": len(WHOLE), "sha256": DIGEST}
    upload = await office.post(f"folders/{folder}/uploads", body, by="ada")
    await send_parts(office, upload, [1, 2, 3])
    await office.call("DELETE", f"items/{folder}", by="ada")
    for way in ("parts", "complete"):
        status, problem, _ = await office.call("POST", f"uploads/{upload['id']}/{way}", by="ada", body={})
        assert (status, problem["type"]) == (409, "urn:parvis:problem:in-trash")
    assert (await office.get(f"uploads/{upload['id']}", by="ada"))["state"] == "uploading"


async def put_back(office: Office, upload_id: str, state: str) -> None:
    """As if the process had been killed when the upload stood there."""
    async with office.files.database.transaction() as tx:
        await tx.execute(sa.update(upload_table).where(upload_table.c.id == UUID(upload_id)).values(state=state))


async def test_the_clock_gives_up_what_lies_still_and_goes_on_with_what_is_there(office: Office) -> None:
    _, sent, _ = await office.declare(office.root("ada"), "sent.txt", b"sent", by="ada")
    _, unsent, _ = await office.declare(office.root("ada"), "unsent.txt", b"unsent", by="ada")
    _, intent, _ = await office.declare(office.root("ada"), "intent.txt", b"intent", by="ada")
    parts = await parts_of(office)
    await send_parts(office, parts, [1])
    await office.send(sent["put"], b"sent")
    await put_back(office, intent["id"], "intent")
    await office.drive()
    assert {one["state"] for one in (await office.get("uploads", by="ada"))["items"]} == {"uploading", "intent"}, "not yet"
    office.later(days=1, seconds=1)
    await office.drive()
    states = {one["name"]: one["state"] for one in (await office.get("uploads", by="ada"))["items"]}
    assert states == {"sent.txt": "committed", "unsent.txt": "expired", "intent.txt": "expired", "film.mp4": "expired"}
    assert await office.quota("ada") == (4, 0) and [one async for one in office.blobs.multiparts()] == []


async def test_an_intent_that_was_interrupted_is_given_up_within_minutes(office: Office) -> None:
    _, intent, _ = await office.declare(office.root("ada"), "intent.txt", b"intent", by="ada")
    await put_back(office, intent["id"], "intent")
    async with office.files.database.transaction() as tx:
        await tx.execute(sa.update(upload_table).values(deadline=office.clock() + INTENT_LIFE))
    office.later(INTENT_LIFE.total_seconds() + 1)
    await office.drive()
    assert (await office.get(f"uploads/{intent['id']}", by="ada"))["state"] == "expired" and await office.quota("ada") == (0, 0)


async def test_a_check_that_was_interrupted_is_taken_up_by_the_next(office: Office) -> None:
    upload = await parts_of(office, sha256=DIGEST)
    await send_parts(office, upload, [1, 2, 3])
    await office.post(f"uploads/{upload['id']}/complete", by="ada")
    await put_back(office, upload["id"], "scanning")
    office.later(LEASE.total_seconds() + 1)
    await asyncio.gather(*(office.drive() for _ in range(3)))
    assert (await office.get(f"uploads/{upload['id']}", by="ada"))["state"] == "committed"
    assert (await office.said()).count("file.stored.v1") == 1


async def test_an_upload_costs_as_many_statements_in_a_full_folder_as_in_an_empty_one(office: Office) -> None:
    await office.store(office.root("ada"), "first of the ministry.txt", b"1", by="ada")
    counts = []
    for number in range(3):
        with queries(office.files.database) as sent:
            await office.store(office.root("ada"), f"{number} report.txt", b"1", by="ada")
        counts.append(len(sent))
        for more in range(20):
            await office.folder(office.root("ada"), f"{number} {more}", by="ada")
    assert counts[0] == counts[1] == counts[2] <= 20, counts


def test_what_goes_in_one_put_is_what_s3_takes_at_once() -> None:
    assert len(WHOLE) > SINGLE_BYTES_MAX and len(PARTS) == 3


async def test_who_is_too_new_for_the_copy_of_the_directory_stores_a_file_all_the_same(office: Office) -> None:
    """Their token is good, and the fact that they joined is still on its way: nobody has taken a right away from them."""
    office.tokens["zoe"] = office.token("zoe", office.ministries["interieur"])
    home = await office.get("spaces/personal", by="zoe")
    await office.store(home["root_id"], "premier jour.txt", b"bonjour", by="zoe")
    large = {"name": "film.mp4", "size_bytes": 17 * 2**20}
    upload = await office.post(f"folders/{home['root_id']}/uploads", large, by="zoe")
    status, parts, _ = await office.call("POST", f"uploads/{upload['id']}/parts", by="zoe", body={"parts": []})
    assert status == 200, parts
