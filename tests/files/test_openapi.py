"""The API is what its committed document says, to whoever follows it and to whoever does not."""

import asyncio
from typing import Any

import pytest
import schemathesis
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth

from .conftest import Office

REFUSALS = ["2xx", "400", "403", "404", "409", "410", "412", "422", "507"]
CONFIG = SchemathesisConfig.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": REFUSALS}}})
CASES = 12
ANSWER_SECONDS_MAX = 10


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
async def test_the_service_does_what_its_document_says(office: Office) -> None:
    """Requests made up from the document, good and bad, half of them about things that are there."""
    root = office.root("ada")
    done = await office.store(root, "a.txt", b"1", by="ada")
    space = await office.space("Crise", by="ada")
    shared = await office.share(await office.folder(root, "folder", by="ada"), "agent", "bob", "reader", by="ada")
    there = {
        "folder_id": [root, shared["item_id"]], "item_id": [root, shared["item_id"], done["file_id"]], "file_id": [done["file_id"]],
        "space_id": [space["id"], office.homes["ada"]["id"]], "upload_id": [done["id"]], "version_id": [done["version_id"]],
        "share_id": [shared["id"]],
    }  # fmt: skip
    server = office.client.server
    assert isinstance(server, TestServer)
    await asyncio.to_thread(knock_everywhere, str(server.make_url("/api/files/openapi.json")), office.tokens["ada"], there)


def knock_everywhere(url: str, token: str, there: dict[str, list[str]]) -> None:
    for result in schemathesis.openapi.from_url(url, config=CONFIG).get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy(), picks=st.lists(st.integers(-3, 2), min_size=4, max_size=4))
        @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        def knock(case: Any, picks: list[int]) -> None:
            for (name, _), pick in zip(sorted((case.path_parameters or {}).items()), picks, strict=False):
                if pick >= 0 and name in there:
                    case.path_parameters[name] = there[name][pick % len(there[name])]
            headers = {"Authorization": f"Bearer {token}"}
            # it guesses at accounts until it is told 429, where it asks for 401
            case.call_and_validate(headers=headers, timeout=ANSWER_SECONDS_MAX, excluded_checks=[ignored_auth])

        knock()
