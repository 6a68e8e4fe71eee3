"""What the clock asks of messaging: what is due is delivered, what was noted is said, who waits is looked after."""

import asyncio
from contextlib import suppress
from functools import partial

from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.service import Sweep
from prometheus_client import Gauge

from parvis_messaging import actions
from parvis_messaging.actions import Bridge, Sender, Watch
from parvis_messaging.homeserver import Home
from parvis_messaging.queries import notices, sessions

WAITERS_SECONDS = 0.5
"""How soon a long poll notices that its session was ended, or that another process has changed a room."""
LOOK_SECONDS = 0.5
"""How soon what another process has left to do, or what had to wait, is found; what this one leaves wakes it at once."""
WATCH_SECONDS = 2.0
"""How soon it is seen that the homeserver was started again, which loses what it was about to push."""
SESSIONS_SECONDS = 1.0
"""How soon a session elsewhere ends whose app password was revoked, or whose agent was suspended."""
GAUGES_SECONDS, DAY = 15.0, 86_400.0
WAITERS = Gauge("parvis_matrix_waiting", "Long polls of Matrix clients that wait for something to happen, in this process.")
DEPTH = Gauge("parvis_matrix_outbox_depth", "Acts of the bridge not yet done; at 5000, it reads no further facts.", ["server"])
OLDEST = Gauge("parvis_matrix_outbox_oldest_seconds", "Age of the oldest whose turn it is; above 60, the homeserver does not keep up.")
PARKED = Gauge("parvis_matrix_outbox_parked", "Acts that the homeserver refused for good in the last 30 days: somebody was not told.")
INBOX_LAG = Gauge("parvis_matrix_inbox_lag_seconds", "Age of the oldest message that was written and is not on the log yet.")


def sweeps(database: Database, home: Home, sender: Sender, clock: Clock) -> list[Sweep]:
    return [
        Sweep("waiters", WAITERS_SECONDS, partial(look_after_waiters, database, home, clock)),
        Sweep("deliver", 0.0, partial(deliver, sender)),
        Sweep("say", 0.0, partial(say, database, home, clock)),
        Sweep("gauges", GAUGES_SECONDS, partial(gauge, database, sender.bridge, clock)),
        Sweep("forget", DAY, partial(forget, database, clock)),
    ]


def sweeps_elsewhere(watch: Watch) -> list[Sweep]:
    """Beside the others, when the homeserver is another's."""
    return [Sweep("watch", WATCH_SECONDS, watch.look), Sweep("sessions", SESSIONS_SECONDS, watch.end_fallen)]


async def deliver(sender: Sender) -> None:
    """All that is due, then wait for more."""
    await woken(sender.bridge.due)
    while await sender.deliver():
        pass


async def say(database: Database, home: Home, clock: Clock) -> None:
    await woken(home.noted)
    while await actions.publish_noted(database, clock):
        pass


async def woken(event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS):
            await event.wait()
    event.clear()


async def gauge(database: Database, bridge: Bridge, clock: Clock) -> None:
    async with database.read() as conn:
        found = await notices.standing_of(conn)
    now = clock()
    DEPTH.labels(bridge.server.server).set(found.depth)
    PARKED.set(found.parked)
    OLDEST.set(max(0.0, (now - found.oldest_at).total_seconds()) if found.oldest_at else 0.0)
    INBOX_LAG.set(max(0.0, (now - found.noted_at).total_seconds()) if found.noted_at else 0.0)


async def forget(database: Database, clock: Clock) -> None:
    async with database.transaction() as tx:
        await actions.forget_old(tx, now=clock())


async def look_after_waiters(database: Database, home: Home, clock: Clock) -> None:
    """Wake those who no longer may wait, and all when another process has written."""
    waiters = home.waiters
    WAITERS.set(len(waiters.all))
    if not waiters.all:
        return
    async with database.read() as conn:
        head = await sessions.head(conn)
        standing = await sessions.standing(conn, list({one.token_digest for one in waiters.all}), clock())
    for one in list(waiters.all):
        if one.token_digest not in standing:
            one.woken.set()
    if head > waiters.seen:
        waiters.seen = head
        waiters.wake_all()
