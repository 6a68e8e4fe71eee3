"""The document that a service publishes about itself."""

import re
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from aiohttp.test_utils import TestServer
from parvis_kit.http import Request, Routes, mount, openapi
from parvis_kit.settings import Platform

from .conftest import THINGS, Knock, Things

PATH, ONE_PATH = "/api/things/v1/things", "/api/things/v1/things/{thing_id}"


@pytest.fixture
async def document(things: Knock) -> dict[str, Any]:
    found: dict[str, Any] = await (await things.get("/api/things/openapi.json")).json()
    return found


def test_it_is_openapi_3_1_that_a_reader_of_openapi_accepts() -> None:
    document = openapi("things", [THINGS])
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()


def test_every_reference_in_it_leads_somewhere() -> None:
    document = openapi("things", [THINGS])
    for reference in re.findall(r"'\$ref': '#/([^']+)'", str(document)):
        found: Any = document
        for part in reference.split("/"):
            found = found[part]


async def test_an_operation_is_named_after_its_door_and_described_by_its_words(document: dict[str, Any]) -> None:
    said = document["paths"][PATH]["get"]
    assert (said["operationId"], said["summary"]) == ("list_things", "Things, by id.")
    assert said["description"] == "With as many as asked for there may be more."


async def test_parameters_bear_the_names_that_travel(document: dict[str, Any]) -> None:
    post, delete = document["paths"][PATH]["post"], document["paths"][ONE_PATH]["delete"]
    assert [(one["in"], one["name"], one["required"]) for one in post["parameters"]] == [("header", "Idempotency-Key", True)]
    assert [(one["in"], one["name"]) for one in delete["parameters"]] == [("path", "thing_id"), ("header", "If-Match")]
    assert {one["name"]: one["schema"]["default"] for one in document["paths"][PATH]["get"]["parameters"]} == {"limit": 10, "tag": []}


async def test_every_success_and_its_headers_are_documented(document: dict[str, Any]) -> None:
    responses = document["paths"][PATH]["post"]["responses"]
    for status in ("200", "201"):
        assert set(responses[status]["headers"]) == {"ETag", "Location"}
        assert responses[status]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Thing"}
    assert "content" not in document["paths"][ONE_PATH]["delete"]["responses"]["204"]


async def test_every_refusal_is_documented_by_status_as_a_component(document: dict[str, Any]) -> None:
    responses = document["paths"][PATH]["post"]["responses"]
    assert {"400", "408", "409", "413", "415", "422", "503"} <= set(responses)
    assert responses["409"] == {"$ref": "#/components/responses/ConflictOrKeyReused"}
    words = document["components"]["responses"]["ConflictOrKeyReused"]["description"]
    assert "`conflict`" in words and "`key-reused`" in words
    assert {"401", "403", "412", "428"} <= set(document["paths"][ONE_PATH]["delete"]["responses"])


async def test_scopes_are_asked_of_tokens_and_of_app_passwords(document: dict[str, Any]) -> None:
    assert document["paths"][ONE_PATH]["get"]["security"] == [{"token": ["things:read"]}, {"appPassword": ["things:read"]}]
    assert "security" not in document["paths"][PATH]["get"]
    assert {one["scheme"] for one in document["components"]["securitySchemes"].values()} == {"bearer", "basic"}


def test_two_doors_of_one_name_are_refused_when_mounted() -> None:
    routes = Routes("things", "1")

    @routes.get("/other")
    async def list_things(request: Request) -> None: ...

    with pytest.raises(ValueError, match="list_things"):
        mount(web.Application(), Things((THINGS, routes)), Platform())


async def test_the_service_does_what_its_document_says(things: Knock) -> None:
    """A hundred requests made up from the document, good and bad; `make check` asks the real services much more."""
    import asyncio

    server = things.server
    assert isinstance(server, TestServer)
    url = str(server.make_url("/api/things/openapi.json"))
    failed = await asyncio.to_thread(_knock_everywhere, url)
    assert not failed, failed


def _knock_everywhere(url: str) -> list[str]:
    from hypothesis import HealthCheck, Phase, given, settings

    schema = schemathesis.openapi.from_url(url)
    failed: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        def knock(case: Any) -> None:
            answer = case.call()
            try:
                case.validate_response(answer, excluded_checks=[schemathesis.checks.CHECKS.get_one("positive_data_acceptance")])
            except Exception as error:  # noqa: BLE001 (schemathesis raises groups of its own)
                failed.append(f"{case.method} {case.path}: {error}")

        knock()
    return failed
