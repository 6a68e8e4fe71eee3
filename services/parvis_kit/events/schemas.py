"""Contracts as JSON Schema, one file a type; every revision ever published stays, and each new one must agree with all of them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from parvis_kit.events.facts import Fact

Schema = Mapping[str, Any]
ANNOTATIONS = {"title", "description", "default", "examples", "$defs", "$ref"}
"""What says nothing about which values are valid; references are followed, not compared."""


def schema_of(kind: type[Fact]) -> dict[str, Any]:
    """JSON Schema 2020-12 of the data of a fact, as it is written."""
    made = kind.model_json_schema(mode="serialization")
    return {"$schema": GenerateJsonSchema.schema_dialect, "$id": f"urn:parvis:fact:{kind.type}", **made}


def revisions(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Every revision of a type that was published, oldest first."""
    path = folder / f"{kind}.json"
    return list(json.loads(path.read_text())) if path.exists() else []


def write(folder: Path, kinds: Mapping[str, type[Fact]]) -> list[str]:
    """Add a revision for each type whose schema is not the last one on disk, unless `check` would refuse it; the types that got one."""
    folder.mkdir(exist_ok=True)
    written = []
    for name, kind in kinds.items():
        before, now = revisions(folder, name), schema_of(kind)
        if (before and before[-1] == now) or any(breaks(old, now) for old in before):
            continue
        (folder / f"{name}.json").write_text(json.dumps([*before, now], indent=2, ensure_ascii=False, sort_keys=True) + "\n")
        written.append(name)
    return written


def check(folder: Path, kinds: Mapping[str, type[Fact]]) -> list[str]:
    """What is wrong: sentences that say what to do. FULL_TRANSITIVE: each revision can be read by readers of each other one."""
    wrong = []
    for name, kind in kinds.items():
        before, now = revisions(folder, name), schema_of(kind)
        for number, old in enumerate(before, 1):
            wrong += [
                f"{name}: {why} since revision {number}. Give the field a default, or take the change back: another meaning is a v2."
                for why in breaks(old, now)
            ]
        if not before or before[-1] != now:
            wrong.append(f"{name}: its schema is not on disk as it stands. Run `parvis events check --write` and commit what it writes.")
    known = {path.stem for path in folder.glob("*.json")}
    return wrong + [
        f"{name}: published once, and no longer declared. Kept facts of it must stay readable." for name in sorted(known - kinds.keys())
    ]


def check_history(now: Mapping[str, list[Any]], published: Mapping[str, list[Any]]) -> list[str]:
    """What was published may only be added to: `published` are the revisions by type as committed before."""
    wrong = [f"{name}: its schemas were published and are gone. Put the file back." for name in sorted(published.keys() - now.keys())]
    for name in sorted(published.keys() & now.keys()):
        if now[name][: len(published[name])] != published[name]:
            wrong.append(f"{name}: a published revision was edited. Put it back, and add a revision.")
    return wrong


def breaks(old: Schema, new: Schema) -> list[str]:
    """Why a reader of one cannot read what was written by the other, in either direction."""
    return list(_compare(old, new, "", old, new))


def _compare(old: Any, new: Any, where: str, old_root: Schema, new_root: Schema) -> Iterator[str]:
    old, new = _followed(old, old_root), _followed(new, new_root)
    at = where or "the fact"
    if new.get("additionalProperties") is False or old.get("additionalProperties") is False:
        yield f"{at} is closed to unknown fields, so none can ever be added"
    for keyword in sorted(
        (old.keys() | new.keys()) - ANNOTATIONS - {"properties", "required", "items", "prefixItems", "anyOf", "oneOf", "allOf"}
    ):
        if keyword == "additionalProperties" and isinstance(old.get(keyword), dict) and isinstance(new.get(keyword), dict):
            yield from _compare(old[keyword], new[keyword], f"{where}.*", old_root, new_root)
        elif old.get(keyword) != new.get(keyword):
            yield f"{at} had {keyword} {_short(old.get(keyword))} and has {_short(new.get(keyword))}"
    yield from _compare_properties(old, new, where, old_root, new_root)
    if ("items" in old) != ("items" in new):
        yield f"{at} is no longer the same kind of list"
    elif "items" in old:
        yield from _compare(old["items"], new["items"], f"{where}[]", old_root, new_root)
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        before, after = old.get(keyword, []), new.get(keyword, [])
        if len(before) != len(after):
            yield f"{at} had {len(before)} alternatives in {keyword} and has {len(after)}"
        for one, other in zip(before, after, strict=False):
            yield from _compare(one, other, where, old_root, new_root)


def _compare_properties(old: Schema, new: Schema, where: str, old_root: Schema, new_root: Schema) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    must_before, must_after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(before.keys() | after.keys()):
        here = f"{where}.{name}".lstrip(".")
        if name not in before and name in must_after and not _has_default(after[name]):
            yield f"{here} is new and required"
        elif name not in after and name in must_before and not _has_default(before[name]):
            yield f"{here} was required and is gone"
        elif name in before and name in after:
            if _has_default(before[name]) != _has_default(after[name]):
                yield f"{here} {'lost' if _has_default(before[name]) else 'got'} its default"
            yield from _compare(before[name], after[name], here, old_root, new_root)


def _has_default(schema: Schema) -> bool:
    """Fields with a default are always written, so they stand under `required` of what is written, and yet readers do without."""
    return "default" in schema


def _followed(schema: Any, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    found: Schema = schema
    return found


def _short(value: Any) -> str:
    return json.dumps(value)[:60] if value is not None else "none"
