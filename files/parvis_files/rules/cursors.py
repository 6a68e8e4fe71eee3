"""Where the next page of a list begins, as text that goes through an address."""

import base64
import binascii
import json
from uuid import UUID

from parvis_kit.problems import Invalid


def place_of(is_file: bool, key: str, last: UUID) -> str:
    return base64.urlsafe_b64encode(json.dumps([is_file, key, str(last)]).encode()).decode().rstrip("=")


def read_place(text: str) -> tuple[bool, str, UUID]:
    """Raises Invalid."""
    try:
        is_file, key, last = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(is_file, bool) or not isinstance(key, str) or "\x00" in key or not key.isprintable():
            raise ValueError
        return is_file, key, UUID(last)
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise Invalid("`after` is the `next` of the page before, as it came.") from None
