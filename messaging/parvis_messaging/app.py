"""Messaging, put together."""

from aiohttp import web
from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_roster import Freshness, projection, who_asks

from parvis_messaging import api, store
from parvis_messaging.actions import Bridge, Loopback, Sender
from parvis_messaging.api.matrix_common import HOME, WHO
from parvis_messaging.api.notices import PLACES, Configured
from parvis_messaging.homeserver import Home
from parvis_messaging.homeserver.waiting import Waiters
from parvis_messaging.reactions import reactions
from parvis_messaging.settings import Settings, server_name_of
from parvis_messaging.sweeps import sweeps

SENDER = web.RequestKey("SENDER", Sender)
"""For whoever builds the service and wants to see it deliver."""


def build(platform: Platform, clock: Clock = utc_now, settings: Settings | None = None) -> Service:
    settings = settings or Settings.read()
    freshness = Freshness(clock)
    database = Database(platform.database_url_of("messaging"), "messaging", synchronous=platform.sqlite_synchronous)
    own = (platform.public_url or f"http://{platform.host}:{platform.port}").rstrip("/")
    home = Home(
        server_name_of(settings.server_name, platform.public_url),
        Waiters(),
        own,
        settings.media_bytes_max,
        settings.media_account_bytes_max,
    )
    loopback = Loopback(database, home, clock)
    bridge = Bridge(loopback, own, clock)
    sender = Sender(database, bridge, clock)
    who = who_asks("messaging", freshness, public_url=platform.public_url)
    return Service(
        name="messaging",
        database=database,
        clock=clock,
        metadata=store.METADATA,
        migrations="parvis_messaging.migrations",
        routes=api.ROUTES,
        authenticate=who,
        handles={HOME: home, WHO: who, PLACES: Configured(own), SENDER: sender},
        reactions=reactions(home, bridge),
        projections=[projection("messaging", freshness)],
        sweeps=sweeps(database, home, sender, clock),
        before=[loopback.prepare, sender.prepare],
        is_fresh=freshness.is_complete,
        settings=settings,
    )
