"""An S3 store: SeaweedFS, MinIO, Ceph RGW, Garage. Signatures and bytes are ours; the `minio` client makes the bucket."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import md5, sha256
from urllib.parse import urlsplit
from xml.etree import ElementTree  # noqa: S405 (answers of our own store, cut at ANSWER_BYTES_MAX)
from xml.sax.saxutils import escape

import aiohttp
from parvis_kit.clock import Clock
from yarl import URL

from parvis_files.blobs import AlreadyThere, Away, Blob, Different, Missing, Multipart, Part, PartsMissing, Signed, Written
from parvis_files.blobs.disk import crc64nvme
from parvis_files.blobs.naming import disposition, served_type
from parvis_files.blobs.signing import EMPTY_SHA256, UNSIGNED, Signer, canonical_query, encoded_path

ANSWER_BYTES_MAX = 4 * 2**20
"""A page of a list of a thousand keys is some 400 kB."""
PIECE_BYTES = 256 * 1024
PART_BYTES = 8 * 2**20
"""Of what we stream into the store: one part in memory at a time, and 10,000 of them are 80 GB."""
CONNECT_SECONDS_MAX = 5.0
SILENT_SECONDS_MAX = 30.0
CONNECTIONS_MAX = 100
PAGE = 1000
"""Of keys, and of parts: S3's own limit."""
DAY_CORS_SECONDS = 86_400


@dataclass(frozen=True, slots=True, repr=False)
class Place:
    """`endpoint` is where we reach the store, `public` where agents do, both as scheme://host:port."""

    endpoint: str
    public: str
    bucket: str
    signer: Signer
    origin: str
    """Of the pages that may send to the store (CORS); empty: any."""


class S3Store:
    """See BlobStore."""

    kind = "s3"

    def __init__(self, place: Place, clock: Clock) -> None:
        self.place, self.clock = place, clock
        self._session: aiohttp.ClientSession | None = None

    # for others

    def sign_put(self, key: str, *, size_bytes: int, sha256: str, now: datetime, life: timedelta) -> Signed:
        headers = {
            "content-length": str(size_bytes),
            "if-none-match": "*",
            "x-amz-checksum-sha256": b64encode(bytes.fromhex(sha256)).decode(),
        }
        return Signed("PUT", self._url("PUT", key, {}, headers, now, life), headers, now + life)

    def sign_part(
        self, key: str, reference: str, *, number: int, size_bytes: int, crc64nvme: str, now: datetime, life: timedelta
    ) -> Signed:
        headers = {"content-length": str(size_bytes), "x-amz-checksum-crc64nvme": crc64nvme}
        query = {"partNumber": str(number), "uploadId": reference}
        return Signed("PUT", self._url("PUT", key, query, headers, now, life), headers, now + life)

    def sign_get(self, key: str, *, name: str, media_type: str, inline: bool, now: datetime, life: timedelta) -> str:
        query = {
            "response-content-disposition": disposition(name, media_type, inline=inline),
            "response-content-type": served_type(media_type),
        }
        return self._url("GET", key, query, {}, now, life)

    def _url(self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], now: datetime, life: timedelta) -> str:
        path, host = self._path(key), urlsplit(self.place.public).netloc
        asked = self.place.signer.query(method, host, path, now=now, life=life, query=query, headers=headers)
        return f"{self.place.public}{path}?{asked}"

    def _path(self, key: str = "") -> str:
        return f"/{self.place.bucket}/{encoded_path(key)}" if key else f"/{self.place.bucket}"

    # objects

    async def look(self, key: str) -> Blob | None:
        async with self._ask("HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"}) as answer:
            if answer.status == 404:
                return None
            self._expect(answer, 200)
            known = answer.headers.get("x-amz-checksum-sha256", "")
            digest = b64decode(known).hex() if known and "-" not in known else None
            stored_at = parsedate_to_datetime(answer.headers["Last-Modified"])
            return Blob(key, int(answer.headers["Content-Length"]), stored_at, digest)

    async def read(self, key: str, first: int = 0, last: int | None = None) -> AsyncIterator[bytes]:
        wanted = {} if first == 0 and last is None else {"range": f"bytes={first}-{'' if last is None else last}"}
        async with self._ask("GET", key, headers=wanted) as answer:
            if answer.status == 404:
                raise Missing(key)
            if answer.status == 416:
                return
            self._expect(answer, 200, 206)
            async for piece in answer.content.iter_chunked(PIECE_BYTES):
                yield piece

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Written:
        digest, size, held, reference, parts = sha256(), 0, bytearray(), "", list[Part]()
        try:
            async for piece in pieces:
                digest.update(piece)
                size += len(piece)
                held += piece
                while len(held) >= 2 * PART_BYTES:  # what is left at the end is more than nothing
                    reference = reference or await self.begin_multipart(key)
                    parts.append(await self._put_part(key, reference, len(parts) + 1, bytes(held[:PART_BYTES])))
                    del held[:PART_BYTES]
            if reference:
                parts.append(await self._put_part(key, reference, len(parts) + 1, bytes(held)))
                await self._complete(key, reference, parts)
            else:
                await self._put(key, bytes(held), digest.digest())
        except BaseException:
            if reference:
                with suppress(Away):
                    await asyncio.shield(self.abort_multipart(key, reference))
            raise
        return Written(size, digest.hexdigest())

    async def _put(self, key: str, body: bytes, digest: bytes) -> None:
        headers = {"if-none-match": "*", "x-amz-checksum-sha256": b64encode(digest).decode()}
        async with self._ask("PUT", key, headers=headers, body=body) as answer:
            if answer.status == 412:
                raise AlreadyThere(key)
            self._expect(answer, 200)

    async def delete(self, key: str) -> None:
        async with self._ask("DELETE", key) as answer:
            self._expect(answer, 200, 204, 404)

    async def keys(self, after: str = "") -> AsyncIterator[Blob]:
        while True:
            query = {"list-type": "2", "max-keys": str(PAGE)} | ({"start-after": after} if after else {})
            page = await self._xml("GET", "", query)
            found = [
                Blob(_text(one, "Key"), int(_text(one, "Size")), datetime.fromisoformat(_text(one, "LastModified")))
                for one in _all(page, "Contents")
            ]
            for blob in found:
                yield blob
            if not found or _text(page, "IsTruncated") != "true":
                return
            after = found[-1].key

    # objects made of parts

    async def begin_multipart(self, key: str) -> str:
        headers = {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "FULL_OBJECT"}
        return _text(await self._xml("POST", key, {"uploads": ""}, headers=headers), "UploadId")

    async def _put_part(self, key: str, reference: str, number: int, body: bytes) -> Part:
        query = {"partNumber": str(number), "uploadId": reference}
        checksum = await asyncio.to_thread(crc64nvme, body)  # MinIO refuses a part without what its upload was begun with
        async with self._ask("PUT", key, query, headers={"x-amz-checksum-crc64nvme": checksum}, body=body) as answer:
            self._expect(answer, 200)
            return Part(number, len(body), answer.headers["ETag"], answer.headers.get("x-amz-checksum-crc64nvme", ""))

    async def parts(self, key: str, reference: str) -> Sequence[Part]:
        """The newest of each number: some stores list those too that were sent before."""
        found: dict[int, tuple[str, Part]] = {}
        marker: dict[str, str] = {}
        while True:
            page = await self._xml("GET", key, {"uploadId": reference, "max-parts": str(PAGE)} | marker)
            for one in _all(page, "Part"):
                number, at = int(_text(one, "PartNumber")), _text(one, "LastModified")
                if number not in found or at >= found[number][0]:
                    part = Part(number, int(_text(one, "Size")), _text(one, "ETag"), _text(one, "ChecksumCRC64NVME"))
                    found[number] = at, part
            if _text(page, "IsTruncated") != "true" or not found:
                return [part for _, (_, part) in sorted(found.items())]
            marker = {"part-number-marker": _text(page, "NextPartNumberMarker") or str(max(found))}

    async def complete_multipart(self, key: str, reference: str, parts: Sequence[Part]) -> None:
        """The key is random and this upload's alone: an object that is there is the one that was made before."""
        try:
            await self._complete(key, reference, parts)
        except AlreadyThere:
            return
        except PartsMissing:
            if await self.look(key) is None:
                raise

    async def _complete(self, key: str, reference: str, parts: Sequence[Part]) -> None:
        lines = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag>"
            + (f"<ChecksumCRC64NVME>{escape(part.crc64nvme)}</ChecksumCRC64NVME>" if part.crc64nvme else "")
            + "</Part>"
            for part in parts
        )
        body = f"<CompleteMultipartUpload>{lines}</CompleteMultipartUpload>".encode()
        headers = {"if-none-match": "*", "content-type": "application/xml", "x-amz-checksum-type": "FULL_OBJECT"}
        await self._xml("POST", key, {"uploadId": reference}, headers=headers, body=body)

    async def abort_multipart(self, key: str, reference: str) -> None:
        async with self._ask("DELETE", key, {"uploadId": reference}) as answer:
            self._expect(answer, 200, 204, 404)

    async def multiparts(self) -> AsyncIterator[Multipart]:
        query = {"uploads": "", "max-uploads": str(PAGE)}
        while True:
            page = await self._xml("GET", "", query)
            for one in _all(page, "Upload"):
                yield Multipart(_text(one, "Key"), _text(one, "UploadId"), datetime.fromisoformat(_text(one, "Initiated")))
            if _text(page, "IsTruncated") != "true":
                return
            query |= {"key-marker": _text(page, "NextKeyMarker"), "upload-id-marker": _text(page, "NextUploadIdMarker")}

    # the bucket

    async def prepare(self) -> None:
        """The bucket, and who may send to it from a page, where they are not there yet: a key of few rights will do once they are."""
        async with self._ask("HEAD", "") as answer:
            self._expect(answer, 200, 404)
            is_there = answer.status == 200
        if not is_there:
            try:
                await asyncio.wait_for(asyncio.to_thread(self._make_bucket), 2 * SILENT_SECONDS_MAX)
            except TimeoutError:
                raise Away(f"{self.place.endpoint} does not answer") from None
        async with self._ask("GET", "", {"cors": ""}) as answer:
            if answer.status != 404:
                return
        rule = (
            f"<AllowedOrigin>{escape(self.place.origin or '*')}</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
            "<AllowedMethod>PUT</AllowedMethod><AllowedMethod>HEAD</AllowedMethod><AllowedHeader>*</AllowedHeader>"
            f"<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>{DAY_CORS_SECONDS}</MaxAgeSeconds>"
        )
        body = f"<CORSConfiguration><CORSRule>{rule}</CORSRule></CORSConfiguration>".encode()
        headers = {"content-md5": b64encode(md5(body, usedforsecurity=False).digest()).decode()}
        async with self._ask("PUT", "", {"cors": ""}, headers=headers, body=body) as answer:
            if answer.status != 501:  # MinIO has one rule for the whole server, in its own settings: `check` tells whether it lets pages in
                self._expect(answer, 200, 204)

    def _make_bucket(self) -> None:
        from minio import Minio  # 8 MB that only this needs, once in a bucket's life
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        signer, endpoint = self.place.signer, urlsplit(self.place.endpoint)
        client = Minio(
            endpoint=endpoint.netloc,
            access_key=signer.access_key,
            secret_key=signer.secret,
            region=signer.region,
            secure=endpoint.scheme == "https",
        )
        try:
            if not client.bucket_exists(bucket_name=self.place.bucket):  # another process may have been quicker
                client.make_bucket(bucket_name=self.place.bucket)
        except (MinioException, HTTPError, OSError) as error:
            raise Away(f"the bucket {self.place.bucket} cannot be made: {type(error).__name__}") from error

    async def check(self) -> str:
        where = f"{self.place.endpoint}/{self.place.bucket}"
        try:
            async with self._ask("HEAD", "") as answer:
                if answer.status == 404:
                    return f"there is no bucket {where}: make it, or start Parvis with a key that may"
                if answer.status == 403:
                    return f"{where} refuses our key: see PARVIS_FILES_BLOBS_URL and PARVIS_FILES_BLOBS_SECRET_FILE"
                self._expect(answer, 200)
            page = self.place.origin or "https://any.invalid"
            asked = {"origin": page, "access-control-request-method": "PUT", "access-control-request-headers": "x-amz-checksum-crc64nvme"}
            async with self._ask("OPTIONS", "any", headers=asked) as answer:
                allowed = answer.headers.get("Access-Control-Allow-Origin", "") if answer.status < 300 else ""
        except Away as away:
            return f"{where}: {away}"
        if allowed not in ("*", page):
            return (
                f"{where} takes nothing that pages of {page} send (CORS): let the bucket's rule allow them, "
                "or the server's setting where buckets have none"
            )
        return ""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # inside

    @asynccontextmanager
    async def _ask(
        self, method: str, key: str, query: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """What goes over TLS is not hashed once more for the signature: S3's checksums vouch for it."""
        if self._session is None:
            limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS_MAX, sock_read=SILENT_SECONDS_MAX)
            self._session = aiohttp.ClientSession(
                headers={"Accept-Encoding": "identity"},  # bytes as they lie there; MinIO would compress its own answers
                timeout=limits,
                auto_decompress=False,
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            )
        path, text, endpoint = self._path(key), canonical_query(query or {}), self.place.endpoint
        signed = self.place.signer.headers(
            method,
            urlsplit(endpoint).netloc,
            path,
            now=self.clock(),
            query=text,
            headers=headers or {},
            payload_sha256=UNSIGNED if body else EMPTY_SHA256,
        )
        url = URL(f"{endpoint}{path}{'?' if text else ''}{text}", encoded=True)
        try:
            async with self._session.request(method, url, headers=signed, data=body or None, allow_redirects=False) as answer:
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Away(f"{endpoint} does not answer: {type(error).__name__}") from error

    def _expect(self, answer: aiohttp.ClientResponse, *statuses: int) -> None:
        if answer.status not in statuses:
            raise Away(f"{self.place.endpoint} answers {answer.status} to {answer.method}")

    async def _xml(
        self, method: str, key: str, query: Mapping[str, str], *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> ElementTree.Element:
        async with self._ask(method, key, query, headers=headers, body=body) as answer:
            text = await answer.content.read(ANSWER_BYTES_MAX + 1)
            while len(text) <= ANSWER_BYTES_MAX and (more := await answer.content.read(ANSWER_BYTES_MAX)):
                text += more
        if len(text) > ANSWER_BYTES_MAX:
            raise Away(f"{self.place.endpoint} says more than {ANSWER_BYTES_MAX} bytes")
        try:
            page = ElementTree.fromstring(text) if text else ElementTree.Element("Nothing")  # noqa: S314
        except ElementTree.ParseError as error:
            raise Away(f"{self.place.endpoint} answers {answer.status}, and no XML") from error
        if answer.status == 200 and not page.tag.endswith("Error"):  # a complete may fail after its 200 was sent
            return page
        code = _text(page, "Code")
        if answer.status == 412 or code == "PreconditionFailed":
            raise AlreadyThere(key)
        if code in ("NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall") or answer.status == 404:
            raise PartsMissing(f"{code}: {key}")
        if code in ("BadDigest", "XAmzContentChecksumMismatch"):
            raise Different(f"{code}: {key}")
        raise Away(f"{self.place.endpoint} answers {answer.status} {code} to {method}")


def _all(page: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (one for one in page if one.tag.rpartition("}")[2] == name)


def _text(page: ElementTree.Element, name: str) -> str:
    """Of a child; namespaces differ between stores."""
    return next((one.text or "" for one in _all(page, name)), "")
