"""Where bytes lie, apart from what is known about them: an object a version, under a key that says nothing and never changes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Protocol


class Away(Exception):
    """The blob store does not answer as it should: what was asked may or may not have been done, and may be asked again."""


class Refused(Exception):
    """The blob store will not do this; the subclass says why."""


class AlreadyThere(Refused):
    """There is an object under this key, and objects are never written over."""


class PartsMissing(Refused):
    """The upload is unknown, or lacks a part that it is to be made of."""


class Different(Refused):
    """What lies in the store is not what was announced."""


class Missing(Refused):
    """There is no such object."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request that its bearer may make of the store, as it is and until it expires. Never to be logged."""

    method: str
    url: str
    headers: Mapping[str, str]
    """To be sent as they are: they are part of what is signed."""
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    size_bytes: int
    etag: str
    crc64nvme: str
    """Base64, as S3 writes it; empty where the store does not tell."""


@dataclass(frozen=True, slots=True)
class Blob:
    key: str
    size_bytes: int
    stored_at: datetime
    sha256: str | None = None
    """Hexadecimal, where the store knows it; an object made of parts has none."""


@dataclass(frozen=True, slots=True)
class Multipart:
    """An object that is being made of parts."""

    key: str
    reference: str
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class Written:
    size_bytes: int
    sha256: str


class BlobStore(Protocol):
    """All raise Away when the store does not answer in time."""

    kind: str
    """As the gauges name it."""

    def sign_put(self, key: str, *, size_bytes: int, sha256: str, now: datetime, life: timedelta) -> Signed:
        """One request with all of an object: of this length and SHA-256 (hexadecimal), and only where there is nothing yet."""
        ...

    async def begin_multipart(self, key: str) -> str:
        """A reference, for what follows."""
        ...

    def sign_part(
        self, key: str, reference: str, *, number: int, size_bytes: int, crc64nvme: str, now: datetime, life: timedelta
    ) -> Signed:
        """One request with a part: of this length and CRC-64/NVME (base64). Sent again, it replaces what was sent before."""
        ...

    async def parts(self, key: str, reference: str) -> Sequence[Part]:
        """What has come, by number. Raises PartsMissing for an upload that is unknown, or over."""
        ...

    async def complete_multipart(self, key: str, reference: str, parts: Sequence[Part]) -> None:
        """Make the object of these parts; done twice, it is done once. Raises PartsMissing, Different."""
        ...

    async def abort_multipart(self, key: str, reference: str) -> None:
        """Throw the parts away; nothing to do when there are none."""
        ...

    async def look(self, key: str) -> Blob | None: ...

    def sign_get(self, key: str, *, name: str, media_type: str, inline: bool, now: datetime, life: timedelta) -> str:
        """A URL that serves the object under this name and type, ranges included."""
        ...

    def read(self, key: str, first: int = 0, last: int | None = None) -> AsyncIterator[bytes]:
        """From the octet `first` to the octet `last`, both included, in pieces. Raises Missing."""
        ...

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Written:
        """Stream an object into the store, hashed on the way. Raises AlreadyThere; when `pieces` fails, nothing is left."""
        ...

    async def delete(self, key: str) -> None:
        """Nothing to do when it is not there."""
        ...

    def keys(self, after: str = "") -> AsyncIterator[Blob]:
        """All objects, in the order of their keys."""
        ...

    def multiparts(self) -> AsyncIterator[Multipart]:
        """What is being made of parts, and what was left so."""
        ...

    async def prepare(self) -> None:
        """Make what has to be there (a folder, a bucket). Done twice, it is done once."""
        ...

    async def check(self) -> str:
        """What is wrong with the store and what to do about it; empty when nothing is."""
        ...

    async def close(self) -> None: ...


def new_key() -> str:
    """Random, and spread over folders."""
    drawn = token_hex(20)
    return f"{drawn[:2]}/{drawn[2:4]}/{drawn[4:]}"
