"""Who may do what in a room: power levels as Matrix has them."""

from collections.abc import Mapping
from typing import Any

from parvis_messaging.rules import JsonObject
from parvis_messaging.rules.matrix import INTEGER_MAX, bad_json, forbidden

LEVELS = {"ban": 50, "kick": 50, "redact": 50, "invite": 0, "events_default": 0, "state_default": 50, "users_default": 0}
"""What counts where the room says nothing."""
ROUTINE = {"m.room.name": 50, "m.room.topic": 50, "m.room.avatar": 50, "m.room.power_levels": 100, "m.room.tombstone": 100}


def first_levels(creator: str, trusted: Mapping[str, int] | None = None, **more: int) -> JsonObject:
    """Of a new room."""
    return {**LEVELS, **more, "users": {creator: 100, **(trusted or {})}, "events": dict(ROUTINE)}


def level_of(levels: Mapping[str, Any], user_id: str) -> int:
    users = levels.get("users")
    found = users.get(user_id) if isinstance(users, dict) else None
    return found if isinstance(found, int) else needed(levels, "users_default")


def needed(levels: Mapping[str, Any], what: str) -> int:
    found = levels.get(what)
    return found if isinstance(found, int) else LEVELS[what]


def needed_for(levels: Mapping[str, Any], kind: str, *, state: bool) -> int:
    """To send an event of this kind."""
    events = levels.get("events")
    found = events.get(kind) if isinstance(events, dict) else None
    return found if isinstance(found, int) else needed(levels, "state_default" if state else "events_default")


def check_power(levels: Mapping[str, Any], user_id: str, need: int, act: str) -> None:
    """Raises Refused."""
    if level_of(levels, user_id) < need:
        raise forbidden(f"Your power level in this room is below {need}, which it takes to {act}.")


def check_new_levels(old: Mapping[str, Any], new: Mapping[str, Any], user_id: str) -> None:
    """Nobody gives or takes more than they have. Raises Refused."""
    own = level_of(old, user_id)
    for part in (new, new.get("users", {}), new.get("events", {})):
        if not isinstance(part, dict):
            raise bad_json("users and events of power levels have to be objects.")
        for name, value in part.items():
            if part is new and name in ("users", "events", "notifications"):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or abs(value) > INTEGER_MAX:
                raise bad_json("A power level has to be a whole number.")
    for before, after in ((old.get("users", {}), new.get("users", {})), (old.get("events", {}), new.get("events", {}))):
        for name in {*before, *after}:
            check_change(before.get(name), after.get(name), own, equal=name == user_id)
    for name in LEVELS:
        check_change(needed(old, name), needed(new, name), own, equal=True)
    for name, level in old.get("users", {}).items():
        if name != user_id and isinstance(level, int) and level >= own and new.get("users", {}).get(name) != level:
            raise forbidden("Nobody changes the power level of who has as much as themselves.")


def check_change(before: Any, after: Any, own: int, *, equal: bool) -> None:
    if before != after and any(isinstance(one, int) and one > own for one in (before, after)):
        raise forbidden("Nobody gives or takes a power level above their own.")
