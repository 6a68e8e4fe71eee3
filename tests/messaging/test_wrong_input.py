"""Whatever comes in is answered as Matrix has it: an errcode, never a fault of ours."""

import json
from random import Random
from typing import Any

import pytest
from yarl import URL

from .conftest import CLIENT, Town

WRONG_BODIES: dict[str, tuple[bytes, int, str]] = {
    "no JSON": (b"{", 400, "M_NOT_JSON"),
    "no object": (b"[]", 400, "M_BAD_JSON"),
    "a NUL": (b'{"body": "a\\u0000b"}', 400, "M_BAD_JSON"),
    "half a character": (b'{"body": "\\ud800"}', 400, "M_BAD_JSON"),
    "half a character as a name": (b'{"\\udfff": 1}', 400, "M_BAD_JSON"),
    "a floating number": (b'{"n": 1.5}', 400, "M_BAD_JSON"),
    "a number beyond": (b'{"n": 9007199254740992}', 400, "M_BAD_JSON"),
    "no number": (b'{"n": NaN}', 400, "M_NOT_JSON"),
    "nested": (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400, ""),
    "no text": (b"\xff\xfe", 400, "M_NOT_JSON"),
    "too large for an event": (b'{"body": "' + b"x" * 62_000 + b'"}', 413, "M_TOO_LARGE"),
    "too large": (b'{"body": "' + b"x" * 140_000 + b'"}', 413, "M_TOO_LARGE"),
}


@pytest.mark.parametrize("raw, status, errcode", WRONG_BODIES.values(), ids=WRONG_BODIES.keys())
async def test_a_wrong_body_has_its_errcode(town: Town, raw: bytes, status: int, errcode: str) -> None:
    await town.sign_in("ada")
    room = await town.room("ada")
    got, said = await town.call("PUT", f"rooms/{room}/send/m.room.message/t", data=raw, by="ada")
    assert got == status and (said["errcode"] == errcode or not errcode), said


@pytest.mark.parametrize(
    "method, path, body, status, errcode",
    [
        ("GET", "sync?since=x", None, 400, "M_INVALID_PARAM"),
        ("GET", "sync?since=s99999999999999999999999", None, 400, "M_INVALID_PARAM"),
        ("GET", "sync?timeout=-1", None, 400, "M_INVALID_PARAM"),
        ("GET", "sync?filter=none", None, 404, "M_NOT_FOUND"),
        ("GET", "sync?filter=%7B", None, 400, "M_NOT_JSON"),
        ("POST", "createRoom", {"preset": "x"}, 400, "M_INVALID_PARAM"),
        ("POST", "createRoom", {"invite": "x"}, 400, "M_BAD_JSON"),
        ("POST", "createRoom", {"invite": [1]}, 400, "M_BAD_JSON"),
        ("POST", "createRoom", {"invite": ["@nobody:parvis.test"]}, 404, "M_NOT_FOUND"),
        ("POST", "createRoom", {"room_version": "1"}, 400, "M_UNSUPPORTED_ROOM_VERSION"),
        ("POST", "createRoom", {"name": "x" * 300}, 400, "M_INVALID_PARAM"),
        ("POST", "createRoom", {"power_level_content_override": {"users": 1}}, 400, "M_BAD_JSON"),
        ("POST", "createRoom", {"power_level_content_override": {"ban": "x"}}, 400, "M_BAD_JSON"),
        ("POST", "createRoom", {"initial_state": [1]}, 400, "M_BAD_JSON"),
        ("POST", "createRoom", {"room_alias_name": "a b"}, 400, "M_INVALID_PARAM"),
        ("POST", "login", {"type": "m.login.token"}, 400, "M_UNKNOWN"),
        ("POST", "login", {"type": "m.login.password"}, 400, "M_MISSING_PARAM"),
        ("POST", "login", {"type": 1}, 400, "M_BAD_JSON"),
        ("POST", "join/%23nowhere:parvis.test", {}, 404, "M_NOT_FOUND"),
        ("POST", "rooms/!nowhere:parvis.test/join", {}, 404, "M_NOT_FOUND"),
        ("PUT", "profile/@bob.martin:parvis.test/displayname", {}, 403, "M_FORBIDDEN"),
        ("PUT", "user/@bob.martin:parvis.test/account_data/x", {}, 403, "M_FORBIDDEN"),
        ("GET", "user/@ada.martin:parvis.test/account_data/x", None, 404, "M_NOT_FOUND"),
        ("GET", "profile/@nobody:parvis.test", None, 404, "M_NOT_FOUND"),
        ("GET", "/_matrix/client/v1/media/download/parvis.test/none", None, 404, "M_NOT_FOUND"),
        ("GET", "/_matrix/client/v3/nothing", None, 404, "M_UNRECOGNIZED"),
        ("GET", "/_matrix/client/v3/no%0Athing", None, 404, "M_UNRECOGNIZED"),
        ("DELETE", "/_matrix/client/v3/login", None, 405, "M_UNRECOGNIZED"),
        ("POST", "/_matrix/client/v3/sync", {}, 405, "M_UNRECOGNIZED"),
        ("POST", "register", {}, 403, "M_FORBIDDEN"),
    ],
)
async def test_a_wrong_request_has_its_errcode(town: Town, method: str, path: str, body: Any, status: int, errcode: str) -> None:
    await town.sign_in("ada")
    got, said = await town.call(method, path, body, by="ada")
    assert (got, said["errcode"]) == (status, errcode), said
    assert said["error"]


async def test_without_a_token_and_with_a_wrong_one(town: Town) -> None:
    assert (await town.call("GET", "sync"))[1]["errcode"] == "M_MISSING_TOKEN"
    town.tokens["x"] = "pvm_wrong"
    assert (await town.call("GET", "sync", by="x"))[1]["errcode"] == "M_UNKNOWN_TOKEN"


PATHS = (
    "rooms/{}/send/{}/{}", "rooms/{}/state/{}/{}", "rooms/{}/redact/{}/{}", "rooms/{}/messages?from={}&dir={}&limit={}", "createRoom",
    "login", "rooms/{}/invite", "rooms/{}/context/{}?limit={}", "/_matrix/client/v1/rooms/{}/relations/{}/{}", "join/{}", "user/{}/filter",
    "user/{}/account_data/{}", "user/{}/rooms/{}/tags/{}", "rooms/{}/receipt/{}/{}", "sync?since={}&filter={}", "user_directory/search",
    "rooms/{}/read_markers", "devices/{}", "delete_devices", "keys/upload", "directory/room/{}", "rooms/{}/typing/{}", "profile/{}/{}",
)  # fmt: skip
VALUES = ("%00", "a%00b", "%ED%A0%80", "x" * 300, "s1", "-1", "m.room.member", "m.room.power_levels", "%F0%9F%91%8D", "..", "{}", "[]")
JSONS: tuple[Any, ...] = (
    None, [], "x", 1, {"user_id": 1}, {"invite": [None]}, {"type": []}, {"identifier": []}, {"membership": 1}, {"users": [], "events": 1},
    {"creation_content": 1}, {"initial_state": [{"type": "a", "content": 1}]}, {"m.relates_to": 1}, {"m.relates_to": {"event_id": []}},
    {"search_term": []}, {"devices": 1}, {"m.read": 1}, {"timeline": 1, "room": []}, {"room_id": "!x"}, {"users": {"@a": "x"}},
    {"reason": 1},
    {"power_level_content_override": {"users": {"@ada.martin:parvis.test": "x"}}}, {"typing": 3}, {"filename": "\x7f"},
)  # fmt: skip


async def test_what_makes_no_sense_is_never_a_fault_of_ours(town: Town) -> None:
    await town.sign_in("ada")
    room, random = await town.room("ada"), Random(7)
    event = await town.say("ada", room, "x")
    values = (*VALUES, room, event, town.id_of("ada"))
    for number in range(600):
        template, method = random.choice(PATHS), random.choice(("GET", "PUT", "POST", "DELETE"))
        path = template.format(*(random.choice((room, *values)) for _ in range(template.count("{}"))))
        way = path if path.startswith("/") else f"{CLIENT}/{path}"
        raw = json.dumps(random.choice(JSONS)).encode() if method in ("PUT", "POST") else None
        headers = {"Authorization": f"Bearer {town.tokens['ada']}"}
        async with town.client.session.request(method, URL(f"{town.url}{way}", encoded=True), data=raw, headers=headers) as answer:
            text = await answer.text()
            assert answer.status < 500, (number, method, path, raw, text)
            if answer.status >= 400:
                assert "errcode" in json.loads(text), (method, path, text)
