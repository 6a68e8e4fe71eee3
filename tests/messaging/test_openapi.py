"""The JSON API is what its committed document says, to whoever follows it and to whoever does not."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth

from .bridge import invited, joined, nearly_full, shared
from .conftest import Town
from .test_notices import signed

CONFIG = SchemathesisConfig.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "422"]}}})
CASES = 40
ANSWER_SECONDS_MAX = 10


async def test_the_service_does_what_its_document_says(town: Town) -> None:
    """Requests made up from the document, good and bad, to an agent who was told something of each kind."""
    await joined(town, "bob")
    await town.hears(shared(town, "ada", "bob"), invited(town, "ada", "bob", uuid4()), nearly_full(town, "bob", 80, uuid4()))
    server = town.client.server
    assert isinstance(server, TestServer)
    await asyncio.to_thread(knock_everywhere, str(server.make_url("/api/messaging/openapi.json")), signed(town, "bob"))


def knock_everywhere(url: str, token: str) -> None:
    knocked = 0
    for result in schemathesis.openapi.from_url(url, config=CONFIG).get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        def knock(case: Any) -> None:
            # it guesses at accounts until it is told 429, where it asks for 401
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, timeout=ANSWER_SECONDS_MAX, excluded_checks=[ignored_auth])

        knock()
        knocked += 1
    if knocked < 5:
        pytest.fail(f"{knocked} operations")
