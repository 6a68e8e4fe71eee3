"""A folder as a blob store, for an installation without S3; its URLs lead to Parvis' own door, under the rules that S3 has."""

import asyncio
import hmac
import os
import re
import secrets
import shutil
import stat
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import IO
from urllib.parse import parse_qsl

from parvis_kit.failpoints import reach

from parvis_files.blobs import AlreadyThere, Away, Blob, Different, Missing, Multipart, Part, PartsMissing, Signed, Written
from parvis_files.blobs.disk import (
    Crc64Nvme,
    Digest,
    Sha256,
    away_when_broken,
    blobs_in,
    flush,
    flush_folder,
    in_thread,
    keep_as,
    names_in,
    take,
)
from parvis_files.blobs.naming import disposition, served_type
from parvis_files.blobs.signing import canonical_query, encoded_path

KEY = re.compile(r"(?!.*\.\.)[0-9a-z][0-9a-z/._-]{0,199}")
REFERENCE = re.compile(r"[0-9a-f]{32}")
PART = re.compile(r"(\d{5})-(\d+)-([0-9a-f]{16})")
QUERY_FIELDS_MAX = 10
PIECE_BYTES = 256 * 1024
PATH = "/blobs/"
DRAFT_SECONDS_MAX = 3_600
"""Since its last piece: whoever sends has long been given up."""
LOW_BYTES = 64 * 2**20
"""What the disk keeps free of uploads, so that the databases beside them can go on."""


class Refusal(Exception):
    """A request to the door is not what was signed; `status` as S3 has it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


@dataclass(frozen=True, slots=True)
class Granted:
    """What a signed request may do."""

    key: str
    size_bytes: int = 0
    digest: str = ""
    """Base64."""
    reference: str = ""
    number: int = 0
    disposition: str = ""
    media_type: str = ""


class FolderStore:
    """See BlobStore. `objects/` holds what is whole, `parts/` what is on the way, `drafts/` what is being written."""

    kind = "folder"

    def __init__(self, folder: Path, public_url: str) -> None:
        self.folder, self.public_url = folder, public_url
        self.objects, self.waiting, self.drafts = folder / "objects", folder / "parts", folder / "drafts"

    @cached_property
    def secret(self) -> bytes:
        """Of this installation's URLs; made by whichever process comes first."""
        file = self.folder / "secret"
        if not file.exists():
            draft = self.drafts / secrets.token_hex(8)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(secrets.token_bytes(32))
            with suppress(FileExistsError):
                os.link(draft, file)
            draft.unlink()
        return file.read_bytes()

    # for others

    def sign_put(self, key: str, *, size_bytes: int, sha256: str, now: datetime, life: timedelta) -> Signed:
        digest = b64encode(bytes.fromhex(sha256)).decode()
        headers = {"content-length": str(size_bytes), "if-none-match": "*", "x-amz-checksum-sha256": digest}
        return Signed("PUT", self._url("PUT", key, {"length": str(size_bytes), "sha256": digest}, now, life), headers, now + life)

    def sign_part(
        self, key: str, reference: str, *, number: int, size_bytes: int, crc64nvme: str, now: datetime, life: timedelta
    ) -> Signed:
        query = {"length": str(size_bytes), "crc64nvme": crc64nvme, "upload": reference, "part": str(number)}
        headers = {"content-length": str(size_bytes), "x-amz-checksum-crc64nvme": crc64nvme}
        return Signed("PUT", self._url("PUT", key, query, now, life), headers, now + life)

    def sign_get(self, key: str, *, name: str, media_type: str, inline: bool, now: datetime, life: timedelta) -> str:
        query = {"disposition": disposition(name, media_type, inline=inline), "type": served_type(media_type)}
        return self._url("GET", key, query, now, life)

    def _url(self, method: str, key: str, query: Mapping[str, str], now: datetime, life: timedelta) -> str:
        text = canonical_query({**query, "expires": str(int((now + life).timestamp()))})
        return f"{self.public_url}{PATH}{encoded_path(key)}?{text}&signature={self._signature(method, key, text)}"

    def _signature(self, method: str, key: str, text: str) -> str:
        return hmac.digest(self.secret, f"{method}\n{key}\n{text}".encode(), "sha256").hex()

    # the door's

    def granted(self, method: str, key: str, query: str, headers: Mapping[str, str], now: datetime) -> Granted:
        """What the URL and its headers allow. `query` as it came: clients write one and the same query in several ways. Raises Refusal."""
        try:
            asked = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX))
        except ValueError:
            asked = {}
        signature = asked.pop("signature", "").encode()
        right = self._signature(method, key, canonical_query(asked)).encode()
        if not KEY.fullmatch(key) or not hmac.compare_digest(signature, right):
            raise Refusal(403, "This URL was not signed here: ask for another one.")
        if now.timestamp() >= int(asked["expires"]):
            raise Refusal(403, "This URL has expired: ask for another one.")
        if method != "PUT":
            return Granted(key, disposition=asked["disposition"], media_type=asked["type"])
        if "content-length" not in headers:
            raise Refusal(411, "Say the length of what you send; nothing is taken in chunks.")
        wanted = {"content-length": asked["length"]}
        if "upload" in asked:
            wanted["x-amz-checksum-crc64nvme"] = asked["crc64nvme"]
        else:
            wanted |= {"x-amz-checksum-sha256": asked["sha256"], "if-none-match": "*"}
        for name, value in wanted.items():
            if headers.get(name) != value:
                raise Refusal(403, f"The header {name} is to be the one that was signed.")
        digest = asked.get("crc64nvme") or asked["sha256"]
        return Granted(key, int(asked["length"]), digest, asked.get("upload", ""), int(asked.get("part", 0)))

    async def receive(self, granted: Granted, pieces: AsyncIterator[bytes]) -> str:
        """Take what was announced, whole and right or not at all; its ETag. Raises Refusal, and Away for a disk that fails."""
        if not granted.reference and self._path(granted.key).exists():
            raise Refusal(412, "There is something under this key already.")
        digest: Digest = Crc64Nvme() if granted.reference else Sha256()
        self._check_room(granted.size_bytes)
        with self._draft() as (out, draft):
            size = 0
            async for piece in pieces:
                size += len(piece)
                if size > granted.size_bytes:
                    raise Refusal(400, "This is longer than was announced.")
                await in_thread(take, out, digest, piece)
            if size != granted.size_bytes:
                raise Refusal(400, "This is shorter than was announced.")
            if digest.base64() != granted.digest:
                raise Refusal(400, "This is not what was announced: its checksum is another one.")
            await reach("blobs.before_keep")
            if granted.reference:
                await self._keep_part(granted, out, draft)
            else:
                try:
                    await in_thread(keep_as, out, draft, self._path(granted.key))
                except AlreadyThere:
                    raise Refusal(412, "There is something under this key already.") from None
        return f'"{granted.digest}"'

    async def _keep_part(self, granted: Granted, out: IO[bytes], draft: Path) -> None:
        """The newest of a number counts."""
        place = self._parts_of(granted.key, granted.reference)
        name = f"{granted.number:05}-{granted.size_bytes}-{b64decode(granted.digest).hex()}"

        def keep() -> None:
            if not place.is_dir():
                raise Refusal(404, "This upload is over.")
            flush(out)
            before = [one for one in place.glob(f"{granted.number:05}-*") if one.name != name]
            os.replace(draft, place / name)
            for one in before:
                one.unlink(missing_ok=True)
            flush_folder(place)

        await in_thread(keep)

    # objects

    def path_of(self, key: str) -> Path | None:
        """Where an object lies, for the door to send it."""
        path = self._path(key)
        return path if path.is_file() else None

    async def look(self, key: str) -> Blob | None:
        path = self._path(key)
        try:
            found = await asyncio.to_thread(path.stat)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Away(str(error)) from error
        return Blob(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC)) if stat.S_ISREG(found.st_mode) else None

    async def read(self, key: str, first: int = 0, last: int | None = None) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread(open, self._path(key), "rb")
        except FileNotFoundError:
            raise Missing(key) from None
        with file:
            await in_thread(file.seek, first)
            left = None if last is None else last - first + 1
            while left is None or left > 0:
                piece = await in_thread(file.read, PIECE_BYTES if left is None else min(PIECE_BYTES, left))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Written:
        digest, size = Sha256(), 0
        self._check_room(0)
        with self._draft() as (out, draft):
            async for piece in pieces:
                size += len(piece)
                await in_thread(take, out, digest, piece)
            await in_thread(keep_as, out, draft, self._path(key))
        return Written(size, digest.state.hexdigest())

    async def delete(self, key: str) -> None:
        await in_thread(self._path(key).unlink, missing_ok=True)

    async def keys(self, after: str = "") -> AsyncIterator[Blob]:
        for first in await in_thread(names_in, self.objects):
            for second in await in_thread(names_in, self.objects / first):
                for blob in await in_thread(blobs_in, self.objects, f"{first}/{second}"):
                    if blob.key > after:
                        yield blob

    # objects made of parts

    async def begin_multipart(self, key: str) -> str:
        reference = secrets.token_hex(16)
        await in_thread(self._parts_of(key, reference).mkdir, parents=True)
        return reference

    async def parts(self, key: str, reference: str) -> Sequence[Part]:
        place = self._parts_of(key, reference)
        try:
            names = await asyncio.to_thread(lambda: sorted(one.name for one in place.iterdir()))
        except FileNotFoundError:
            raise PartsMissing(f"{key}: this upload is over") from None
        found = [match for name in names if (match := PART.fullmatch(name))]
        return [
            Part(int(one[1]), int(one[2]), f'"{one[3]}"', b64encode(bytes.fromhex(one[3])).decode())
            for one in found
        ]  # fmt: skip

    async def complete_multipart(self, key: str, reference: str, parts: Sequence[Part]) -> None:
        if not parts:
            raise PartsMissing(f"{key}: made of no part")
        place, path = self._parts_of(key, reference), self._path(key)

        def complete() -> None:
            if path.exists():
                shutil.rmtree(place, ignore_errors=True)
                return
            self._check_room(sum(part.size_bytes for part in parts))
            names = {one[1]: one.string for name in names_in(place) if (one := PART.fullmatch(name))}
            with self._draft() as (out, draft):
                for part in parts:
                    name = names.get(f"{part.number:05}")
                    if name is None or part.etag.strip('"') != name.rpartition("-")[2]:
                        raise PartsMissing(f"{key}: no part {part.number} as named")
                    with open(place / name, "rb") as piece:
                        shutil.copyfileobj(piece, out, PIECE_BYTES)
                if out.tell() != sum(part.size_bytes for part in parts):
                    raise Different(f"{key}: its parts have other lengths than named")
                with suppress(AlreadyThere):  # another process completes the same upload
                    keep_as(out, draft, path)
            shutil.rmtree(place, ignore_errors=True)

        await in_thread(complete)

    async def abort_multipart(self, key: str, reference: str) -> None:
        await in_thread(shutil.rmtree, self._parts_of(key, reference), ignore_errors=True)

    async def multiparts(self) -> AsyncIterator[Multipart]:
        for name in await in_thread(names_in, self.waiting):
            key, _, reference = name.rpartition(".")
            with suppress(FileNotFoundError):
                found = await asyncio.to_thread((self.waiting / name).stat)
                yield Multipart(key.replace("-", "/"), reference, datetime.fromtimestamp(found.st_mtime, UTC))

    # the folder

    async def prepare(self) -> None:
        """What a process left that was killed is thrown away, and what another one writes at this moment is not."""

        def make() -> None:
            for one in (self.folder, self.objects, self.waiting, self.drafts):
                one.mkdir(parents=True, exist_ok=True, mode=0o700)
            for one in self.drafts.iterdir():
                with suppress(FileNotFoundError):
                    if time.time() - one.stat().st_mtime > DRAFT_SECONDS_MAX:
                        one.unlink()

        await in_thread(make)

    async def check(self) -> str:
        try:
            free = (await asyncio.to_thread(shutil.disk_usage, self.folder)).free
        except OSError as error:
            return f"the blobs in {self.folder} cannot be reached: {error.strerror}; Parvis makes the folder when it starts"
        return "" if free > LOW_BYTES else f"the disk of {self.folder} is full: {free} bytes are left"

    async def close(self) -> None:
        return

    # inside

    def _check_room(self, size_bytes: int) -> None:
        """Raises Away when the databases beside the blobs would soon have no room."""
        with away_when_broken():
            free = shutil.disk_usage(self.folder).free
        if free - size_bytes < LOW_BYTES:
            raise Away(f"the disk of the blobs is nearly full: {free} bytes are left")

    def _path(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key of an object")
        return self.objects / key

    def _parts_of(self, key: str, reference: str) -> Path:
        """A folder of an upload, named by both, so that it can be found from either."""
        if not KEY.fullmatch(key) or not REFERENCE.fullmatch(reference):
            raise PartsMissing(f"{reference!r} is no upload")
        return self.waiting / f"{key.replace('/', '-')}.{reference}"

    @contextmanager
    def _draft(self) -> Iterator[tuple[IO[bytes], Path]]:
        """A file that is gone afterwards, unless it was kept under another name."""
        draft = self.drafts / secrets.token_hex(16)
        with away_when_broken():
            out = open(draft, "wb")  # noqa: SIM115 (closed below, whatever happens)
        try:
            yield out, draft
        finally:
            out.close()
            draft.unlink(missing_ok=True)
