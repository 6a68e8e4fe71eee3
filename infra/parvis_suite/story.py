"""What became of one request: lines of logs, facts, and what was done about each, put in the order of cause and effect."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from parvis_kit.events.facts import Envelope
from parvis_kit.events.operate import ParkedFact

PROXY, ACCESS, REACTION = "parvis.proxy", "parvis.access", "parvis.reaction"
LINE_CHARACTERS_MAX = 65_536
"""Ours have 16 KiB at most; a longer one is another program's."""

Line = dict[str, Any]


@dataclass(slots=True)
class Known:
    """The ids under which a request goes: its own, its trace's, and those of the facts that came of it."""

    ids: set[str]

    def has(self, *found: str | None) -> bool:
        return any(one in self.ids for one in found if one)

    def add(self, *found: str | None) -> None:
        self.ids |= {one for one in found if one}


@dataclass(slots=True)
class Story:
    lines: list[Line] = field(default_factory=list)
    facts: list[tuple[Envelope, dict[str, str]]] = field(default_factory=list)
    """With their heads, read."""
    parked: dict[str, list[ParkedFact]] = field(default_factory=dict)
    """By the fact's id."""


def trace_of(head: dict[str, str]) -> str:
    return head.get("traceparent", "")[3:35]


def lines_in(places: Sequence[Path | IO[str]], known: Known) -> list[Line]:
    """Those of JSON logs that belong to it; what they name besides is known then. A folder is looked through for *.log."""
    found = []
    for file in _files(places):
        for text in file:
            if len(text) > LINE_CHARACTERS_MAX or not any(one in text for one in known.ids):
                continue
            line = _read(text)
            if line is not None and known.has(line.get("request_id"), line.get("trace"), *facts_of(line)):
                known.add(line.get("trace"), line.get("request_id"))
                found.append(line)
    return found


def _files(places: Sequence[Path | IO[str]]) -> Iterator[Iterable[str]]:
    for place in places:
        if not isinstance(place, Path):
            yield place
            continue
        for one in [place] if place.is_file() else sorted(place.rglob("*.log")):
            with one.open(encoding="utf-8", errors="replace") as file:
                yield file


def _read(text: str) -> Line | None:
    """What stands before the brace (a time, a container's name) is the collector's."""
    try:
        line = json.loads(text[text.index("{") :])
    except ValueError:
        return None
    return line if isinstance(line, dict) and "logger" in line else None


def facts_of(line: Line) -> set[str]:
    """The one that it follows from, or those that were dealt with in one act."""
    return {*line.get("facts", ()), line.get("fact_id", "")} - {""}


def belongs(fact: Envelope, head: dict[str, str], known: Known) -> bool:
    return known.has(str(fact.id), head.get("correlationid"), trace_of(head))


def told(story: Story) -> list[str]:
    """Requests first, then each fact, under it what was done about it, and so on down."""
    requests = sorted(
        (one for one in story.lines if one["logger"] in (PROXY, ACCESS)), key=lambda one: (one["logger"] != PROXY, one["time"])
    )
    others = [one for one in story.lines if one["logger"] not in (PROXY, ACCESS)]
    ids = {str(fact.id) for fact, _ in story.facts}
    text = [_request(one) for one in requests]
    text += [_other(one, 1) for one in others if not facts_of(one) & ids]
    roots = [one for one in story.facts if one[1].get("causationid") not in ids]
    for fact, head in sorted(roots, key=lambda one: (one[0].at, one[0].id)):
        text += list(_fact(story, others, fact, head, 1))
    return text


def _fact(story: Story, others: Sequence[Line], fact: Envelope, head: dict[str, str], depth: int) -> Iterator[str]:
    publisher, about = head.get("source", "").rpartition("/")[2], "erased" if fact.data is None else "about"
    yield _row(fact.at.isoformat(timespec="milliseconds"), publisher, depth, f"said {fact.type} {about} {fact.key}  fact {fact.id}")
    mine = [one for one in others if str(fact.id) in facts_of(one)]
    for line in sorted(mine, key=lambda one: str(one["time"])):
        yield _other(line, depth + 1)
    for one in story.parked.get(str(fact.id), ()):
        yield _row(
            one.parked_at.isoformat(timespec="milliseconds"), one.consumer, depth + 1,
            f"PARKED it: {one.reason} {one.error}".rstrip() + f"; `parvis events parked {one.consumer}`",
        )  # fmt: skip
    followed = [one for one in story.facts if one[1].get("causationid") == str(fact.id)]
    for next_fact, next_head in sorted(followed, key=lambda one: (one[0].at, one[0].id)):
        yield from _fact(story, others, next_fact, next_head, depth + 1)


def _request(line: Line) -> str:
    who = f"  by {line['actor']}" if line.get("actor") else ""
    what = f"{line.get('method')} {line.get('path')} → {line.get('status')} in {line.get('ms')} ms{who}"
    return _row(line["time"], line.get("service", ""), 0, f"{what}  request {line.get('request_id')}")


def _other(line: Line, depth: int) -> str:
    if line["logger"] == REACTION:
        return _row(line["time"], line.get("consumer", ""), depth, f"has done its part about {line.get('type')}")
    said = str(line.get("message", "")).partition("\n")[0]
    failure = str(line.get("exception", "")).strip().rpartition("\n")[2]
    return _row(line["time"], line.get("service", ""), depth, f"{line.get('level')} {said}{f': {failure}' if failure else ''}")


def _row(at: str, who: str, depth: int, what: str) -> str:
    moment = datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return f"{moment}  {who:<10} {'  ' * depth}{what}"
