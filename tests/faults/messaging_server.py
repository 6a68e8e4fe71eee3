"""Messaging as a process that a test may kill: real consumers, sweeps and doors, over the logs of directory and files."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

from aiohttp import web
from parvis_kit import failpoints
from parvis_kit.background import Background, sweeps_of
from parvis_kit.clock import utc_now
from parvis_kit.events.running import Flow, tasks_of
from parvis_kit.http import mount
from parvis_kit.http.chain import LIMITS
from parvis_kit.serve import runner_options
from parvis_kit.settings import Platform
from parvis_messaging.actions import Sender, sending
from parvis_messaging.api.matrix_common import HOME
from parvis_messaging.app import SENDER
from parvis_messaging.store import deliveries
from parvis_messaging.store.deliveries import Delivery
from parvis_messaging.sweeps import sweeps
from parvis_suite.assembly import flow_of, log_of, migrate
from parvis_suite.services import build
from pydantic import SecretStr

PUBLISHERS = ("directory", "files", "calendar")
SHORT = timedelta(seconds=1)
RANDOM_IDS, FINISHES_FIRST = "random transaction ids", "forgets before it sends"
BROKEN = (RANDOM_IDS, FINISHES_FIRST)
"""Broken on purpose, as `said["broken"]`: what the tests are to find."""


class Hasty(Sender):
    """Writes down that it has sent before it sends."""

    async def perform(self, one: Delivery) -> None:
        if one.act == "notice":
            async with self.database.transaction() as tx:
                link = await deliveries_link(self, one)
                await deliveries.finish(tx, one.id)
            await failpoints.reach("bridge.sent")
            await self.tell(one, link)
        else:
            await super().perform(one)


async def deliveries_link(sender: Sender, one: Delivery) -> Any:
    from parvis_messaging.store import links

    async with sender.database.read() as conn:
        return await links.find_link(conn, one.lane)


def broken_sender(sender: Sender, broken: str) -> Sender:
    if broken == RANDOM_IDS:
        return replace(sender, txn_id=lambda *_: token_hex(13))
    if broken == FINISHES_FIRST:
        return Hasty(sender.database, sender.bridge, sender.clock)
    return sender


async def serve(said: dict[str, Any]) -> None:
    sending.LEASE = SHORT
    url = f"http://127.0.0.1:{said['port']}"
    platform = Platform(data=Path(said["data"]), database_url=SecretStr(said["database_url"]), access_log=False, public_url=url)
    messaging, *others = (build(name, platform) for name in ("messaging", *PUBLISHERS))
    await migrate([messaging, *others], platform)
    for run in messaging.before:
        await run()
    failpoints.arm(os.environ.get("PARVIS_FAIL", ""))
    log = log_of(platform)
    work = tasks_of(flow_of(messaging, log))
    for one in others:
        work |= tasks_of(Flow(one.database, utc_now, log, {}))
    sender = broken_sender(messaging.handles[SENDER], said.get("broken", ""))
    of_another = [one for one in messaging.sweeps if one.name in ("watch", "sessions")]
    messaging.sweeps = [*sweeps(messaging.database, messaging.handles[HOME], sender, utc_now), *of_another]
    background = Background()
    background.start({**work, **sweeps_of(messaging)})
    app = web.Application(client_max_size=LIMITS.body_bytes)
    mount(app, messaging, platform)
    runner = web.AppRunner(app, access_log=None, **runner_options(LIMITS))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", said["port"], reuse_address=True).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text())))
