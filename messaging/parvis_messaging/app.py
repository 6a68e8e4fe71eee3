"""Messaging, put together."""

from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_roster import Freshness, projection, who_asks

from parvis_messaging import reactions, store


def build(platform: Platform, clock: Clock = utc_now) -> Service:
    freshness = Freshness(clock)
    return Service(
        name="messaging",
        database=Database(platform.database_url_of("messaging"), "messaging", synchronous=platform.sqlite_synchronous),
        clock=clock,
        metadata=store.METADATA,
        migrations="parvis_messaging.migrations",
        authenticate=who_asks("messaging", freshness, public_url=platform.public_url),
        reactions=reactions.REACTIONS,
        projections=[projection("messaging", freshness)],
        is_fresh=freshness.is_complete,
    )
