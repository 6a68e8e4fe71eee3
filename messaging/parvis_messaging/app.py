"""Messaging, put together."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web
from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.http import Routes
from parvis_kit.http.rates import Limiter, Rate
from parvis_kit.service import Service, Sweep
from parvis_kit.settings import Platform, SettingsRefused
from parvis_roster import Freshness, Guard, projection, who_asks
from parvis_roster.asking import ACCOUNT_RATE

from parvis_messaging import actions, api, store
from parvis_messaging.actions import Bridge, Loopback, Sender, Watch
from parvis_messaging.api.appservice import ELSEWHERE, REGISTRATION, THROUGH
from parvis_messaging.api.matrix_common import HOME, WHO
from parvis_messaging.api.notices import PLACES, Configured
from parvis_messaging.homeserver import Home
from parvis_messaging.homeserver.port import Homeserver
from parvis_messaging.homeserver.registration import RegistrationRefused, read
from parvis_messaging.homeserver.synapse import Synapse
from parvis_messaging.homeserver.waiting import Waiters
from parvis_messaging.queries import notices
from parvis_messaging.reactions import reactions
from parvis_messaging.settings import Settings, server_name_of
from parvis_messaging.sweeps import sweeps, sweeps_elsewhere

SENDER = web.RequestKey("SENDER", Sender)
WATCH = web.RequestKey("WATCH", Watch)
"""Both for whoever builds the service and wants to see it at work."""
ANY_ADDRESS = Rate(burst=1_000_000, every_seconds=0.001)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What depends on where the homeserver is."""

    server: Homeserver
    routes: Sequence[Routes]
    handles: Mapping[Any, Any] = field(default_factory=dict)
    before: Sequence[Callable[[], Awaitable[None]]] = ()
    after: Sequence[Callable[[], Awaitable[None]]] = ()


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
        not settings.homeserver_url,
    )
    chosen = elsewhere(platform, settings, home, freshness) if settings.homeserver_url else here(database, home, clock)
    bridge = Bridge(chosen.server, own, clock)
    sender = Sender(database, bridge, clock)
    who = who_asks("messaging", freshness, public_url=platform.public_url)
    handles = {HOME: home, WHO: who, PLACES: Configured(own), SENDER: sender, **chosen.handles}
    outside: dict[str, Callable[[], Awaitable[str]]] = {"deliveries": partial(notices.refused_for_good, database)}
    more: list[Sweep] = []
    if isinstance(chosen.server, Synapse):
        watch = Watch(database, home, bridge, chosen.server, clock)
        handles[WATCH], outside["homeserver"], more = watch, watch.check, sweeps_elsewhere(watch)
    return Service(
        name="messaging",
        database=database,
        clock=clock,
        metadata=store.METADATA,
        migrations="parvis_messaging.migrations",
        routes=chosen.routes,
        authenticate=who,
        handles=handles,
        reactions=reactions(home, bridge),
        projections=[projection("messaging", freshness)],
        sweeps=[*sweeps(database, home, sender, clock), *more],
        before=[*chosen.before, sender.prepare],
        after=chosen.after,
        outside=outside,
        is_fresh=freshness.is_complete,
        settings=settings,
        renew={"homeserver's positions": actions.renew_positions},
    )


def here(database: Database, home: Home, clock: Clock) -> Chosen:
    loopback = Loopback(database, home, clock)
    return Chosen(loopback, api.HERE, before=[loopback.prepare])


def elsewhere(platform: Platform, settings: Settings, home: Home, freshness: Freshness) -> Chosen:
    """Raises SettingsRefused."""
    assert settings.registration_file is not None  # noqa: S101 (the settings are refused without it)
    try:
        registration = read(settings.registration_file)
    except RegistrationRefused as refused:
        raise SettingsRefused(f"PARVIS_MESSAGING_REGISTRATION_FILE: {refused}") from None
    server = Synapse(settings.homeserver_url, home.server, registration)
    guard = Guard(Limiter(ANY_ADDRESS, time.monotonic), Limiter(ACCOUNT_RATE, time.monotonic))
    through = who_asks("messaging", freshness, public_url=platform.public_url, guard=guard)
    handles = {REGISTRATION: registration, THROUGH: through, ELSEWHERE: server}
    return Chosen(server, api.ELSEWHERE, handles, after=[server.close])
