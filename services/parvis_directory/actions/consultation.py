"""Reading the audit is an act, and is written down."""

from datetime import datetime
from uuid import UUID

from parvis_kit import audit
from parvis_kit.audit.rows import AuditRow
from parvis_kit.db import Tx

from parvis_directory import queries, rules
from parvis_directory.rules import Asker


async def read_audit(
    tx: Tx, asker: Asker, ministry_id: UUID, *, why: str, where: str, about: str, before: int | None, limit: int, now: datetime
) -> list[AuditRow]:
    """Of one's own ministry. Raises NotFound, Forbidden."""
    await queries.ministry_for(tx, asker, ministry_id)
    rules.check_may_change(asker, ministry_id)
    return await audit.consult(tx, ministry_id, who=asker.who, why=why, at=now, where=where, about=about, before=before, limit=limit)
