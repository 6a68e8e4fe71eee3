"""What the clock asks of billing: open months computed anew."""

from functools import partial

from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.service import Sweep

from parvis_billing import actions
from parvis_billing.settings import Settings

MINUTE = 60.0


def sweeps(database: Database, clock: Clock, settings: Settings) -> list[Sweep]:
    return [Sweep("runs", settings.run_minutes * MINUTE, partial(run_open_months, database, clock))] if settings.run_minutes else []


async def run_open_months(database: Database, clock: Clock) -> None:
    for month in await actions.months_to_run(database, clock()):
        await actions.run(database, month, now=clock())
