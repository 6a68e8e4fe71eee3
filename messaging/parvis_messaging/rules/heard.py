"""Events as another homeserver tells them: what has the shape of one, and nothing else."""

from typing import Any

from parvis_messaging.rules import Event
from parvis_messaging.rules.matrix import ID_CHARACTERS_MAX, relation_of


def event_of(said: Any) -> Event | None:
    """None for what is no event: a homeserver that is not ours may say anything, and must not stop what comes after."""
    if not isinstance(said, dict):
        return None
    content, at_ms, state_key = said.get("content"), said.get("origin_server_ts"), said.get("state_key")
    names = [said.get(name) for name in ("event_id", "room_id", "type", "sender")]
    if not all(is_id(one) for one in names) or not isinstance(content, dict) or (state_key is not None and not isinstance(state_key, str)):
        return None
    event_id, room_id, kind, sender = (str(one) for one in names)
    relates_to, rel_type = (None, None) if state_key is not None else relation_of(content)
    relates_to = relates_to if is_id(relates_to) else None
    return Event(
        0, event_id, room_id, kind, state_key, sender, content, at_ms if isinstance(at_ms, int) else 0, None, None, relates_to, rel_type,
        None, None,
    )  # fmt: skip


def is_id(one: Any) -> bool:
    """Text that every database keeps as it is."""
    return isinstance(one, str) and 0 < len(one) <= ID_CHARACTERS_MAX and one.isprintable()
