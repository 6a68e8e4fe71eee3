"""Files from a browser without JavaScript: one form, taken in to the disk in constant memory, then stored as any client would."""

import asyncio
import hashlib
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any
from unicodedata import normalize

import aiohttp
import anycrc
from aiohttp import BodyPartReader, web
from parvis_kit.http import Request, Routes
from parvis_kit.problems import BadRequest, RequestTimeout, TooLarge
from yarl import URL

from parvis_portal.calling import Away
from parvis_portal.pages.common import id_in
from parvis_portal.portal import FORM_BYTES_MAX, PORTAL, Portal, page, see
from parvis_portal.visitors import Visitor

ROUTES = Routes("portal", "1")
MODEL = anycrc.Model("CRC64-NVME")
PIECE_BYTES = 64 * 1024
FIELDS_MAX = 10
SILENT_SECONDS_MAX = 30.0
"""Between two pieces of what somebody sends."""
SLOWEST_BYTES_A_SECOND = 16 * 1024
SINGLE_BYTES_MAX = 16 * 2**20
"""As files has it: above, the whole is cut into parts."""
PARTS_ASKED_MAX = 100
SEND_SECONDS_MAX = 60.0
"""For a part, or a whole of 16 MiB, from here to the store."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that lies here, without a name on the disk: it is gone with this process."""

    file: IO[bytes]
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    fields: frozenset[str]
    """The boxes that were ticked before it."""


@ROUTES.raw("POST", "/files/folders/{folder_id}/upload")
@page
async def send_into_folder(request: Request, visitor: Visitor) -> web.StreamResponse:
    folder_id = id_in(request, "folder_id")
    async with taken(request, visitor) as one:
        done = await store(request[PORTAL], visitor, f"folders/{folder_id}/uploads", one, name=one.name)
        kept = await renamed(request[PORTAL], visitor, done, one.name)
    return see(f"/files/folders/{folder_id}?done=uploaded{kept}")


async def renamed(portal: Portal, visitor: Visitor, done: Any, sent: str) -> str:
    """What the next page needs to say under which name a file is kept whose own was taken."""
    file_id = done["file_id"]
    item = await portal.calling.panel("files", portal.get(visitor, "files", f"items/{file_id}")) if file_id else None
    name = item.value["name"] if item and item.value else sent
    return f"&kept={file_id}" if normalize("NFC", name) != normalize("NFC", sent) else ""


@ROUTES.raw("POST", "/files/items/{item_id}/upload")
@page
async def send_version(request: Request, visitor: Visitor) -> web.StreamResponse:
    item_id = id_in(request, "item_id")
    async with taken(request, visitor) as one:
        await store(request[PORTAL], visitor, f"files/{item_id}/uploads", one)
    return see(f"/files/items/{item_id}?done=uploaded")


@asynccontextmanager
async def taken(request: Request, visitor: Visitor, bytes_max: int = 0) -> AsyncIterator[Taken]:
    """The file of the form, when the form is ours. Raises TooLarge before a byte is read where the browser says how much it is."""
    portal = request[PORTAL]
    most = bytes_max or portal.settings.plain_upload_bytes_max
    portal.visitors.check_site(request)
    if request.content_type != "multipart/form-data":
        raise BadRequest("A form with a file is sent here.")
    if (request.content_length or 0) > most + FORM_BYTES_MAX:
        raise TooLarge(f"At most {most} bytes without JavaScript.", headers={"Connection": "close"})
    if portal.uploads.locked():
        raise Away("portal")
    async with portal.uploads:
        await asyncio.to_thread(portal.spool.mkdir, mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=portal.spool) as file:  # noqa: ASYNC230 (a name less: opened and gone from the folder at once)
            try:
                async with asyncio.timeout(SILENT_SECONDS_MAX + most / SLOWEST_BYTES_A_SECOND):
                    one = await take(request, visitor, file, most)
            except TimeoutError:
                raise RequestTimeout("The file came too slowly.", headers={"Connection": "close"}) from None
            except (ValueError, aiohttp.ClientError, web.RequestPayloadError):
                raise BadRequest("This form cannot be read.", headers={"Connection": "close"}) from None
            yield one


async def take(request: Request, visitor: Visitor, file: IO[bytes], most: int) -> Taken:
    """The token against forged requests comes first in the form, so nothing of a forged one is kept."""
    form = await request.multipart()
    is_ours, fields = False, set[str]()
    async for part in form:
        if not isinstance(part, BodyPartReader):
            break
        if part.name == "csrf":
            request[PORTAL].visitors.check_form(visitor, (await part.read_chunk(256)).decode(errors="replace"))
            is_ours = True
        elif part.name == "file" and is_ours:
            name = (part.filename or "").replace("%22", '"').replace("\\", "/").rpartition("/")[2].strip()  # browsers write " so (WHATWG)
            if not name:
                break
            digest, size = hashlib.sha256(), 0
            while piece := await next_piece(part):
                size += len(piece)
                if size > most:
                    raise TooLarge(f"At most {most} bytes without JavaScript.", headers={"Connection": "close"})
                digest.update(piece)
                await asyncio.to_thread(file.write, piece)
            media_type = part.headers.get("Content-Type", "") or "application/octet-stream"
            return Taken(file, name, media_type.partition(";")[0].strip()[:255], size, digest.hexdigest(), frozenset(fields))
        elif part.name and len(fields) < FIELDS_MAX:
            fields.add(part.name)
            await part.read_chunk(256)
    raise BadRequest("There is no file in this form.", headers={"Connection": "close"})


async def next_piece(part: BodyPartReader) -> bytes:
    """Raises TimeoutError when the sender falls silent."""
    async with asyncio.timeout(SILENT_SECONDS_MAX):
        return await part.read_chunk(PIECE_BYTES)


async def store(portal: Portal, visitor: Visitor, where: str, one: Taken, **more: str) -> Any:
    """Declared, sent to where the answer says, completed: the same complete transaction as any other upload. Raises Refused, Away.

    What goes in parts is checked part by part as it arrives; declared with a digest of the whole, it would be read once more before it is
    there, and the page that follows would not show it yet.
    """
    body: dict[str, Any] = {"size_bytes": one.size_bytes, "media_type": one.media_type, **more}
    if one.size_bytes <= SINGLE_BYTES_MAX:
        body["sha256"] = one.sha256
    upload = await portal.ask(visitor, "files", "POST", where, body=body)
    way = f"uploads/{upload['id']}"
    try:
        if upload["put"] is not None:
            await put(portal, upload["put"], one.file, 0, one.size_bytes)
        else:
            await put_parts(portal, visitor, way, upload, one)
        return await portal.ask(visitor, "files", "POST", f"{way}/complete", body={})
    except BaseException:
        await asyncio.shield(portal.calling.panel("files", portal.ask(visitor, "files", "DELETE", way)))
        raise


async def put_parts(portal: Portal, visitor: Visitor, way: str, upload: Any, one: Taken) -> None:
    size, count = upload["part_bytes"], upload["parts"]
    for first in range(1, count + 1, PARTS_ASKED_MAX):
        numbers = range(first, min(first + PARTS_ASKED_MAX, count + 1))
        sums = [await asyncio.to_thread(crc_of, one.file, (number - 1) * size, size) for number in numbers]
        asked = [{"number": number, "crc64nvme": crc} for number, crc in zip(numbers, sums, strict=True)]
        signed = await portal.ask(visitor, "files", "POST", f"{way}/parts", body={"parts": asked})
        for part in signed["parts"]:
            await put(portal, part["address"], one.file, (part["number"] - 1) * size, part["size_bytes"])


def crc_of(file: IO[bytes], start: int, size: int) -> str:
    """CRC-64/NVME of a part, in Base64, as S3 has it."""
    crc = MODEL.calc(b"")
    file.seek(start)
    left = size
    while left and (piece := file.read(min(left, PIECE_BYTES * 16))):
        crc = MODEL.calc(piece, crc)
        left -= len(piece)
    return b64encode(crc.to_bytes(8, "big")).decode()


async def put(portal: Portal, address: Any, file: IO[bytes], start: int, size: int) -> None:
    """To the store. Raises Away."""

    async def pieces() -> AsyncIterator[bytes]:
        left = size
        await asyncio.to_thread(file.seek, start)
        while left and (piece := await asyncio.to_thread(file.read, min(left, PIECE_BYTES))):
            left -= len(piece)
            yield piece

    headers = {**address["headers"], "Content-Length": str(size)}
    url = address["url"]
    if url.startswith(f"{portal.visitors.public_url}/"):  # our own blob door: not by way of the front proxy
        url = portal.calling.base_of("files") + url.removeprefix(portal.visitors.public_url)
    try:
        async with (
            asyncio.timeout(SEND_SECONDS_MAX),
            portal.calling.session.request(
                address["method"], URL(url, encoded=True), data=pieces() if size else b"", headers=headers
            ) as answer,
        ):
            await answer.read()
            if answer.status >= 300:
                raise Away("blobs")
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise Away("blobs") from None
