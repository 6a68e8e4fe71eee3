"""Directory, put together."""

import time
from datetime import timedelta
from functools import partial

from parvis_kit import access
from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.http import Limiter
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_roster import Guard, WhoAsks
from parvis_roster.asking import ACCOUNT_RATE, ADDRESS_RATE

from parvis_directory import store
from parvis_directory.api import ROUTES
from parvis_directory.api.onboarding import READING, Reading
from parvis_directory.api.sign_in import DESK, Desk
from parvis_directory.settings import Settings
from parvis_directory.sweeps import rotate, sweeps


def build(platform: Platform, clock: Clock = utc_now, settings: Settings | None = None) -> Service:
    settings = settings or Settings.read()
    database = Database(platform.database_url_of("directory"), "directory", synchronous=platform.sqlite_synchronous)
    issuer = access.issuer_of(platform.public_url)
    by_address, by_account = (Limiter(rate, time.monotonic) for rate in (ADDRESS_RATE, ACCOUNT_RATE))
    public_url = (platform.public_url or f"http://{platform.host}:{platform.port}").rstrip("/")
    desk = Desk(
        settings.local_sign_in, timedelta(minutes=settings.session_idle_minutes), settings.session_hours_max, issuer, public_url,
        by_address, by_account,
    )  # fmt: skip
    return Service(
        name="directory",
        database=database,
        clock=clock,
        metadata=store.METADATA,
        migrations="parvis_directory.migrations",
        routes=ROUTES,
        authenticate=WhoAsks(store.QUESTIONS, clock=clock, issuer=issuer, guard=Guard(by_address, by_account)),
        handles={DESK: desk, READING: Reading()},
        sweeps=sweeps(database, clock, settings),
        before=(partial(rotate, database, clock, settings),),
        settings=settings,
    )
