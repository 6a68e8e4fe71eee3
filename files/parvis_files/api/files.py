"""Files as content: downloaded, and their versions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from parvis_kit.http import CLOCK, DB, ETAG, Query, Reply, Request, Routes
from parvis_kit.problems import Conflict, NotFound
from pydantic import Field

from parvis_files import actions, queries
from parvis_files.api.common import BLOBS, TERMS, ItemShown, asker_of, show
from parvis_files.rules import Version
from parvis_files.rules.uploads import DOWNLOAD_LIFE

ROUTES = Routes("files", "1")


class How(Query):
    inline: Annotated[bool, Field(description="To be shown by a browser, where its type may be; otherwise saved.")] = False


class Versions(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[int | None, Field(ge=1, le=2**31 - 1, description="`next` of the page before.")] = None


@dataclass(slots=True)
class Download:
    url: str
    """GET it within a minute, with a Range if you like; it needs no token, so keep it to yourself."""
    expires_at: datetime
    name: str
    size_bytes: int
    media_type: str
    sha256: str | None
    version_id: UUID


@dataclass(slots=True)
class VersionPage:
    items: list[Version]
    current_id: UUID | None
    """The one that is read."""
    next: str | None = None


@ROUTES.get("/api/files/v1/files/{file_id}/download", scope="files:read", problems=(NotFound, Conflict))
async def download(request: Request, file_id: UUID, query: How) -> Download:
    """An address for the bytes of the newest version."""
    return await _download(request, file_id, None, query.inline)


@ROUTES.get("/api/files/v1/files/{file_id}/versions/{version_id}/download", scope="files:read", problems=(NotFound, Conflict))
async def download_version(request: Request, file_id: UUID, version_id: UUID, query: How) -> Download:
    """An address for the bytes of one version."""
    return await _download(request, file_id, version_id, query.inline)


async def _download(request: Request, file_id: UUID, version_id: UUID | None, inline: bool) -> Download:
    async with request[DB].read() as conn:
        seen, version, key = await queries.version_for(conn, asker_of(request), file_id, version_id)
    now, name = request[CLOCK](), seen.item.name
    url = request[BLOBS].sign_get(key, name=name, media_type=version.media_type, inline=inline, now=now, life=DOWNLOAD_LIFE)
    return Download(url, now + DOWNLOAD_LIFE, name, version.size_bytes, version.media_type, version.sha256, version.id)


@ROUTES.get("/api/files/v1/files/{file_id}/versions", scope="files:read", problems=(NotFound, Conflict))
async def list_versions(request: Request, file_id: UUID, query: Versions) -> VersionPage:
    """The newest first."""
    async with request[DB].read() as conn:
        seen, page = await queries.versions_for(conn, asker_of(request), file_id, query.after, query.limit)
    return VersionPage(page.items, seen.item.version_id, page.next)


@ROUTES.post(
    "/api/files/v1/files/{file_id}/versions/{version_id}/restore",
    scope="files:write",
    status=200,
    problems=(NotFound, Conflict),
    headers=ETAG,
)
async def restore_version(request: Request, file_id: UUID, version_id: UUID) -> Reply[ItemShown]:
    """Make an older version the one that is read; newer ones stay."""
    asker = asker_of(request)
    async with request[DB].transaction() as tx:
        await actions.restore_version(tx, asker, file_id, version_id, now=request[CLOCK]())
        return show(await queries.file_for(tx, asker, file_id))


@ROUTES.delete("/api/files/v1/files/{file_id}/versions/{version_id}", scope="files:write", problems=(NotFound, Conflict))
async def purge_version(request: Request, file_id: UUID, version_id: UUID) -> None:
    """For good; not the one that is read."""
    async with request[DB].transaction() as tx:
        await actions.purge_version(tx, asker_of(request), file_id, version_id, request[TERMS].limits, now=request[CLOCK]())
