"""What the clock asks of calendar."""

from functools import partial

from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.idempotency import forget_old_keys
from parvis_kit.service import Sweep
from prometheus_client import Gauge

from parvis_calendar import actions
from parvis_calendar.queries import figures

MINUTE, HOUR = 60.0, 3600.0
TOKEN_AGE = Gauge(
    "parvis_calendar_sync_token_age_seconds", "Age of the oldest deletion that is remembered; above 401 days, old ones are not forgotten."
)
HORIZON = Gauge(
    "parvis_calendar_horizon_seconds",
    "How far ahead all that recurs is written down; below 600 days, nobody renews it, and searches will miss.",
)


def sweeps(database: Database, clock: Clock) -> list[Sweep]:
    return [
        Sweep("gauges", MINUTE, partial(gauge, database, clock), at_once=True),
        Sweep("horizon", MINUTE, partial(renew, database, clock)),
        Sweep("tombstones", HOUR, partial(forget, database, clock)),
    ]


async def gauge(database: Database, clock: Clock) -> None:
    now = clock()
    async with database.read() as conn:
        TOKEN_AGE.set(await figures.sync_token_age_seconds(conn, now))
        HORIZON.set(await figures.horizon_seconds(conn, now))


async def renew(database: Database, clock: Clock) -> None:
    await actions.renew_expansions(database, clock)


async def forget(database: Database, clock: Clock) -> None:
    await actions.forget_tombstones(database, clock)
    await forget_old_keys(database, clock())
