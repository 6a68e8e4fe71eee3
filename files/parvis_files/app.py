"""Files, put together."""

from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_roster import Freshness, projection, who_asks

from parvis_files import api, reactions, settings, store


def build(platform: Platform, clock: Clock = utc_now) -> Service:
    freshness = Freshness(clock)
    return Service(
        name="files",
        database=Database(platform.database_url_of("files"), "files", synchronous=platform.sqlite_synchronous),
        clock=clock,
        metadata=store.METADATA,
        migrations="parvis_files.migrations",
        routes=[api.ROUTES],
        authenticate=who_asks("files", freshness, public_url=platform.public_url),
        handles={api.GREETING: settings.Settings.read().greeting},
        reactions=reactions.REACTIONS,
        projections=[projection("files", freshness)],
        is_fresh=freshness.is_complete,
    )
