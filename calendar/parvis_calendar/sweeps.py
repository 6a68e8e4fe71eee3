"""What the clock asks of calendar."""

from functools import partial

from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.idempotency import forget_old_keys
from parvis_kit.service import Sweep

from parvis_calendar import actions

MINUTE, HOUR = 60.0, 3600.0


def sweeps(database: Database, clock: Clock) -> list[Sweep]:
    return [
        Sweep("horizon", MINUTE, partial(renew, database, clock)),
        Sweep("tombstones", HOUR, partial(forget, database, clock)),
    ]


async def renew(database: Database, clock: Clock) -> None:
    await actions.renew_expansions(database, clock)


async def forget(database: Database, clock: Clock) -> None:
    await actions.forget_tombstones(database, clock)
    await forget_old_keys(database, clock())
