"""Files as a process that a test may kill: real doors and sweeps, short deadlines, and a roster of one agent."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from parvis_contracts.directory import AgentState, SigningKeyState
from parvis_files.actions import driving, uploads
from parvis_files.app import build
from parvis_files.rules import uploads as rules
from parvis_files.settings import Settings
from parvis_kit import failpoints
from parvis_kit.background import Background, sweeps_of
from parvis_kit.clock import utc_now
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


async def serve(said: dict[str, Any]) -> None:
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
    files.sweeps = [replace(one, every_seconds=SWEEP_SECONDS) for one in files.sweeps]
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
