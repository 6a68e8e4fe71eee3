"""Values written into a statement, for those that are sent to PostgreSQL without values."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID


def literal(value: object) -> str:
    """A value of a statement that is sent without values (PostgreSQL, "String Constants", "Array Input and Output Syntax").

    For sessions whose standard_conforming_strings is on, as ours say that it is. Takes None, text, bytes, integers, moments, ids, and lists
    and tuples of them. Raises KeyError for any other type, and ValueError for the one character that PostgreSQL keeps in no text.
    """
    if value is None:
        return "NULL"
    if isinstance(value, (list, tuple)):
        text = "{" + ",".join(["NULL" if one is None else _written(one, IN_ARRAYS) for one in value]) + "}"
    else:
        text = _written(value, IN_TEXT)
    if "\x00" in text:  # the statement would end there
        raise ValueError("a text with a NUL, which PostgreSQL cannot keep")
    return "'" + text.replace("'", "''") + "'"


def _written(value: object, ways: Mapping[type, Callable[[Any], str]]) -> str:
    kind = type(value)
    return ways[UUID if kind not in ways and isinstance(value, UUID) else kind](value)  # asyncpg's ids are of a class of their own


IN_TEXT: Mapping[type, Callable[[Any], str]] = {
    str: str,
    bytes: lambda data: f"\\x{data.hex()}",
    int: str,
    datetime: datetime.isoformat,
    UUID: str,
}
"""As PostgreSQL reads a value of each type."""
IN_ARRAYS: Mapping[type, Callable[[Any], str]] = {
    **IN_TEXT,
    str: lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"',
    bytes: lambda data: f"\\\\x{data.hex()}",
}
"""As an element of an array."""
