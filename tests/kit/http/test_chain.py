"""What every request goes through, whatever door it comes to."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yarl
from aiohttp import web
from parvis_kit.context import CAUSE, acting_as
from parvis_kit.http import Limits, Request, Routes
from parvis_kit.logs import JsonFormatter
from parvis_kit.settings import Platform
from parvis_kit.testing.waiting import until
from prometheus_client import REGISTRY, generate_latest

from .conftest import Gate, Knock, Open, Things

QUIET = Platform(access_log=False)
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What is logged, as a collector reads it."""
    found: list[dict[str, Any]] = []

    class Collect(logging.StreamHandler[io.StringIO]):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(self.format(record)))

    handler = Collect()
    handler.setFormatter(JsonFormatter())
    logger, level = logging.getLogger(), logging.getLogger().level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


def misbehaving() -> Routes:
    routes = Routes("odd", "1")

    @routes.get("/cause")
    async def cause(request: Request) -> dict[str, str]:
        """Who causes what."""
        acting_as("agent-7")
        return CAUSE.get()._asdict()

    @routes.get("/bug/{number}")
    async def bug(request: Request, number: int) -> None:
        """Fail."""
        raise ZeroDivisionError("the password is hunter2")

    @routes.get("/away")
    async def away(request: Request) -> None:
        """Go elsewhere."""
        raise web.HTTPSeeOther("/cause")

    @routes.raw("GET", "/half")
    async def half(request: Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"begun")
        raise ZeroDivisionError

    return routes


@pytest.fixture
async def odd(open_house: Open) -> Knock:
    return await open_house(Things((misbehaving(),), "odd"))


async def test_a_request_has_an_id_that_it_brought_or_gets_one(odd: Knock) -> None:
    answer = await odd.get("/cause", headers={"X-Request-Id": "from-the-proxy"})
    assert answer.headers["X-Request-Id"] == (await answer.json())["request_id"] == "from-the-proxy"
    fresh = {(await odd.get("/cause")).headers["X-Request-Id"] for _ in range(3)}
    assert len(fresh) == 3


@pytest.mark.parametrize("insane", ["", "a" * 65, "a b", 'a"b', "é"])
async def test_an_id_that_is_no_id_is_not_taken_over(odd: Knock, insane: str) -> None:
    answer = await odd.get("/cause", headers={"X-Request-Id": insane})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])


async def test_a_trace_goes_on_with_a_span_of_ours(odd: Knock) -> None:
    came = f"00-{TRACE}-b7ad6b7169203331-00"
    cause = await (await odd.get("/cause", headers={"traceparent": came})).json()
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", cause["traceparent"])
    assert cause["traceparent"] != came
    for insane in ("", "00-xyz", f"ff-{TRACE}"):
        cause = await (await odd.get("/cause", headers={"traceparent": insane})).json()
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", cause["traceparent"])


async def test_a_bug_is_told_by_its_request_id_and_its_details_stay_in_the_log(odd: Knock, lines: list[dict[str, Any]]) -> None:
    answer = await odd.get("/bug/1", headers={"X-Request-Id": "r-1"})
    text = await answer.text()
    assert (answer.status, answer.content_type, json.loads(text)["instance"]) == (
        500,
        "application/problem+json",
        "urn:parvis:request:r-1",
    )
    assert "ZeroDivision" not in text and "hunter2" not in text
    (line,) = [one for one in lines if "exception" in one]
    assert (line["request_id"], line["service"]) == ("r-1", "odd")
    assert "ZeroDivisionError" in line["exception"]


async def test_an_answer_that_breaks_half_way_is_cut_off_not_mended(odd: Knock) -> None:
    answer = await odd.get("/half")
    with pytest.raises(Exception, match="not completed|payload|closed"):
        await answer.read()


async def test_what_no_route_matches_is_a_problem_too(odd: Knock) -> None:
    missing = await odd.get("/nowhere")
    assert (missing.status, (await missing.json(content_type="application/problem+json"))["type"]) == (404, "urn:parvis:problem:not-found")
    broken = await odd.get(yarl.URL("/no%0Awhere", encoded=True))
    assert (broken.status, broken.content_type) == (404, "application/problem+json")
    wrong = await odd.post("/cause")
    assert (wrong.status, wrong.content_type, wrong.headers["Allow"]) == (405, "application/problem+json", "GET,HEAD")
    unmet = await odd.get("/cause", headers={"Expect": "a miracle"})
    assert (unmet.status, unmet.content_type) == (417, "application/problem+json")


async def test_a_redirection_stays_one(odd: Knock) -> None:
    answer = await odd.get("/away", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/cause")


@pytest.mark.parametrize("path", ["/cause", "/bug/1", "/nowhere", "/livez", "/api/odd/openapi.json"])
async def test_no_answer_may_be_stored_guessed_at_or_framed(odd: Knock, path: str) -> None:
    headers = (await odd.get(path)).headers
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "aiohttp" not in headers["Server"]


async def test_a_full_service_says_when_to_come_back_while_others_and_health_go_on(open_house: Open) -> None:
    gate = Gate()
    client = await open_house(Things((gate.routes,), "full"), Things(), platform=QUIET.model_copy(update={"in_flight_max": 2}))
    waiting = [asyncio.create_task(client.get("/wait")) for _ in range(2)]
    await until(lambda: _is(gate.inside == 2), "two requests are at work")
    refused = await client.get("/wait")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert (await client.get("/livez")).status == (await client.get("/readyz")).status == 200
    assert (await client.get("/api/things/v1/things")).status == 200
    assert REGISTRY.get_sample_value("parvis_http_requests_at_work", {"service": "full"}) == 2
    gate.opened.set()
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [204, 204]
    assert (await client.get("/wait")).status == 204


async def test_a_door_that_takes_too_long_is_given_up_and_its_place_is_free_again(open_house: Open) -> None:
    gate = Gate()
    client = await open_house(
        Things((gate.routes,), "slow"), platform=QUIET.model_copy(update={"in_flight_max": 1}), limits=Limits(handler_seconds=0.02)
    )
    for _ in range(2):
        late = await client.get("/wait")
        assert (late.status, late.headers["Retry-After"]) == (503, "1")
    assert gate.inside == 0
    gate.opened.set()
    assert (await client.get("/wait")).status == 204


async def test_figures_are_kept_by_template_never_by_path(odd: Knock) -> None:
    for number in range(3):
        await odd.get(f"/bug/{number}")
    await odd.get("/bug/no-number")
    labels = {"service": "odd", "method": "GET", "route": "/bug/{number}"}
    assert (REGISTRY.get_sample_value("parvis_http_requests_total", labels | {"status": "4xx"}) or 0) >= 1
    assert (REGISTRY.get_sample_value("parvis_http_requests_total", labels | {"status": "5xx"}) or 0) >= 3
    assert (REGISTRY.get_sample_value("parvis_http_request_seconds_count", labels) or 0) >= 4
    assert b"/bug/0" not in generate_latest() and b"/bug/{number}" in generate_latest()


async def test_one_line_a_request_says_who_asked_what_and_not_what_they_searched_for(open_house: Open, lines: list[dict[str, Any]]) -> None:
    client = await open_house(Things((misbehaving(),), "odd"), platform=Platform(access_log=True))
    await client.get("/cause?search=secret", headers={"X-Request-Id": "r-2"})
    (line,) = [one for one in lines if one["logger"] == "parvis.access"]
    assert line | {"time": 0, "ms": 0, "trace": 0} == {
        "time": 0,
        "ms": 0,
        "trace": 0,
        "level": "INFO",
        "logger": "parvis.access",
        "service": "odd",
        "request_id": "r-2",
        "actor": "agent-7",
        "method": "GET",
        "path": "/cause",
        "route": "/cause",
        "status": 200,
        "client": "127.0.0.1",
    }


async def test_no_line_is_written_when_it_is_not_wanted(odd: Knock, lines: list[dict[str, Any]]) -> None:
    await odd.get("/cause")
    assert not [one for one in lines if one["logger"] == "parvis.access"]


async def _is(truth: bool) -> bool:
    return truth
