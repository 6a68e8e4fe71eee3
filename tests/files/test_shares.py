"""Shares through their doors: roles, teams, walls, and what strangers learn, which is nothing."""

import hashlib
import json
from typing import Any

import pytest
from parvis_contracts.directory import AgentMoved
from parvis_kit.testing.databases import queries

from .conftest import Answer, Office

NOBODY = "019353a0-33f4-7e27-9b22-7c3d5e6f7081"
DOORS = [
    ("GET", "items/{}", None),
    ("PATCH", "items/{}", {"name": "x"}),
    ("DELETE", "items/{}", None),
    ("POST", "items/{}/restore", {}),
    ("POST", "items/{}/purge", {}),
    ("GET", "items/{}/shares", None),
    ("POST", "items/{}/shares", {"grantee_kind": "agent", "grantee_id": NOBODY, "role": "reader"}),
    ("DELETE", f"items/{{}}/shares/{NOBODY}", None),
    ("GET", "folders/{}/items", None),
    ("POST", "folders/{}/folders", {"name": "x"}),
    ("POST", "folders/{}/uploads", {"name": "x", "size_bytes": 0, "sha256": "0" * 64}),
    ("GET", "files/{}/download", None),
    ("GET", "files/{}/versions", None),
    ("POST", "files/{}/uploads", {"size_bytes": 0, "sha256": "0" * 64}),
    ("POST", f"files/{{}}/versions/{NOBODY}/restore", {}),
    ("GET", "spaces/{}", None),
    ("PATCH", "spaces/{}", {"name": "x"}),
    ("GET", "spaces/{}/search?name=a", None),
    ("GET", "spaces/{}/changes", None),
    ("GET", "spaces/{}/trash", None),
]


@pytest.mark.parametrize(("method", "door", "body"), DOORS, ids=[f"{method} {door}" for method, door, _ in DOORS])
async def test_another_ministry_s_item_is_answered_like_an_unknown_one_by_the_same_statements(
    office: Office, method: str, door: str, body: Any
) -> None:
    done = await office.store(office.root("ada"), "a.txt", b"1", by="ada")
    existing = {"files": done["file_id"], "spaces": office.homes["ada"]["id"]}.get(door.partition("/")[0], office.root("ada"))
    answers = []
    for named in (existing, NOBODY):
        with queries(office.files.database) as sent:
            status, problem, _ = await office.call(method, door.format(named), by="eve", body=body, If_Match='"1"')
        told = json.dumps({name: value for name, value in problem.items() if name != "instance"}).replace(named, "ID")
        answers.append((status, told, [statement for statement in sent]))
    assert answers[0] == answers[1] and answers[0][0] == 404


async def outcomes(office: Office, folder: str, file: str, by: str) -> dict[str, int]:
    """What each act on a folder and the file in it answers."""
    root: Answer = await office.call("GET", f"folders/{folder}/items", by=by)
    found = {"list": root[0], "read": (await office.call("GET", f"files/{file}/download", by=by))[0]}
    found["create"] = (await office.declare(folder, "new.txt", b"1", by=by))[0]
    found["make"] = (await office.call("POST", f"folders/{folder}/folders", by=by, body={"name": f"of {by}"}))[0]
    item = await office.get(f"items/{file}", by="ada")
    renamed = await office.call("PATCH", f"items/{file}", by=by, body={"name": item["name"]}, If_Match=f'"{item["revision"]}"')
    found["rename"] = renamed[0]
    body = {"grantee_kind": "agent", "grantee_id": str(office.ids[by]), "role": "reader"}
    found["share"] = (await office.call("POST", f"items/{file}/shares", by=by, body=body))[0]
    return found


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("reader", {"list": 200, "read": 200, "create": 403, "make": 403, "rename": 403, "share": 403}),
        ("editor", {"list": 200, "read": 200, "create": 201, "make": 201, "rename": 200, "share": 403}),
        ("manager", {"list": 200, "read": 200, "create": 201, "make": 201, "rename": 200, "share": 201}),
        ("depositor", {"list": 403, "read": 404, "create": 201, "make": 403, "rename": 404, "share": 404}),
        (None, {"list": 404, "read": 404, "create": 404, "make": 404, "rename": 404, "share": 404}),
    ],
)
@pytest.mark.parametrize("kind", ["agent", "team"])
async def test_a_role_allows_its_actions_and_no_other(office: Office, kind: str, role: str | None, expected: dict[str, int]) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    done = await office.store(folder, "a.txt", b"1", by="ada")
    await office.team("crise", "interieur", "bob")
    if role:
        await office.share(folder, kind, "bob" if kind == "agent" else "crise", role, by="ada")
    assert await outcomes(office, folder, done["file_id"], "bob") == expected


async def test_a_depositor_hands_in_sees_the_receipt_and_overwrites_nothing(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "letterbox", by="ada")
    await office.store(folder, "a.txt", b"ada's", by="ada")
    await office.share(folder, "agent", "bob", "depositor", by="ada")
    done = await office.store(folder, "a.txt", b"bob's", by="bob", conflict="version")
    assert await office.names(folder, by="ada") == ["a (2).txt", "a.txt"]
    assert [one["id"] for one in (await office.get("uploads", by="bob"))["items"]] == [done["id"]]
    assert [one["item"]["name"] for one in (await office.get("shared", by="bob"))["items"]] == ["letterbox"]
    below = await office.folder(folder, "below", by="ada")
    assert (await office.declare(below, "a.txt", b"1", by="bob"))[0] == 404


async def test_a_restricted_folder_lets_nothing_through_and_whoever_closed_it_keeps_the_key(office: Office) -> None:
    space = await office.space("Cabinet", by="ada")
    await office.share(space["root_id"], "agent", "bob", "manager", by="ada")
    folder = await office.folder(space["root_id"], "restricted", by="ada")
    inside = await office.folder(folder, "inside", by="ada")
    done = await office.store(inside, "secret.txt", b"1", by="ada")
    status, item, _ = await office.call("PATCH", f"items/{folder}", by="ada", body={"restricted": True}, If_Match='"1"')
    assert status == 200 and item["restricted"] and "share" in item["actions"]
    for one in (folder, inside, done["file_id"]):
        assert (await office.call("GET", f"items/{one}", by="bob"))[0] == 404
    assert await office.names(space["root_id"], by="bob") == [] and await office.names(space["root_id"], by="ada") == ["restricted"]
    assert await office.get(f"spaces/{space['id']}/search?name=secret", by="bob") == []
    changes = (await office.get(f"spaces/{space['id']}/changes", by="bob"))["changes"]
    assert [one["item"] for one in changes if one["item_id"] != space["root_id"]] == [None] * 3
    await office.share(folder, "agent", "bob", "reader", by="ada")
    assert await office.names(space["root_id"], by="bob") == ["restricted"] and await office.names(inside, by="bob") == ["secret.txt"]
    assert (await office.call("PATCH", f"items/{folder}", by="bob", body={"restricted": False}, If_Match='"3"'))[0] == 403


async def test_the_last_manager_of_what_inherits_nothing_stays(office: Office) -> None:
    space = await office.space("Cabinet", by="ada")
    shares = await office.get(f"items/{space['root_id']}/shares", by="ada")
    path = f"items/{space['root_id']}/shares/{shares[0]['id']}"
    assert (await office.call("DELETE", path, by="ada"))[0] == 409
    assert (await office.call("POST", f"items/{space['root_id']}/shares", by="ada", body={**share_body(office, "ada"), "role": "reader"}))[
        0
    ] == 409
    await office.share(space["root_id"], "agent", "bob", "manager", by="ada")
    assert (await office.call("DELETE", path, by="ada"))[0] == 204
    assert (await office.call("GET", f"spaces/{space['id']}", by="ada"))[0] == 404


def share_body(office: Office, name: str) -> dict[str, str]:
    return {"grantee_kind": "agent", "grantee_id": str(office.ids[name])}


async def test_a_share_is_told_replaced_and_revoked(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    first = await office.share(folder, "agent", "bob", "reader", by="ada")
    assert (await office.share(folder, "agent", "bob", "reader", by="ada"))["id"] == first["id"], "nothing new"
    second = await office.share(folder, "agent", "bob", "editor", by="ada")
    assert [one["id"] for one in await office.get(f"items/{folder}/shares", by="ada")] == [second["id"]]
    assert (await office.call("DELETE", f"items/{folder}/shares/{second['id']}", by="ada"))[0] == 204
    assert (await office.call("GET", f"items/{folder}", by="bob"))[0] == 404 and (await office.get("shared", by="bob"))["items"] == []
    assert (await office.said())[-4:] == ["share.granted.v1", "share.revoked.v1", "share.granted.v1", "share.revoked.v1"]


@pytest.mark.parametrize("kind, who", [("agent", "eve"), ("agent", "nobody"), ("team", "theirs"), ("team", "ada")])
async def test_nothing_is_shared_with_who_is_not_of_the_ministry(office: Office, kind: str, who: str) -> None:
    await office.team("theirs", "ecologie", "bob")
    office.ids.setdefault("nobody", office.ids["ada"].__class__(NOBODY))
    before = await office.said()
    body = {"grantee_kind": kind, "grantee_id": str(office.ids[who]), "role": "reader"}
    status, problem, _ = await office.call("POST", f"items/{office.root('ada')}/shares", by="ada", body=body)
    assert (status, await office.said()) == (422, before) or who == "ada", problem


async def test_a_team_of_the_ministry_counts_with_members_from_elsewhere_as_long_as_they_are_in_it(office: Office) -> None:
    await office.team("crise", "interieur", "eve")
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    await office.share(folder, "team", "crise", "reader", by="ada")
    assert await office.names(folder, by="eve") == []
    assert [one["item"]["name"] for one in (await office.get("shared", by="eve"))["items"]] == ["folder"]
    await office.team("crise", "interieur", "bob")
    assert (await office.call("GET", f"items/{folder}", by="eve"))[0] == 404 and (await office.call("GET", f"items/{folder}", by="bob"))[
        0
    ] == 200


async def test_a_space_for_a_team_is_in_its_members_lists(office: Office) -> None:
    team = await office.team("crise", "interieur", "bob")
    space = await office.space("Crise", by="ada", team_id=str(team))
    for name in ("ada", "bob"):
        assert space["id"] in {one["id"] for one in (await office.get("spaces", by=name))["items"]}
    assert len((await office.get("spaces", by="eve"))["items"]) == 1
    await office.store(space["root_id"], "a.txt", b"1", by="bob")
    assert (await office.said()).count("space.created.v1") == 4


async def test_who_has_moved_loses_what_was_shared_in_the_old_ministry_and_keeps_their_own(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    await office.share(folder, "agent", "bob", "reader", by="ada")
    mine = await office.store(office.root("bob"), "mine.txt", b"1", by="bob")
    bob, there = office.ids["bob"], office.ministries["ecologie"]
    await office.hears(
        office.state_of("bob", "ecologie"),
        AgentMoved(at=office.clock(), about=str(bob), agent_id=bob, from_ministry_id=office.ministries["interieur"], to_ministry_id=there),
    )
    assert (await office.call("GET", f"items/{folder}", by="bob"))[0] == 404 and await office.content(mine["file_id"], by="bob") == b"1"


@pytest.mark.parametrize("how", ["completed", "by the clock", "a version"])
async def test_who_has_moved_writes_nothing_into_the_old_ministry_by_an_upload_declared_before(office: Office, how: str) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    kept = await office.store(folder, "kept.txt", b"kept", by="ada")
    await office.share(folder, "agent", "bob", "editor", by="ada")
    _, upload, _ = await office.declare(folder, "kept.txt", b"late", by="bob", conflict="version" if how == "a version" else "rename")
    await office.send(upload["put"], b"late")
    await office.hears(office.state_of("bob", "ecologie"))
    office.later(days=1, seconds=1)
    if how == "by the clock":
        await office.drive()
    status, problem, _ = await office.call("POST", f"uploads/{upload['id']}/complete", by="bob", body={})
    assert status == 409 and "gone" in problem["detail"] and await office.names(folder, by="ada") == ["kept.txt"]
    assert await office.content(kept["file_id"], by="ada") == b"kept" and await office.quota("ada") == (4, 0)


async def test_who_may_not_write_any_more_gets_no_further_part_and_no_more_time(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    share = await office.share(folder, "agent", "bob", "editor", by="ada")
    body = {"name": "film.mp4", "size_bytes": 17 * 2**20}
    upload = await office.post(f"folders/{folder}/uploads", body, by="bob", Idempotency_Key="k")
    assert (await office.call("POST", f"uploads/{upload['id']}/parts", by="bob", body={"parts": []}))[0] == 200
    await office.call("DELETE", f"items/{folder}/shares/{share['id']}", by="ada")
    office.later(60)
    status, problem, _ = await office.call("POST", f"uploads/{upload['id']}/parts", by="bob", body={"parts": []})
    assert status == 409 and "abort this upload" in problem["detail"]
    assert (await office.call("POST", f"folders/{folder}/uploads", by="bob", body=body, Idempotency_Key="k"))[0] == 409
    assert (await office.get(f"uploads/{upload['id']}", by="bob"))["deadline"] == upload["deadline"]


async def test_the_clock_commits_nothing_of_who_is_suspended(office: Office) -> None:
    _, upload, _ = await office.declare(office.root("bob"), "late.txt", b"late", by="bob")
    await office.send(upload["put"], b"late")
    await office.hears(office.state_of("bob", "interieur", state="suspended"))
    office.later(days=1, seconds=1)
    await office.drive()
    await office.hears(office.state_of("bob", "interieur"))
    assert await office.names(office.root("bob"), by="bob") == [] and await office.quota("bob") == (0, 0)


async def test_who_may_trash_a_single_shared_file_may_put_it_back_and_learns_nothing_of_its_folder(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    done = await office.store(folder, "a.txt", b"1", by="ada")
    await office.share(done["file_id"], "agent", "bob", "editor", by="ada")
    assert (await office.call("DELETE", f"items/{done['file_id']}", by="bob"))[0] == 204
    assert (await office.call("POST", f"items/{done['file_id']}/restore", by="bob", body={}))[0] == 200
    assert await office.names(folder, by="ada") == ["a.txt"]
    await office.call("DELETE", f"items/{done['file_id']}", by="bob")
    await office.call("DELETE", f"items/{folder}", by="ada")
    status, problem, _ = await office.call("POST", f"items/{done['file_id']}/restore", by="bob", body={})
    assert status == 409 and "have that restored first" in problem["detail"]
    assert folder not in str(problem) and office.root("ada") not in str(problem)
    await office.post(f"items/{folder}/restore", by="ada")
    assert (await office.call("POST", f"items/{done['file_id']}/restore", by="bob", body={}))[0] == 200
    assert await office.names(folder, by="ada") == ["a.txt"]


async def test_a_right_that_was_taken_back_does_not_complete_an_upload(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "folder", by="ada")
    share = await office.share(folder, "agent", "bob", "editor", by="ada")
    _, upload, _ = await office.declare(folder, "a.txt", b"late", by="bob")
    await office.send(upload["put"], b"late")
    await office.call("DELETE", f"items/{folder}/shares/{share['id']}", by="ada")
    assert (await office.call("POST", f"uploads/{upload['id']}/complete", by="bob", body={}))[0] == 409
    assert await office.names(folder, by="ada") == [] and await office.quota("ada") == (0, 0)


async def walled(office: Office) -> tuple[str, str, dict[str, Any]]:
    """Cai's restricted folder with a file, in a folder of the space that Ada manages and Bob may change."""
    await office.add("cai", "interieur")
    space = await office.space("Cabinet", by="ada")
    folder = await office.folder(space["root_id"], "folder", by="ada")
    await office.share(folder, "agent", "cai", "manager", by="ada")
    middle = await office.folder(folder, "middle", by="cai")
    closed = await office.folder(middle, "closed", by="cai")
    assert (await office.call("PATCH", f"items/{closed}", by="cai", body={"restricted": True}, If_Match='"1"'))[0] == 200
    done = await office.store(closed, "dossier.txt", b"cai's", by="cai")
    await office.share(space["root_id"], "agent", "bob", "editor", by="ada")
    return folder, closed, done


@pytest.mark.parametrize("who", ["ada", "bob"])
async def test_a_folder_does_not_take_into_the_trash_what_is_closed_to_who_puts_it_there(office: Office, who: str) -> None:
    folder, closed, done = await walled(office)
    before = await office.said()
    status, problem, _ = await office.call("DELETE", f"items/{folder}", by=who)
    assert (status, problem["type"]) == (409, "urn:parvis:problem:holds-restricted") and await office.said() == before
    assert closed not in str(problem) and "move it out" in problem["detail"]
    assert (await office.call("DELETE", f"items/{folder}?with_restricted=true", by="bob"))[0] == 409, "only who manages the space"
    assert await office.content(done["file_id"], by="cai") == b"cai's"


async def test_a_folder_goes_into_the_trash_with_what_is_closed_to_others(office: Office) -> None:
    folder, closed, done = await walled(office)
    await office.share(closed, "agent", "bob", "reader", by="cai")
    assert (await office.call("DELETE", f"items/{folder}", by="bob"))[0] == 409, "who reads does not destroy"
    await office.team("crise", "interieur", "bob")
    await office.share(closed, "team", "crise", "editor", by="cai")
    assert (await office.call("DELETE", f"items/{folder}", by="bob"))[0] == 204
    await office.post(f"items/{folder}/restore", by="bob")
    assert await office.content(done["file_id"], by="cai") == b"cai's"


async def test_nothing_is_purged_that_is_closed_to_who_purges(office: Office) -> None:
    folder, closed, done = await walled(office)
    await office.share(closed, "agent", "bob", "editor", by="cai")
    assert (await office.call("DELETE", f"items/{closed}", by="cai"))[0] == 204, "in the trash by itself, it stops nobody from trashing"
    assert (await office.call("DELETE", f"items/{folder}", by="ada"))[0] == 204
    status, problem, _ = await office.call("POST", f"items/{folder}/purge", by="ada")
    assert (status, problem["type"]) == (409, "urn:parvis:problem:holds-restricted") and "file.purged.v1" not in await office.said()
    await office.post(f"items/{folder}/restore", by="ada")
    await office.post(f"items/{closed}/restore", by="cai")
    assert await office.content(done["file_id"], by="cai") == b"cai's"


async def test_who_manages_the_space_may_end_what_is_closed_to_them_by_saying_so_and_it_is_written_down(office: Office) -> None:
    folder, _, done = await walled(office)
    assert (await office.call("DELETE", f"items/{folder}?with_restricted=true", by="ada"))[0] == 204
    assert (await office.call("POST", f"items/{folder}/purge", by="ada"))[0] == 409
    assert (await office.call("POST", f"items/{folder}/purge?with_restricted=true", by="ada"))[0] == 204
    assert (await office.call("GET", f"items/{done['file_id']}", by="cai"))[0] == 404
    acts = {row[0] for row in await office.rows("SELECT what FROM files.audit WHERE what LIKE '%with-restricted'")}
    assert acts == {"item.trash with-restricted", "item.purge with-restricted"}


async def test_a_folder_that_moves_takes_along_what_is_closed_to_who_moves_it_and_it_stays_closed(office: Office) -> None:
    folder, closed, done = await walled(office)
    there = await office.folder((await office.get(f"items/{folder}", by="ada"))["parent_id"], "there", by="ada")
    assert (await office.call("PATCH", f"items/{folder}", by="bob", body={"parent_id": there}, If_Match='"1"'))[0] == 200
    assert await office.content(done["file_id"], by="cai") == b"cai's"
    assert {(await office.call("GET", f"items/{closed}", by=who))[0] for who in ("ada", "bob")} == {404}


async def test_the_folder_that_a_shared_file_lies_in_is_named_to_those_only_who_may_see_it(office: Office) -> None:
    folder = await office.folder(office.root("ada"), "private", by="ada")
    done = await office.store(folder, "a.txt", b"1", by="ada")
    file = done["file_id"]
    await office.share(file, "agent", "bob", "editor", by="ada")
    assert await parents_told(office, file, "bob") == {None}
    assert await parents_told(office, file, "ada") == {folder}
    await office.share(folder, "agent", "bob", "depositor", by="ada")
    assert (await office.get(f"items/{file}", by="bob"))["parent_id"] is None, "who hands in there does not see it"
    await office.share(folder, "agent", "bob", "reader", by="ada")
    assert await parents_told(office, file, "bob") == {folder}
    assert (await office.get(f"items/{folder}", by="bob"))["parent_id"] is None


async def parents_told(office: Office, file: str, by: str) -> set[str | None]:
    """By each door that shows a file, or a version of it that is being sent."""
    status, upload, _ = await office.call(
        "POST", f"files/{file}/uploads", by=by, body={"size_bytes": 1, "sha256": hashlib.sha256(b"2").hexdigest()}
    )
    assert status == 201
    listed = next(one for one in (await office.get("uploads", by=by))["items"] if one["id"] == upload["id"])
    read = await office.get(f"uploads/{upload['id']}", by=by)
    assert await office.send(upload["put"], b"2") == 200
    complete = await office.post(f"uploads/{upload['id']}/complete", by=by)
    item = await office.get(f"items/{file}", by=by)
    status, changed, _ = await office.call("PATCH", f"items/{file}", by=by, body={"name": "b.txt"}, If_Match=f'"{item["revision"]}"')
    assert status == 200 and complete["state"] == "committed"
    older = (await office.get(f"files/{file}/versions", by=by))["items"][-1]["id"]
    back = await office.post(f"files/{file}/versions/{older}/restore", by=by)
    return {one["parent_id"] for one in (upload, listed, read, complete, item, changed, back)}


async def test_a_closed_folder_is_named_neither_by_the_changes_nor_by_the_trash_of_its_space(office: Office) -> None:
    space = await office.space("Cabinet", by="ada")
    await office.share(space["root_id"], "agent", "bob", "reader", by="ada")
    folder = await office.folder(space["root_id"], "closed", by="ada")
    done = await office.store(folder, "a.txt", b"1", by="ada")
    assert (await office.call("PATCH", f"items/{folder}", by="ada", body={"restricted": True}, If_Match='"1"'))[0] == 200
    await office.share(done["file_id"], "agent", "bob", "editor", by="ada")

    async def told(by: str) -> list[Any]:
        changes = (await office.get(f"spaces/{space['id']}/changes", by=by))["changes"]
        trash = (await office.get(f"spaces/{space['id']}/trash", by=by))["items"]
        return [one["parent_id"] for one in (*changes, *trash) if one.get("item_id", one.get("id")) == done["file_id"]]

    assert await told("bob") == [None] and await told("ada") == [folder]
    assert (await office.call("DELETE", f"items/{done['file_id']}", by="bob"))[0] == 204
    assert await told("bob") == [None, None] and await told("ada") == [folder, folder]
