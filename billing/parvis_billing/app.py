"""Billing, put together."""

from functools import partial

from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_roster import Freshness, projection, who_asks

from parvis_billing import api, store
from parvis_billing.queries.reports import Kept
from parvis_billing.reactions import reactions_of
from parvis_billing.settings import Settings
from parvis_billing.sweeps import sweeps, tell_figures


def build(platform: Platform, clock: Clock = utc_now, settings: Settings | None = None) -> Service:
    settings = settings or Settings.read()
    freshness = Freshness(clock)
    database = Database(platform.database_url_of("billing"), "billing", synchronous=platform.sqlite_synchronous)
    return Service(
        name="billing",
        database=database,
        clock=clock,
        metadata=store.METADATA,
        migrations="parvis_billing.migrations",
        routes=[api.ROUTES],
        authenticate=who_asks("billing", freshness, public_url=platform.public_url),
        handles={api.TARGET_EUR: settings.target_eur, api.KEPT: Kept()},
        reactions=reactions_of(clock),
        projections=[projection("billing", freshness)],
        sweeps=sweeps(database, clock, settings),
        before=(partial(tell_figures, database, settings.target_eur),),
        is_fresh=freshness.is_complete,
        settings=settings,
    )
