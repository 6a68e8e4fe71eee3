"""What a door's signature promises: typed things come in, JSON goes out, anything else is refused with a reason."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import pytest
from aiohttp import ClientConnectionError, web
from parvis_kit.http import Body, Content, Header, IdempotencyKey, Incoming, Query, Reply, Request, Routes, openapi
from parvis_kit.http.reading import typed

from .conftest import ONE, Knock, Open, Things

URL = "/api/things/v1/things"
KEY = {"Idempotency-Key": "k1"}
READ, WRITE = {"Authorization": "Bearer things:read"}, {"Authorization": "Bearer things:write"}


async def test_a_page_has_its_items_and_the_cursor_of_the_next(things: Knock) -> None:
    answer = await things.get(URL, params={"limit": "1"})
    assert await answer.json() == {"items": [{"id": str(UUID(int=0)), "name": "thing 0"}], "next": "more"}
    assert (await (await things.get(URL, params={"limit": "2"})).json())["next"] is None


async def test_a_list_may_be_given_more_than_once_and_a_scalar_may_not(things: Knock) -> None:
    answer = await things.get(URL + "?tag=a&tag=b")
    assert [one["name"] for one in (await answer.json())["items"]] == ["a", "b"]
    refused = await things.get(URL + "?limit=1&limit=2")
    assert refused.status == 422
    assert (await refused.json())["errors"][0]["at"] == ["limit"]


async def test_a_new_thing_is_answered_with_its_place_and_version(things: Knock) -> None:
    answer = await things.post(URL, json={"name": "a", "size": 1}, headers=KEY)
    assert (answer.status, answer.headers["ETag"], answer.headers["Location"]) == (201, '"1"', f"{URL}/{ONE}")
    assert await answer.json() == {"id": str(ONE), "name": "a"}


async def test_a_door_may_choose_among_the_statuses_that_it_declares_and_no_other(things: Knock) -> None:
    assert (await things.post(URL, json={"name": "a"}, headers={"Idempotency-Key": "again"})).status == 200
    assert (await things.post(URL, json={"name": "a"}, headers={"Idempotency-Key": "odd"})).status == 500


async def test_what_answers_nothing_has_no_body(things: Knock) -> None:
    answer = await things.delete(f"{URL}/{ONE}", headers=WRITE | {"If-Match": '"1"'})
    assert (answer.status, await answer.read()) == (204, b"")
    assert "Content-Type" not in answer.headers


async def test_who_may_get_may_head(things: Knock) -> None:
    answer = await things.head(URL)
    assert (answer.status, await answer.read()) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    "sent, status, code",
    [
        ({"data": "{", "headers": {"Content-Type": "application/json"}}, 400, "bad-request"),
        ({"data": b"", "headers": {"Content-Type": "application/json"}}, 400, "bad-request"),
        ({"data": b'"\xff"', "headers": {"Content-Type": "application/json"}}, 400, "bad-request"),
        ({"data": "name=a", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported-media-type"),
        ({"data": b"{}", "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"}}, 415, "unsupported-media-type"),
        ({"json": {"name": "a", "size": False}}, 422, "invalid"),
        ({"json": {"name": "a", "size": "1"}}, 422, "invalid"),
        ({"json": {"name": "a", "colour": "red"}}, 422, "invalid"),
        ({"json": {}}, 422, "invalid"),
        ({"json": ["a"]}, 422, "invalid"),
        ({"json": {"name": "a\0b"}}, 422, "invalid"),
        ({"json": {"name": "taken"}}, 409, "conflict"),
        ({"data": b'{"name":"' + b"a" * 2**20 + b'"}', "headers": {"Content-Type": "application/json"}}, 413, "too-large"),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused_as_a_problem(things: Knock, sent: dict[str, Any], status: int, code: str) -> None:
    answer = await things.post(URL, **sent | {"headers": sent.get("headers", {}) | KEY})
    problem = json.loads(await answer.read())
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    assert (problem["status"], problem["type"]) == (status, f"urn:parvis:problem:{code}")


async def test_an_escaped_backslash_before_u0000_is_no_nul(things: Knock) -> None:
    answer = await things.post(URL, json={"name": "\\u0000"}, headers=KEY)
    assert (await answer.json())["name"] == "\\u0000"


async def test_a_refusal_says_where_and_never_repeats_what_was_sent(things: Knock) -> None:
    answer = await things.post(URL, json={"name": 7, "size": "hunter2"}, headers=KEY)
    text = await answer.text()
    assert [(one["location"], one["at"]) for one in json.loads(text)["errors"]] == [("body", ["name"]), ("body", ["size"])]
    assert "hunter2" not in text


async def test_a_thousand_mistakes_are_answered_with_the_first_ones(things: Knock) -> None:
    answer = await things.post(URL, json={"name": "a"} | {f"x{number}": 1 for number in range(1000)}, headers=KEY)
    assert len((await answer.json())["errors"]) == 20


@pytest.mark.parametrize("path", ["?limit=ten", "?colour=red", "?tag=a%00b", "/no-uuid", "/%00"])
async def test_what_the_url_says_is_checked(things: Knock, path: str) -> None:
    assert (await things.get(URL + path, headers=READ)).status == 422


@pytest.mark.parametrize("key", ["", "a b", "é", "k" * 65])
async def test_a_header_is_checked(things: Knock, key: str) -> None:
    assert (await things.post(URL, json={"name": "a"}, headers={"Idempotency-Key": key})).status == 422


async def test_a_header_given_twice_or_not_at_all_is_refused(things: Knock) -> None:
    assert (await things.post(URL, json={"name": "a"})).status == 422
    assert (await things.post(URL, json={"name": "a"}, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])).status == 422


async def test_a_change_must_say_which_version_it_changes(things: Knock) -> None:
    async def drop(**headers: str) -> int:
        return (await things.delete(f"{URL}/{ONE}", headers=WRITE | headers)).status

    assert await drop() == 428
    assert await drop(**{"If-Match": '"2"'}) == 412
    assert await drop(**{"If-Match": "1"}) == 422


async def test_who_asks_is_asked_before_what_is_asked(things: Knock) -> None:
    nobody = await things.get(f"{URL}/no-uuid")
    assert (nobody.status, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (await things.get(f"{URL}/no-uuid", headers=WRITE)).status == 403
    assert (await things.get(f"{URL}/no-uuid", headers=READ)).status == 422


async def test_a_door_finds_the_handles_of_its_service_on_the_request(things: Knock) -> None:
    assert await (await things.get(f"{URL}/{ONE}", headers=READ)).json() == {"id": str(ONE), "name": "things:read"}
    assert (await things.get(f"{URL}/{UUID(int=9)}", headers=READ)).status == 404


class Filter(Query):
    name: str = ""


class Plain(Body):
    name: str


class Loose:
    name: str


async def no_answer_said(request: Request):  # type: ignore[no-untyped-def]  # noqa: ANN201
    ...


async def path_forgotten(request: Request) -> None: ...
async def path_misspelt(request: Request, thing: UUID) -> None: ...
async def query_of_another_kind(request: Request, thing_id: UUID, query: Plain) -> None: ...
async def body_of_another_kind(request: Request, thing_id: UUID, body: Loose) -> None: ...
async def marker_forgotten(request: Request, thing_id: UUID, key: Annotated[str, "X-Key"]) -> None: ...


@pytest.mark.parametrize(
    "door", [no_answer_said, path_forgotten, path_misspelt, query_of_another_kind, body_of_another_kind, marker_forgotten]
)
def test_a_signature_that_cannot_be_served_is_refused_at_import(door: Any) -> None:
    with pytest.raises(TypeError, match=door.__name__):
        Routes("things", "1").get("/things/{thing_id}")(door)


def test_a_scope_without_anyone_to_check_it_is_refused_when_mounted() -> None:
    from parvis_kit.http import mount
    from parvis_kit.settings import Platform

    with pytest.raises(ValueError, match="authenticate"):
        mount(web.Application(), Things(authenticate=None), Platform())


async def test_optional_headers_mixed_answers_and_raw_doors(open_house: Open) -> None:
    routes = Routes("things", "1")

    @routes.get("/maybe")
    async def maybe(request: Request, query: Filter, key: IdempotencyKey | None = None) -> Reply[list[str]] | None:
        """Something, or nothing."""
        return Reply([key]) if key else None

    @routes.get("/page")
    async def page(request: Request, agent: Annotated[str, Header("X-Agent")] = "nobody") -> web.Response:
        """A page of its own making."""
        return web.Response(text=agent, headers={"Cache-Control": "max-age=60"})

    @routes.raw("PROPFIND", "/dav/{path:.*}")
    async def propfind(request: Request) -> web.StreamResponse:
        return web.Response(status=207, text=request.match_info["path"])

    client = await open_house(Things((routes,)))
    assert (await client.get("/maybe")).status == 204
    assert await (await client.get("/maybe", headers={"Idempotency-Key": "k"})).json() == ["k"]
    answer = await client.get("/page")
    assert (await answer.text(), answer.headers["Cache-Control"], answer.headers["X-Content-Type-Options"]) == (
        "nobody",
        "max-age=60",
        "nosniff",
    )
    found = await client.request("PROPFIND", "/dav/a/b")
    assert (found.status, await found.text()) == (207, "a/b")


async def test_a_body_that_is_no_json_is_read_when_its_door_wants_it_and_within_its_own_limits(open_house: Open) -> None:
    routes = Routes("things", "1")
    Text = Annotated[Incoming, Content(("text/csv", "text/plain"), bytes_max=2_000_000, seconds_max=0.3)]

    @routes.post("/files")
    async def count(request: Request, file: Text, unread: Annotated[str, Header("X-Unread")] = "") -> int:
        """How many bytes."""
        return -1 if unread else len(await file.read())

    async def dripping() -> AsyncIterator[bytes]:
        yield b"a;b"
        await asyncio.Event().wait()

    async def growing() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1_000_000

    client = await open_house(Things((routes,)))
    csv = {"Content-Type": "text/csv; charset=windows-1252"}
    answer = await client.post("/files", data=b"x" * 1_500_000, headers=csv)
    assert (answer.status, await answer.json()) == (201, 1_500_000), "more than JSON may have"
    assert await (await client.post("/files", data=b"x", headers=csv | {"X-Unread": "1"})).json() == -1
    for data, headers, status in (
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"a", csv | {"Content-Encoding": "gzip"}, 415),
        (b"x" * 2_000_001, csv, 413),
        (growing(), csv, 413),
        (dripping(), csv, 408),
    ):
        try:
            async with client.post("/files", data=data, headers=headers) as refused:
                assert refused.status == status, (status, await refused.text())
        except ClientConnectionError:  # a refusal may come as a reset, when the client is still sending
            assert status in (408, 413)
    said = openapi("things", [routes])["paths"]["/files"]["post"]
    assert set(said["requestBody"]["content"]) == {"text/csv", "text/plain"} and {"408", "413", "415"} <= set(said["responses"])


async def test_a_door_is_made_when_it_is_first_asked_for_and_then_kept(open_house: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def note(operation: Any, limits: Any) -> Any:
        made.append(operation.path)
        return typed(operation, limits)

    monkeypatch.setattr(sys.modules["parvis_kit.http.mount"], "typed", note)  # the package has a function of that name
    routes = Routes("things", "1")

    class Wanted(Body):
        number: int

    @routes.post("/asked")
    async def ask(request: Request, body: Wanted) -> int:
        """Once more."""
        return body.number

    @routes.get("/never")
    async def never(request: Request) -> int:
        """Nobody asks."""
        return 0

    client = await open_house(Things(routes=(routes,)))
    assert made == [] and not Wanted.__pydantic_complete__, "it takes memory"
    for sent, status in (({"number": 1}, 201), ({"number": "1"}, 422), ({"number": 2}, 201)):
        assert (await client.post("/asked", json=sent)).status == status
    assert made == ["/asked"]
