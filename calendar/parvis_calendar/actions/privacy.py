"""What one shows of oneself to a colleague, and that somebody has looked at many."""

from collections.abc import Collection
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

from parvis_kit import audit
from parvis_kit.db import Database, Tx
from parvis_kit.problems import NotFound

from parvis_calendar.rules.agendas import Asker
from parvis_calendar.rules.availability import Privacy
from parvis_calendar.store import availability, people

NAMED_MAX = 12
"""Ids in one row of the audit, which holds 512 characters; the digest tells which the others were, to whoever has a list to compare."""


async def set_privacy(tx: Tx, asker: Asker, grantee_id: UUID, level: Privacy, *, now: datetime) -> None:
    """How much of the asker's agendas a colleague may know. Raises NotFound."""
    grantee = await people.find_person(tx, grantee_id)
    if grantee is None or grantee.id == asker.id:
        raise NotFound("There is nobody of this name.")
    await availability.set_privacy(tx, asker.id, grantee_id, level)
    await audit.record(tx, who=asker.id, what=f"privacy.{level}", on=grantee_id, ministry=asker.ministry_id, at=now)


async def note_reading(database: Database, asker: Asker, asked: Collection[UUID], *, where: str, now: datetime) -> None:
    """One row for one question about several others: who asked, about how many, and whom."""
    others = sorted({str(one) for one in asked if one != asker.id})
    if len(others) < 2:
        return
    digest = blake2b(" ".join(others).encode(), digest_size=8).hexdigest()
    async with database.transaction() as tx:
        await audit.record(
            tx, who=asker.id, what="availability.read", on=f"{len(others)} agents {digest}", ministry=asker.ministry_id, at=now,
            where=where, why=" ".join(others[:NAMED_MAX]),
        )  # fmt: skip
