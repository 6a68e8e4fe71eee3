"""Uploads: declared, sent to the store by signed addresses, completed; bytes never come through here."""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from parvis_kit.db import Tx
from parvis_kit.http import CLOCK, DB, LOCATION, Body, IdempotencyKey, Page, Reply, Request, Routes
from parvis_kit.idempotency import once
from parvis_kit.problems import Conflict, NotFound
from pydantic import BaseModel, Field
from pydantic.dataclasses import dataclass

from parvis_files import actions, queries
from parvis_files.api.common import BLOBS, MADE, TERMS, Conflicting, Name, Paging, asked, asker_of
from parvis_files.blobs import Signed
from parvis_files.rules.names import BadName
from parvis_files.rules.quotas import QuotaExceeded
from parvis_files.rules.uploads import PARTS_ASKED_MAX, PARTS_MAX, ConflictRule, Declared, InTrash, State, Upload, parts_of

ROUTES = Routes("files", "1")
Size = Annotated[int, Field(ge=0, le=2**52)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of all bytes; up to 16 MiB it is needed.")]
MediaType = Annotated[str, Field(min_length=3, max_length=255)]


class NewUpload(Body):
    name: Name
    size_bytes: Size
    sha256: Digest | None = None
    media_type: MediaType = "application/octet-stream"
    conflict: Conflicting = "rename"


class NewVersion(Body):
    size_bytes: Size
    sha256: Digest | None = None
    media_type: MediaType = "application/octet-stream"


class AskedPart(Body):
    number: Annotated[int, Field(ge=1, le=PARTS_MAX)]
    crc64nvme: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{11}=$", description="Of the part's bytes, in Base64, as S3 has it.")]


class AskedParts(Body):
    parts: Annotated[list[AskedPart], Field(max_length=PARTS_ASKED_MAX)] = Field(default_factory=list)


class Completion(Body):
    conflict: Annotated[ConflictRule | None, Field(description="Decided anew, when the name was taken meanwhile.")] = None


@dataclass(slots=True)
class Address:
    """Where to send bytes, with exactly these headers."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(slots=True)
class UploadShown:
    id: UUID
    state: State
    reason: str
    """Why it was rejected."""
    space_id: UUID
    parent_id: UUID | None
    """The folder that it goes to; null for a version of a file whose folder you may not see."""
    file_id: UUID | None
    """The file, once it is committed."""
    version_id: UUID | None
    name: str
    size_bytes: int
    sha256: str | None
    media_type: str
    conflict: ConflictRule
    part_bytes: int | None
    """Of each part but the last; null when all goes in one PUT."""
    parts: int | None
    deadline: datetime
    created_at: datetime
    put: Address | None = None
    """Where the bytes go, when they go in one PUT."""


@dataclass(slots=True)
class PartAddress:
    number: int
    size_bytes: int
    address: Address


@dataclass(slots=True)
class StoredPart:
    number: int
    size_bytes: int
    crc64nvme: str


@dataclass(slots=True)
class PartsShown:
    parts: list[PartAddress]
    stored: list[StoredPart]
    """What need not be sent again."""


def shown(one: Upload, known: Collection[UUID], put: Signed | None = None) -> UploadShown:
    parent_id = one.parent_id if one.parent_id in known else None
    return UploadShown(
        one.id, one.state, one.reason, one.space_id, parent_id, one.file_id, one.version_id, one.name, one.size_bytes, one.sha256,
        one.media_type, one.conflict, one.part_bytes, parts_of(one.size_bytes, one.part_bytes) if one.part_bytes else None, one.deadline,
        one.created_at, address(put) if put else None,
    )  # fmt: skip


def address(signed: Signed) -> Address:
    return Address(signed.method, signed.url, dict(signed.headers), signed.expires_at)


async def show(request: Request, one: Upload, put: Signed | None = None) -> UploadShown:
    async with request[DB].read() as conn:
        return shown(one, await queries.known_parents(conn, asker_of(request), [one]), put)


async def _declare(
    request: Request, key: IdempotencyKey, act: str, body: BaseModel, declare: Callable[[Tx], Awaitable[Upload]]
) -> Reply[UploadShown]:
    """The row first and alone; the store is told when it is safe."""
    made: list[Upload] = []

    async def act_once() -> UUID:
        made.append(await declare(tx))
        return made[0].id

    async with request[DB].transaction() as tx:
        upload_id = await once(tx, asked(request, key, act, body), MADE, act_once)
    how: Any = {"life": request[TERMS].upload_life, "clock": request[CLOCK]}
    opened = await (
        actions.open_upload(request[DB], request[BLOBS], made[0], **how)
        if made
        else actions.open_again(request[DB], request[BLOBS], asker_of(request), upload_id, **how)
    )
    return Reply(await show(request, opened.upload, opened.put), {"Location": f"/api/files/v1/uploads/{upload_id}"})


@ROUTES.post(
    "/api/files/v1/folders/{folder_id}/uploads",
    scope="files:write",
    problems=(NotFound, Conflict, QuotaExceeded, BadName),
    headers=LOCATION,
)
async def declare_upload(request: Request, folder_id: UUID, body: NewUpload, key: IdempotencyKey) -> Reply[UploadShown]:
    """Say what is coming into a folder; the answer says where to send it. The root of a space is a folder too."""
    asker, at, now = asker_of(request), request[TERMS], request[CLOCK]()
    declared = Declared(body.name, body.size_bytes, body.sha256, body.media_type, body.conflict)

    def declare(tx: Tx) -> Awaitable[Upload]:
        return actions.declare_upload(
            tx, asker, folder_id, declared, at.limits, bytes_max=at.upload_bytes_max, life=at.upload_life, now=now
        )

    return await _declare(request, key, f"declare_upload {folder_id}", body, declare)


@ROUTES.post("/api/files/v1/files/{file_id}/uploads", scope="files:write", problems=(NotFound, Conflict, QuotaExceeded), headers=LOCATION)
async def declare_version(request: Request, file_id: UUID, body: NewVersion, key: IdempotencyKey) -> Reply[UploadShown]:
    """Say what is coming as a new version of a file, wherever that lies by then."""
    asker, at, now = asker_of(request), request[TERMS], request[CLOCK]()
    declared = Declared("", body.size_bytes, body.sha256, body.media_type, "version")

    def declare(tx: Tx) -> Awaitable[Upload]:
        return actions.declare_version(tx, asker, file_id, declared, at.limits, bytes_max=at.upload_bytes_max, life=at.upload_life, now=now)

    return await _declare(request, key, f"declare_version {file_id}", body, declare)


@ROUTES.get("/api/files/v1/uploads", scope="files:read")
async def list_uploads(request: Request, query: Paging) -> Page[UploadShown]:
    """Your own, the newest first: what is going on, and receipts of a month."""
    async with request[DB].read() as conn:
        page = await queries.uploads_for(conn, asker_of(request), query.after, query.limit)
        known = await queries.known_parents(conn, asker_of(request), page.items)
    return Page([shown(one, known) for one in page.items], page.next)


@ROUTES.get("/api/files/v1/uploads-under-way", scope="files:read")
async def count_uploads(request: Request) -> dict[str, int]:
    """How many uploads stand in each state that is not the end; for operators."""
    async with request[DB].read() as conn:
        return await queries.uploads_under_way_for(conn, asker_of(request))


@ROUTES.get("/api/files/v1/uploads/{upload_id}", scope="files:read", problems=(NotFound,))
async def get_upload(request: Request, upload_id: UUID) -> UploadShown:
    """How far one of your uploads is."""
    async with request[DB].read() as conn:
        found = await queries.upload_for(conn, asker_of(request), upload_id)
        return shown(found, await queries.known_parents(conn, asker_of(request), [found]))


@ROUTES.post("/api/files/v1/uploads/{upload_id}/parts", scope="files:write", status=200, problems=(NotFound, Conflict, InTrash))
async def sign_parts(request: Request, upload_id: UUID, body: AskedParts) -> PartsShown:
    """Addresses for parts, and which ones the store has already: after a break, ask for the others."""
    pairs = [(one.number, one.crc64nvme) for one in body.parts]
    life = request[TERMS].upload_life
    found = await actions.sign_parts(request[DB], request[BLOBS], asker_of(request), upload_id, pairs, life=life, clock=request[CLOCK])
    return PartsShown(
        [PartAddress(number, size, address(signed)) for number, size, signed in found.signed],
        [StoredPart(one.number, one.size_bytes, one.crc64nvme) for one in found.stored],
    )


@ROUTES.post("/api/files/v1/uploads/{upload_id}/complete", scope="files:write", status=(200, 202), problems=(NotFound, Conflict, InTrash))
async def complete_upload(request: Request, upload_id: UUID, body: Completion) -> Reply[UploadShown]:
    """Say that all is sent: 200 when it is a file, 202 while it is being checked; said twice, it is done once."""
    asker = asker_of(request)
    terms = request[TERMS].terms(body.conflict, asker)
    done = await actions.complete_upload(request[DB], request[BLOBS], asker, upload_id, terms, clock=request[CLOCK])
    return Reply(await show(request, done), {}, 200 if done.state == "committed" else 202)


@ROUTES.delete("/api/files/v1/uploads/{upload_id}", scope="files:write", problems=(NotFound, Conflict))
async def abort_upload(request: Request, upload_id: UUID) -> None:
    """Give it up; its place is free at once."""
    await actions.abort_upload(request[DB], request[BLOBS], asker_of(request), upload_id, clock=request[CLOCK])
