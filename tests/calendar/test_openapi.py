"""The API is what its committed document says."""

import asyncio
from typing import Any

import pytest
import schemathesis
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth

from .conftest import Desk, event

REFUSALS = ["2xx", "400", "403", "404", "409", "412", "422", "507"]
CONFIG = SchemathesisConfig.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": REFUSALS}}})
CASES = 20
ANSWER_SECONDS_MAX = 10


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
async def test_the_service_does_what_its_document_says(desk: Desk) -> None:
    """Requests made up from the document, good and bad."""
    await desk.put(desk.agenda() + "a", event("a", "RRULE:FREQ=DAILY"))
    server = desk.client.server
    assert isinstance(server, TestServer)
    await asyncio.to_thread(knock_everywhere, str(server.make_url("/api/calendar/openapi.json")), desk.tokens["ada"])


def knock_everywhere(url: str, token: str) -> None:
    for result in schemathesis.openapi.from_url(url, config=CONFIG).get_all_operations():

        @given(case=result.ok().as_strategy())
        @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        def knock(case: Any) -> None:
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, timeout=ANSWER_SECONDS_MAX, excluded_checks=[ignored_auth])

        knock()
