"""Calendar, put together."""

from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_roster import Freshness, projection, who_asks

from parvis_calendar import actions, api, caldav, reactions, store
from parvis_calendar.caldav.common import AUTHENTICATE
from parvis_calendar.sweeps import sweeps


def build(platform: Platform, clock: Clock = utc_now) -> Service:
    freshness = Freshness(clock)
    database = Database(platform.database_url_of("calendar"), "calendar", synchronous=platform.sqlite_synchronous)
    authenticate = who_asks("calendar", freshness, public_url=platform.public_url)
    return Service(
        name="calendar",
        database=database,
        clock=clock,
        metadata=store.METADATA,
        migrations="parvis_calendar.migrations",
        routes=(*api.ROUTES, *caldav.ROUTES),
        authenticate=authenticate,
        handles={AUTHENTICATE: authenticate},
        reactions=reactions.REACTIONS,
        projections=[projection("calendar", freshness)],
        sweeps=sweeps(database, clock),
        is_fresh=freshness.is_complete,
        renew={"homes' sync tokens": actions.renew_epochs},
    )
