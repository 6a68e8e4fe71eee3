"""Parts of a ministry, or all of it, that go over to another one."""

from datetime import date
from typing import Annotated
from uuid import UUID

from parvis_kit.http import CLOCK, DB, Body, IdempotencyKey, Request, Routes
from parvis_kit.idempotency import Kept, once
from parvis_kit.problems import Conflict, NotFound
from pydantic import Field, TypeAdapter

from parvis_directory import actions, queries
from parvis_directory.api.agents import ZONE
from parvis_directory.api.common import asked, asker_of
from parvis_directory.rules.moves import DIRECTORATES_MAX, Transfer, check_day, today

ROUTES = Routes("directory", "1")
TRANSFER = Kept(TypeAdapter(Transfer))
Reason = Annotated[str, Field(min_length=3, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", description="The decree, for the record.")]


class NewTransfer(Body):
    to_ministry_id: Annotated[UUID, Field(strict=False)]
    directorate_ids: Annotated[list[Annotated[UUID, Field(strict=False)]] | None, Field(max_length=DIRECTORATES_MAX)] = None
    """Left out: all of the ministry, which is closed afterwards."""
    on: Annotated[date | None, Field(strict=False, description="From this day on; left out, from now on.")] = None
    reason: Reason


@ROUTES.get("/api/directory/v1/ministries/{ministry_id}/transfers", scope="directory:read", problems=(NotFound,))
async def list_transfers(request: Request, ministry_id: UUID) -> list[Transfer]:
    """What came to a ministry and what went from it, the newest first: its history."""
    async with request[DB].read() as conn:
        return await queries.transfers_for(conn, asker_of(request), ministry_id)


@ROUTES.post("/api/directory/v1/ministries/{ministry_id}/transfers", scope="directory:write", problems=(NotFound, Conflict))
async def plan_transfer(request: Request, ministry_id: UUID, body: NewTransfer, key: IdempotencyKey) -> Transfer:
    """Have directorates and their agents go over to another ministry, or all of the ministry merge into it; operators may."""
    asker, now = asker_of(request), request[CLOCK]()
    now_day = today(now, request[ZONE])
    day = body.on or now_day
    check_day(day, now_day)
    async with request[DB].transaction() as tx:
        return await once(
            tx, asked(request, key, f"plan_transfer {ministry_id}", body), TRANSFER,
            lambda: actions.plan_transfer(
                tx, asker, ministry_id, body.to_ministry_id, body.directorate_ids, day, body.reason, now=now
            ),
        )  # fmt: skip


@ROUTES.delete("/api/directory/v1/transfers/{transfer_id}", scope="directory:write", problems=(NotFound, Conflict))
async def cancel_transfer(request: Request, transfer_id: UUID) -> None:
    """Call a transfer off before it begins; operators may."""
    async with request[DB].transaction() as tx:
        await actions.cancel_transfer(tx, asker_of(request), transfer_id, now=request[CLOCK]())
