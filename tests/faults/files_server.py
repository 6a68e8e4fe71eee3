"""Files as a process that a test may kill: real doors and sweeps, short deadlines, and a roster of one agent."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from aiohttp import web
from parvis_contracts.directory import AgentState, SigningKeyState
from parvis_files.actions import commits, driving, uploads
from parvis_files.actions.commits import release
from parvis_files.api.common import BLOBS
from parvis_files.app import build
from parvis_files.blobs import BlobStore
from parvis_files.rules import uploads as rules
from parvis_files.settings import Settings
from parvis_files.store import spaces, version
from parvis_kit import failpoints
from parvis_kit.background import Background, sweeps_of
from parvis_kit.clock import utc_now
from parvis_kit.db import Database, Tx
from parvis_kit.http import mount
from parvis_kit.http.chain import LIMITS
from parvis_kit.serve import runner_options
from parvis_kit.settings import Platform
from parvis_suite.assembly import migrate
from pydantic import SecretStr

SWEEP_SECONDS = 0.3
SHORT = timedelta(seconds=2)
SINGLE_BYTES_MAX = 32 * 1024
"""So that small files go in parts too."""
LOST = 3
KEEPS_PLACES, LOSES_BYTES = "keeps the places of what it gives up", "loses the newest bytes when it starts"
WITHOUT = {"never drives what lies still": "uploads", "never collects what is left over": "orphans"}
"""Broken on purpose, as `said["broken"]`: what the tests are to find. By the sweep that is missing."""
BROKEN = (*WITHOUT, KEEPS_PLACES, LOSES_BYTES)


async def serve(said: dict[str, Any]) -> None:
    broken = said.get("broken", "")
    rules.SINGLE_BYTES_MAX = SINGLE_BYTES_MAX
    uploads.INTENT_LIFE = driving.LEASE = SHORT
    url = f"http://127.0.0.1:{said['port']}"
    platform = Platform(data=Path(said["data"]), database_url=SecretStr(said["database_url"]), access_log=False, public_url=url)
    short_minutes = said["minutes"]
    files = build(platform, utc_now, Settings(upload_minutes=short_minutes, orphan_minutes=short_minutes, **said["blobs"]))
    await migrate([files], platform)
    await know(files, said)
    for run in files.before:
        await run()
    files.sweeps = [replace(one, every_seconds=SWEEP_SECONDS) for one in files.sweeps if one.name != WITHOUT.get(broken)]
    if broken == KEEPS_PLACES:
        commits.release = driving.release = release_without_the_place
    if broken == LOSES_BYTES:
        await lose_the_newest(files.database, files.handles[BLOBS])
    background = Background()
    failpoints.arm(os.environ.get("PARVIS_FAIL", ""))
    background.start(sweeps_of(files))
    app = web.Application(client_max_size=LIMITS.body_bytes)
    mount(app, files, platform)
    runner = web.AppRunner(app, access_log=None, **runner_options(LIMITS))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", said["port"], reuse_address=True).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def release_without_the_place(tx: Tx, upload: Any, *given: Any, **named: Any) -> Any:
    done = await release(tx, upload, *given, **named)
    await spaces.settle(tx, upload.space_id, reserved=upload.size_bytes)
    return done


async def lose_the_newest(database: Database, blobs: BlobStore) -> None:
    """As a disk does that had said it was written."""
    async with database.read() as conn:
        newest = await conn.execute(sa.select(version.c.blob_key).order_by(version.c.stored_at.desc()).limit(LOST))
    for key in newest.scalars().all():
        await blobs.delete(key)


async def know(files: Any, said: dict[str, Any]) -> None:
    """As the roster's projection does."""
    agent = AgentState.model_validate_json(json.dumps(said["agent"]))
    key = SigningKeyState.model_validate_json(json.dumps(said["key"]))
    async with files.database.transaction() as tx:
        for fact in (agent, key):
            await files.projections[0].on[type(fact)].handler(tx, [fact])
    files.projections[0].reached_end()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text())))
