"""The suite's facts: an example of each on disk, a schema of each revision, and no change that a reader could not bear."""

import json
import subprocess
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal

import parvis_contracts
import pytest
from parvis_kit.events import Fact, asyncapi, schemas
from parvis_kit.events.facts import declared
from pydantic import Field

FOLDER = Path(parvis_contracts.__file__).parent
KINDS = {name: kind for name, kind in declared().items() if kind.__module__.startswith("parvis_contracts.")}
EXAMPLES = sorted((FOLDER / "examples").glob("*.json"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_survives_the_round_trip(path: Path) -> None:
    fact = KINDS[path.stem].model_validate_json(path.read_bytes())
    assert json.loads(fact.model_dump_json()) == json.loads(path.read_bytes())


def test_every_fact_has_an_example() -> None:
    assert {path.stem for path in EXAMPLES} == KINDS.keys()


def test_an_example_leaves_no_field_out() -> None:
    for path in EXAMPLES:
        assert json.loads(path.read_bytes()).keys() == KINDS[path.stem].model_fields.keys(), path.stem


def test_the_schemas_on_disk_are_those_of_the_code() -> None:
    assert schemas.check(FOLDER / "schemas", KINDS) == []


@pytest.mark.parametrize("since", ["HEAD", "the main branch"])
def test_no_published_revision_was_edited_or_removed(since: str) -> None:
    """Against what is committed here, and against what this branch began with: a schema may be added to, never changed."""
    commit = "HEAD" if since == "HEAD" else began_with()
    listed = git("ls-tree", "--name-only", commit, "schemas/").split()
    published = {Path(name).stem: json.loads(git("show", f"{commit}:./{name}")) for name in listed}
    now = {path.stem: json.loads(path.read_text()) for path in (FOLDER / "schemas").glob("*.json")}
    assert schemas.check_history(now, published) == []


def began_with() -> str:
    """Where this branch left main; on main itself, the commit before."""
    for main in ("origin/main", "main", "HEAD~1"):
        with suppress(subprocess.CalledProcessError):
            base = git("merge-base", "HEAD", main).strip()
            if base != git("rev-parse", "HEAD").strip():
                return base
    pytest.skip("this history has but one commit")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=FOLDER, capture_output=True, text=True, check=True).stdout


def test_an_edited_or_missing_revision_is_named() -> None:
    assert schemas.check_history({"a.b.c.v1": [{"x": 1}]}, {"a.b.c.v1": [{"x": 2}], "a.b.d.v1": [{}]}) == [
        "a.b.d.v1: its schemas were published and are gone. Put the file back.",
        "a.b.c.v1: a published revision was edited. Put it back, and add a revision.",
    ]


class Colour(Enum):
    RED = "red"


class Before(Fact):
    type: ClassVar = "test.thing.seen.v1"
    size_bytes: int = Field(ge=0)
    colour: Literal["red", "blue"] = "red"
    parts: tuple[Colour, ...] = ()
    note: str | None = None


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("adding an optional field", {"more": (int, 0)}, ""),
    ("another description", {"size_bytes": (int, Field(ge=0, description="bytes"))}, ""),
    ("adding a required field", {"more": (int, ...)}, "more is new and required"),
    ("another type", {"size_bytes": (str, ...)}, "size_bytes had type"),
    ("another limit", {"size_bytes": (int, Field(ge=1))}, "size_bytes had minimum"),
    ("a narrower enumeration", {"colour": (Literal["red"], "red")}, "colour had"),
    ("a wider enumeration", {"colour": (Literal["red", "blue", "green"], "red")}, "colour had enum"),
    ("another kind of items", {"parts": (tuple[int, ...], ())}, "parts[] had"),
    ("null no longer allowed", {"note": (str, "")}, "note had"),
    ("a default taken away", {"colour": (Literal["red", "blue"], ...)}, "colour lost its default"),
]


@pytest.mark.parametrize(("what", "fields", "why"), CHANGES, ids=[change[0] for change in CHANGES])
def test_what_readers_could_not_bear_is_refused(what: str, fields: dict[str, Any], why: str) -> None:
    annotations = {name: annotation for name, (annotation, _) in fields.items()}
    defaults = {name: default for name, (_, default) in fields.items() if default is not ...}
    after = type("After", (Before,), {"__annotations__": annotations, "__module__": __name__, **defaults})
    found = schemas.breaks(schemas.schema_of(Before), schemas.schema_of(after))
    assert (found == []) if not why else any(one.startswith(why) for one in found), found


def test_a_required_field_that_goes_is_refused() -> None:
    old, new = schemas.schema_of(Before), schemas.schema_of(Before)
    new["properties"] = {name: one for name, one in new["properties"].items() if name != "size_bytes"}
    assert "size_bytes was required and is gone" in schemas.breaks(old, new)


def test_a_closed_schema_is_refused() -> None:
    closed = schemas.schema_of(Before) | {"additionalProperties": False}
    assert any("closed to unknown fields" in one for one in schemas.breaks(schemas.schema_of(Before), closed))


def test_each_revision_is_compared_with_all_before_it(tmp_path: Path) -> None:
    """Deleting an optional field, then adding it again with another type, passes where only the last revision is asked."""
    first = type("First", (Before,), {"__annotations__": {"more": int}, "more": 0, "__module__": __name__})
    third = type("Third", (Before,), {"__annotations__": {"more": str}, "more": "", "__module__": __name__})
    for kind in (first, Before):
        assert schemas.write(tmp_path, {Before.type: kind}) == [Before.type]
    assert schemas.write(tmp_path, {Before.type: third}) == []
    wrong = schemas.check(tmp_path, {Before.type: third})
    assert any("more had type" in one and "since revision 1" in one for one in wrong)


def test_asyncapi_names_every_fact_and_every_listener() -> None:
    from parvis_contracts.directory import AgentJoined, AgentState

    async def hear(tx: Any, fact: Any) -> None: ...

    made = asyncapi.document(KINDS, {"files": {AgentJoined: hear}, "files.roster@1": {AgentState: hear}}, "1", 12)
    assert made["components"]["messages"].keys() == KINDS.keys()
    assert made["channels"]["parvis.directory.agent.state"]["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] == ["compact"]
    assert made["operations"]["files.parvis.directory.agent.receive"]["action"] == "receive"
    for reference in references(made):
        target: Any = made
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def references(node: Any) -> list[str]:
    """Every reference within the document, JSON Schemas of payloads aside: those resolve in themselves."""
    if isinstance(node, list):
        return [found for one in node for found in references(one)]
    if not isinstance(node, dict) or "$schema" in node:
        return []
    return [node["$ref"]] if "$ref" in node else [found for one in node.values() for found in references(one)]
