"""Files on a disk as a blob store wants them: whole and for good, or not at all; counted while they are written."""

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, ParamSpec, Protocol, TypeVar

import anycrc

from parvis_files.blobs import AlreadyThere, Away, Blob

MODEL = anycrc.Model("CRC64-NVME")
P = ParamSpec("P")
T = TypeVar("T")


class Digest(Protocol):
    def update(self, piece: bytes) -> None: ...
    def base64(self) -> str: ...


class Sha256:
    def __init__(self) -> None:
        self.state = sha256()

    def update(self, piece: bytes) -> None:
        self.state.update(piece)

    def base64(self) -> str:
        return b64encode(self.state.digest()).decode()


class Crc64Nvme:
    """CRC-64/NVME (NVM Express, NVM Command Set 1.0, §5.2.1.3.4): what S3 checks the parts of an object with."""

    def __init__(self) -> None:
        self.value = MODEL.calc(b"")

    def update(self, piece: bytes) -> None:
        self.value = MODEL.calc(piece, self.value)

    def base64(self) -> str:
        return b64encode(self.value.to_bytes(8, "big")).decode()


def crc64nvme(content: bytes) -> str:
    """Base64, as S3 writes it."""
    digest = Crc64Nvme()
    digest.update(content)
    return digest.base64()


@contextmanager
def away_when_broken() -> Iterator[None]:
    """A full disk, a folder that is not ours any more: it may be cured, and then asked again."""
    try:
        yield
    except OSError as error:
        raise Away(f"the folder of the blobs fails: {error.strerror or error}") from error


async def in_thread(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Disks take their time. Raises Away."""
    with away_when_broken():
        return await asyncio.to_thread(function, *arguments, **named)


def take(out: IO[bytes], digest: Digest, piece: bytes) -> None:
    out.write(piece)
    digest.update(piece)


def flush(out: IO[bytes]) -> None:
    out.flush()
    os.fsync(out.fileno())


def flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def keep_as(out: IO[bytes], draft: Path, path: Path) -> None:
    """Give it its name, on the disk for good; a link is refused where there is one already. Raises AlreadyThere."""
    flush(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(draft, path)
    except FileExistsError:
        raise AlreadyThere(path.name) from None
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        flush_folder(folder)


def names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def blobs_in(objects: Path, place: str) -> list[Blob]:
    found = []
    for name in names_in(objects / place):
        with suppress(FileNotFoundError):
            status = (objects / place / name).stat()
            found.append(Blob(f"{place}/{name}", status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
    return found
