"""Calendar, put together."""

from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_roster import Freshness, projection, who_asks

from parvis_calendar import reactions, store


def build(platform: Platform, clock: Clock = utc_now) -> Service:
    freshness = Freshness(clock)
    return Service(
        name="calendar",
        database=Database(platform.database_url_of("calendar"), "calendar", synchronous=platform.sqlite_synchronous),
        clock=clock,
        metadata=store.METADATA,
        migrations="parvis_calendar.migrations",
        authenticate=who_asks("calendar", freshness, public_url=platform.public_url),
        reactions=reactions.REACTIONS,
        projections=[projection("calendar", freshness)],
        is_fresh=freshness.is_complete,
    )
