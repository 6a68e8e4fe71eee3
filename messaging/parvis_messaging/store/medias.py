"""What was uploaded into conversations: small things, kept in the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx

from parvis_messaging.store import media


@dataclass(frozen=True, slots=True)
class Media:
    media_type: str
    name: str
    content: bytes


async def add_media(tx: Tx, values: Mapping[str, Any]) -> None:
    await tx.execute(sa.insert(media), dict(values))


async def bytes_of(conn: Connection, user_id: str) -> int:
    """What an account has uploaded in all."""
    total = (
        await conn.execute(sa.select(sa.func.coalesce(sa.func.sum(media.c.size_bytes), 0)).where(media.c.user_id == user_id))
    ).scalar_one()
    return int(total)


async def find_media(conn: Connection, media_id: str) -> Media | None:
    wanted = sa.select(media.c.media_type, media.c.name, media.c.content).where(media.c.media_id == media_id)
    row = (await conn.execute(wanted)).one_or_none()
    return Media(*row) if row is not None else None
