"""What the clock asks of messaging."""

from functools import partial

from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.service import Sweep
from prometheus_client import Gauge

from parvis_messaging.homeserver import Home
from parvis_messaging.queries import sessions

WAITERS_SECONDS = 0.5
"""How soon a long poll notices that its session was ended, or that another process has changed a room."""
WAITERS = Gauge("parvis_matrix_waiting", "Long polls of Matrix clients that wait for something to happen, in this process.")


def sweeps(database: Database, home: Home, clock: Clock) -> list[Sweep]:
    return [Sweep("waiters", WAITERS_SECONDS, partial(look_after_waiters, database, home, clock))]


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
