"""What a request demands of the thing as it stands: If-Match, If-None-Match, If; and how much it wants to be told."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web

from parvis_kit.problems import BadRequest, PreconditionFailed

ENTITY_TAG = re.compile(r'\s*(W/)?("[^"\x00-\x1f]*")\s*(?:,|$)')
LISTED = re.compile(r"\s*(?:<(?P<resource>[^>]*)>\s*)?\((?P<list>[^()]*)\)")
STATED = re.compile(r"\s*(?P<negated>Not\s+)?(?:<(?P<token>[^>]*)>|\[(?P<tag>[^\]]*)\])", re.IGNORECASE)
LISTS_MAX = 100
"""Of an If header: each lock has one, and nobody holds that many."""


@dataclass(frozen=True, slots=True)
class Current:
    """The thing as it stands; `etag` with its quotes, None when there is nothing of this name."""

    etag: str | None
    locks: frozenset[str] = frozenset()


def check_conditions(headers: Mapping[str, str], current: Current) -> None:
    """If-Match and If-None-Match (RFC 9110 §13.1). Raises PreconditionFailed, BadRequest."""
    if (text := headers.get("If-Match")) is not None:
        met = current.etag is not None and (text.strip() == "*" or (False, current.etag) in entity_tags(text))
        if not met:
            raise PreconditionFailed("It is not as you have read it: read it again.")
    if (text := headers.get("If-None-Match")) is not None and current.etag is not None:
        if text.strip() == "*" or current.etag in {tag for _, tag in entity_tags(text)}:
            raise PreconditionFailed("There is something of this name already.")


def entity_tags(text: str) -> list[tuple[bool, str]]:
    """(whether it is weak, the tag with its quotes). Raises BadRequest."""
    found, at = [], 0
    while at < len(text):
        matched = ENTITY_TAG.match(text, at)
        if matched is None:
            raise BadRequest('An entity tag stands between quotes, as "abc".')
        found.append((matched[1] is not None, matched[2]))
        at = matched.end()
    return found


def check_if(text: str | None, current: Current, resource: str, others: Mapping[str, Current] | None = None) -> None:
    """The If header of RFC 4918 §10.4: one of its lists has to hold. `others`: by path, what tagged lists may speak of.

    Raises PreconditionFailed, BadRequest.
    """
    if text is None:
        return
    about, at, seen = current, 0, 0
    stripped = text.rstrip()
    while at < len(stripped):
        matched = LISTED.match(stripped, at)
        seen += 1
        if matched is None or seen > LISTS_MAX:
            raise BadRequest("The If header cannot be read.")
        if (named := matched["resource"]) is not None:
            path = "/" + named.partition("://")[2].partition("/")[2] if "://" in named else named
            about = current if path == resource else (others or {}).get(path, Current(None))
        if all(holds != negated for holds, negated in states_of(matched["list"], about)):
            return
        at = matched.end()
    raise PreconditionFailed("It is not as your If header says.")


def states_of(text: str, about: Current) -> Iterable[tuple[bool, bool]]:
    """(whether it holds, whether it is negated) for each condition of a list. Raises BadRequest."""
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        matched = STATED.match(text, at)
        if matched is None:
            raise BadRequest("The If header cannot be read.")
        token, tag = matched["token"], matched["tag"]
        holds = token in about.locks if token is not None else about.etag is not None and tag.strip() == about.etag
        found.append((holds, matched["negated"] is not None))
        at = matched.end()
    if not found:
        raise BadRequest("A list of the If header is empty.")
    return found


def wants_minimal(request: web.Request) -> bool:
    """By `Prefer: return=minimal` (RFC 8144), or by Apple's `Brief: t` before it."""
    if request.headers.get("Brief", "").strip().lower() == "t":
        return True
    asked = ",".join(request.headers.getall("Prefer", ()))
    return any(one.strip().replace(" ", "").lower() in ("return=minimal", "return-minimal") for one in asked.split(","))
