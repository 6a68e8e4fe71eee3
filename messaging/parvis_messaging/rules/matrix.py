"""What Matrix says about identifiers, bodies, refusals and what is left of a redacted event."""

import json
import re
from collections.abc import Mapping
from secrets import token_urlsafe
from typing import Any

from parvis_kit.text import fold

from parvis_messaging.rules import JsonObject

ROOM_VERSION = "10"
"""The last one whose creator has a power level like everybody's: `matrix-nio` and others read later ones wrongly."""
BODY_BYTES_MAX = 128 * 1024
"""Of a JSON body: twice an event, for createRoom with its first state."""
EVENT_BYTES_MAX = 60 * 1024
"""Of an event's content; the specification allows 64 KiB for the whole event."""
DEPTH_MAX = 40
INTEGER_MAX = 2**53 - 1
"""Of canonical JSON; floating numbers have no place in it either."""
ID_CHARACTERS_MAX = 255
LOCALPART = re.compile(r"[a-z0-9._=/+-]{1,200}")
SERVER_NAME = re.compile(r"[A-Za-z0-9.-]{1,200}(:\d{1,5})?")
ALIAS_LOCALPART = re.compile(r"[^:\x00-\x20]{1,200}")


class Refused(Exception):
    """What a Matrix client is told: a status, an errcode and a sentence."""

    def __init__(self, status: int, errcode: str, error: str, **more: Any) -> None:
        super().__init__(error)
        self.status, self.errcode, self.error, self.more = status, errcode, error, more

    def body(self) -> JsonObject:
        return {"errcode": self.errcode, "error": self.error, **self.more}


def forbidden(error: str) -> Refused:
    return Refused(403, "M_FORBIDDEN", error)


def not_found(error: str) -> Refused:
    return Refused(404, "M_NOT_FOUND", error)


def invalid(error: str) -> Refused:
    return Refused(400, "M_INVALID_PARAM", error)


def bad_json(error: str) -> Refused:
    return Refused(400, "M_BAD_JSON", error)


def too_large(error: str) -> Refused:
    return Refused(413, "M_TOO_LARGE", error)


def limit_exceeded(error: str, retry_after_ms: int) -> Refused:
    return Refused(429, "M_LIMIT_EXCEEDED", error, retry_after_ms=retry_after_ms)


def read_object(raw: bytes) -> JsonObject:
    """A JSON object as Matrix allows it. Raises Refused."""
    if len(raw) > BODY_BYTES_MAX:
        raise too_large(f"At most {BODY_BYTES_MAX} bytes.")
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(400, "M_NOT_JSON", "The body is not JSON.") from None
    if not isinstance(value, dict):
        raise bad_json("The body has to be a JSON object.")
    check(value)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def check(value: Any, depth: int = 0) -> None:
    """Raises Refused for what neither canonical JSON nor a database's text can hold."""
    match value:
        case str():
            check_text(value)
        case bool() | None:
            return
        case int():
            if abs(value) > INTEGER_MAX:
                raise bad_json("Whole numbers lie between -2^53 and 2^53.")
        case float():
            raise bad_json("Only whole numbers are allowed here.")
        case dict() | list():
            if depth >= DEPTH_MAX:
                raise bad_json(f"Nested more than {DEPTH_MAX} deep.")
            if isinstance(value, dict):
                for name in value:
                    check_text(name)
            for one in value.values() if isinstance(value, dict) else value:
                check(one, depth + 1)


def check_text(text: str) -> str:
    """Raises Refused for a NUL or half a character."""
    if "\0" in text:
        raise bad_json("No text may hold a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise bad_json("A text holds half of a character.") from None
    return text


def text_in(body: Mapping[str, Any], name: str, default: str | None = None, characters_max: int = ID_CHARACTERS_MAX) -> str:
    """Raises Refused when it is missing, no text, or too long."""
    value = body.get(name, default)
    if value is None:
        raise Refused(400, "M_MISSING_PARAM", f"{name} is missing.")
    if not isinstance(value, str):
        raise bad_json(f"{name} has to be a text.")
    if len(value) > characters_max:
        raise invalid(f"{name} has at most {characters_max} characters.")
    return value


def object_in(body: Mapping[str, Any], name: str) -> JsonObject:
    """Empty when it is not there. Raises Refused when it is no object."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_json(f"{name} has to be an object.")
    return value


def list_in(body: Mapping[str, Any], name: str, most: int) -> list[Any]:
    """Empty when it is not there. Raises Refused when it is no list, or too long."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_json(f"{name} has to be a list.")
    if len(value) > most:
        raise invalid(f"{name} has at most {most} entries.")
    return value


def number_in(text: str | None, default: int, most: int) -> int:
    """A whole number of a query, no more than `most`. Raises Refused."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise invalid("This has to be a whole number, 0 or more.")
    return min(int(text), most)


def localpart_of(given_name: str, family_name: str) -> str:
    """`Léa`, `Le Goff` → `lea.le-goff`."""
    parts = [re.sub(r"[^a-z0-9]+", "-", fold(one)).strip("-") for one in (given_name, family_name)]
    return ".".join(filter(None, parts))[:100] or "agent"


def new_event_id() -> str:
    """Of the length that version 4 rooms and later have."""
    return f"${token_urlsafe(32)}"


def new_room_id(server: str) -> str:
    return f"!{token_urlsafe(13)}:{server}"


def relation_of(content: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What the event relates to, and how; a plain answer (m.in_reply_to alone) is no such relation."""
    relation = content.get("m.relates_to")
    if not isinstance(relation, dict):
        return None, None
    target, how = relation.get("event_id"), relation.get("rel_type")
    if not isinstance(target, str) or not isinstance(how, str) or len(target) > ID_CHARACTERS_MAX or len(how) > ID_CHARACTERS_MAX:
        return None, None
    return target, how


KEPT_WHEN_REDACTED: Mapping[str, tuple[str, ...]] = {
    "m.room.member": ("membership",),
    "m.room.create": ("creator", "room_version"),
    "m.room.join_rules": ("join_rule",),
    "m.room.power_levels": (
        "ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default",
    ),
    "m.room.history_visibility": ("history_visibility",),
}  # fmt: skip


def redacted(kind: str, content: Mapping[str, Any]) -> JsonObject:
    """What is left of a redacted event's content."""
    return {name: content[name] for name in KEPT_WHEN_REDACTED.get(kind, ()) if name in content}
