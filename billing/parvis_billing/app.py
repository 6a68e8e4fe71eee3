"""Billing, put together."""

from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_roster import Freshness, projection, who_asks

from parvis_billing import api, reactions, settings, store


def build(platform: Platform, clock: Clock = utc_now) -> Service:
    freshness = Freshness(clock)
    return Service(
        name="billing",
        database=Database(platform.database_url_of("billing"), "billing", synchronous=platform.sqlite_synchronous),
        clock=clock,
        metadata=store.METADATA,
        migrations="parvis_billing.migrations",
        routes=[api.ROUTES],
        authenticate=who_asks("billing", freshness, public_url=platform.public_url),
        handles={api.GREETING: settings.Settings.read().greeting},
        reactions=reactions.REACTIONS,
        projections=[projection("billing", freshness)],
        is_fresh=freshness.is_complete,
    )
