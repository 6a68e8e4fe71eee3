"""The AsyncAPI document is one by AsyncAPI's own schema, which is kept beside this test."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from parvis_contracts.directory import AgentJoined, AgentState
from parvis_kit.events import Erased, asyncapi
from parvis_suite.contracts import kinds

OFFICIAL = jsonschema.Draft7Validator(json.loads(Path(__file__).with_name("asyncapi-3.0.0.schema.json").read_text()))


async def hear(tx: Any, fact: Any) -> None:
    """Listens."""


@pytest.fixture
def made() -> dict[str, Any]:
    return asyncapi.document(
        kinds(), {"files": {AgentJoined: hear}, "files.roster@1": {AgentState: hear, Erased(AgentState): hear}}, "1", 12
    )


def test_the_document_is_valid(made: dict[str, Any]) -> None:
    assert [f"{list(error.path)}: {error.message[:200]}" for error in OFFICIAL.iter_errors(made)] == []


@pytest.mark.parametrize(
    "path, value",
    [
        (("channels", "parvis.directory.agent", "adress"), "elsewhere"),
        (("channels", "parvis.directory.agent", "bindings", "kafka", "partitions"), "twelve"),
        (("operations", "parvis.directory.agent.send", "action"), "shout"),
        (("components", "messages", "directory.agent.joined.v1", "headers"), "none"),
        (("info", "version"), None),
    ],
)
def test_what_is_not_asyncapi_is_noticed(made: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    part = made
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    assert list(OFFICIAL.iter_errors(made)) != []
