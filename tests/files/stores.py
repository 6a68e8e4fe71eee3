"""A blob store of each kind, reached as agents reach it: over HTTP, by signed URLs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from parvis_files.api import blobs as door
from parvis_files.blobs import BlobStore
from parvis_files.blobs.folder import FolderStore
from parvis_files.blobs.s3 import Place, S3Store
from parvis_files.blobs.signing import Signer
from parvis_kit.clock import Clock, utc_now
from parvis_kit.http import Routes, mount
from parvis_kit.settings import Platform

KINDS = ("folder", "s3")


@dataclass
class Door:
    """As much of a service as a door needs."""

    handles: dict[Any, Any]
    name: str = "files"
    database: Any = None
    clock: Clock = utc_now
    routes: list[Routes] = field(default_factory=lambda: [door.ROUTES])
    authenticate: Any = None
    lost: Any = None


@asynccontextmanager
async def folder_store(folder: Path) -> AsyncIterator[FolderStore]:
    store = FolderStore(folder / "blobs", "")
    app = web.Application()
    mount(app, Door({door.STORE: store}), Platform(data=folder, access_log=False))
    async with TestServer(app) as server:
        store.public_url = str(server.make_url("")).rstrip("/")
        await store.prepare()
        yield store


@asynccontextmanager
async def s3_store(said: dict[str, str]) -> AsyncIterator[S3Store]:
    signer = Signer(said["access_key"], said["secret"], "us-east-1")
    store = S3Store(Place(said["endpoint"], said["endpoint"], f"t{token_hex(6)}", signer, ""), utc_now)
    try:
        await store.prepare()
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def store_of(kind: str, folder: Path, s3: Callable[[], dict[str, str]]) -> AsyncIterator[BlobStore]:
    if kind == "folder":
        async with folder_store(folder) as inner:
            yield inner
    else:
        async with s3_store(s3()) as outer:
            yield outer
