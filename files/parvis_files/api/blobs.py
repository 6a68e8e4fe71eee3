"""Octets in and out of the folder that stands in for S3: whoever bears a signed URL may do what it says, and nothing else."""

import asyncio
import re
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from parvis_kit.http import CLOCK, Request, Routes
from parvis_kit.http.answers import empty_answer, problem_answer
from parvis_kit.problems import BadRequest, Forbidden, LengthRequired, NotFound, PreconditionFailed, Problem, Unavailable

from parvis_files.blobs import Away
from parvis_files.blobs.folder import PATH, PIECE_BYTES, FolderStore, Refusal

ROUTES = Routes("files", "1")
STORE = web.RequestKey("BLOB_FOLDER", FolderStore)
SILENT_SECONDS_MAX = 30.0
"""Between two pieces of what somebody sends."""
SLOWEST_BYTES_A_SECOND = 8 * 1024
"""Below, on the whole, a transfer is given up: a thin line of the RIE carries eight times as much."""
RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)")
PROBLEMS: dict[int, type[Problem]] = {400: BadRequest, 403: Forbidden, 404: NotFound, 411: LengthRequired, 412: PreconditionFailed}
HEADERS = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-site",
    "X-Content-Type-Options": "nosniff",
}


@ROUTES.raw("PUT", PATH + "{key:.+}")
async def put_blob(request: Request) -> web.StreamResponse:
    """All of an object, or a part of it."""
    store = request[STORE]
    try:
        granted = store.granted("PUT", request.match_info["key"], request.rel_url.raw_query_string, request.headers, request[CLOCK]())
        async with asyncio.timeout(SILENT_SECONDS_MAX + granted.size_bytes / SLOWEST_BYTES_A_SECOND):
            etag = await store.receive(granted, pieces_of(request))
    except Refusal as refusal:
        return problem_answer(PROBLEMS[refusal.status](refusal.detail))
    except TimeoutError:
        return problem_answer(BadRequest("This came too slowly and was given up: send it again."))
    except Away:
        return problem_answer(Unavailable("The store cannot write at this moment: send it again later."))
    return empty_answer(200, {"ETag": etag})


async def pieces_of(request: Request) -> AsyncIterator[bytes]:
    """Raises TimeoutError when the sender falls silent."""
    while True:
        async with asyncio.timeout(SILENT_SECONDS_MAX):
            piece = await request.content.read(PIECE_BYTES)
        if not piece:
            return
        yield piece


class Octets(web.FileResponse):
    """A file, or the one range of it that is asked for; anything else that stands in `Range` is passed over, as by S3: all of it comes."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if not RANGE.fullmatch(request.headers.get("Range", "bytes=0-")):
            headers = request.headers.copy()
            headers.popall("Range")
            request = request.clone(headers=headers)
        return await super().prepare(request)


@ROUTES.raw("GET", PATH + "{key:.+}")
async def get_blob(request: Request) -> web.StreamResponse:
    """An object or ranges of it; the kernel sends it."""
    store = request[STORE]
    try:
        granted = store.granted("GET", request.match_info["key"], request.rel_url.raw_query_string, request.headers, request[CLOCK]())
    except Refusal as refusal:
        return problem_answer(PROBLEMS[refusal.status](refusal.detail))
    path = await asyncio.to_thread(store.path_of, granted.key)
    if path is None:
        return problem_answer(NotFound("There is nothing under this key any more."))
    return Octets(path, headers={**HEADERS, "Content-Type": granted.media_type, "Content-Disposition": granted.disposition})
