"""What was done in a ministry, for those who answer for it."""

from typing import Annotated
from uuid import UUID

from parvis_kit.audit.rows import POSITION_MAX, AuditRow
from parvis_kit.http import CLOCK, DB, Page, Query, Request, Routes, client_key
from parvis_kit.problems import NotFound
from pydantic import Field

from parvis_directory import actions
from parvis_directory.api.common import asker_of

ROUTES = Routes("directory", "1")


class ReadAudit(Query):
    reason: Annotated[str, Field(min_length=3, max_length=200, description="Why you look; it is written down.")]
    about: Annotated[str, Field(max_length=100, description="Only what was done to the thing of this id.")] = ""
    after: Annotated[int | None, Field(ge=1, le=POSITION_MAX, description="`next` of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


@ROUTES.get("/api/directory/v1/ministries/{ministry_id}/audit", scope="directory:read", problems=(NotFound,))
async def read_audit(request: Request, ministry_id: UUID, query: ReadAudit) -> Page[AuditRow]:
    """What was done, the newest first; for administrators of the ministry. That you looked, and why, is written down too."""
    async with request[DB].transaction() as tx:
        rows = await actions.read_audit(
            tx, asker_of(request), ministry_id, why=query.reason, where=client_key(request), about=query.about, before=query.after,
            limit=query.limit, now=request[CLOCK](),
        )  # fmt: skip
    return Page(rows, str(rows[-1].position) if len(rows) == query.limit else None)
