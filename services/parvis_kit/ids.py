"""Identifiers that sort by their time of birth (UUID version 7, RFC 9562 §5.7). Nothing may be ordered by them."""

import os
import time
from datetime import UTC, datetime
from uuid import UUID


def new_id() -> UUID:
    """A fresh UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    value = int.from_bytes(os.urandom(10)) | (time.time_ns() // 1_000_000) << 80
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def born_at(id: UUID) -> datetime:
    """When a UUIDv7 was made, by the clock of who made it."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
