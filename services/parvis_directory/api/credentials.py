"""One's own app passwords."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated
from uuid import UUID

from parvis_kit.http import CLOCK, DB, Body, IdempotencyKey, Request, Routes, SentMoment
from parvis_kit.idempotency import Kept, once
from parvis_kit.problems import Conflict, NotFound
from pydantic import Field, TypeAdapter

from parvis_directory import actions, queries
from parvis_directory.api.common import Name, asked, asker_of
from parvis_directory.rules import KeptAppPassword

ROUTES = Routes("directory", "1")


class NewAppPassword(Body):
    name: Name
    scopes: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=8)]
    expires_at: SentMoment


@dataclass(slots=True)
class ShownOnce:
    id: UUID
    name: str
    scopes: list[str]
    expires_at: datetime
    app_password: str
    """What to type into the client; empty when the request is repeated, for it is kept nowhere."""


SHOWN = Kept(TypeAdapter(ShownOnce), without_secrets=lambda answer: replace(answer, app_password=""))


@ROUTES.get("/api/directory/v1/app-passwords", scope="directory:read")
async def list_app_passwords(request: Request) -> list[KeptAppPassword]:
    """Those that count, without their secrets."""
    async with request[DB].read() as conn:
        return await queries.app_passwords_for(conn, asker_of(request))


@ROUTES.post("/api/directory/v1/app-passwords", scope="directory:write", problems=(Conflict,))
async def create_app_password(request: Request, body: NewAppPassword, key: IdempotencyKey) -> ShownOnce:
    """Make one for a client that cannot sign in otherwise; its secret is shown in this answer alone."""
    asker, now = asker_of(request), request[CLOCK]()
    async with request[DB].transaction() as tx:

        async def make() -> ShownOnce:
            kept, secret = await actions.create_app_password(tx, asker, body.name, body.scopes, body.expires_at, now=now)
            return ShownOnce(kept.id, kept.name, kept.scopes, kept.expires_at, str(secret))

        return await once(tx, asked(request, key, "create_app_password", body), SHOWN, make)


@ROUTES.delete("/api/directory/v1/app-passwords/{password_id}", scope="directory:write", problems=(NotFound,))
async def revoke_app_password(request: Request, password_id: UUID) -> None:
    """It says nothing any more, here at once and in every service within seconds."""
    async with request[DB].transaction() as tx:
        await actions.revoke_app_password(tx, asker_of(request), password_id, now=request[CLOCK]())
