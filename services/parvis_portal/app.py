"""The portal, put together."""

import asyncio
import time

from parvis_kit.clock import Clock, utc_now
from parvis_kit.http import Limiter, Rate
from parvis_kit.service import Doors
from parvis_kit.settings import Platform

from parvis_portal.calling import Calling
from parvis_portal.looks import looks_of
from parvis_portal.pages import ROUTES
from parvis_portal.portal import PORTAL, Portal, lost
from parvis_portal.settings import Settings
from parvis_portal.visitors import Visitors

ADDRESS_RATE = Rate(burst=30, every_seconds=2)
"""As directory's own: it sees the portal's address, unless the portal is among PARVIS_TRUSTED_PROXIES."""

HERE_OF = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}  # noqa: S104
"""How a process reaches itself that listens everywhere."""


def build(platform: Platform, clock: Clock = utc_now, settings: Settings | None = None) -> Doors:
    """No table and no database: it asks the services."""
    settings = settings or Settings.read()
    own = f"http://{HERE_OF.get(platform.host, platform.host)}:{platform.port}"
    public_url = (platform.public_url or f"http://{platform.host}:{platform.port}").rstrip("/")
    calling = Calling(own, settings.services, settings.panel_seconds)
    portal = Portal(
        settings,
        calling,
        Visitors(calling, public_url, time.monotonic),
        looks_of(settings.zone, settings.blobs_origin),
        Limiter(ADDRESS_RATE, time.monotonic),
        asyncio.Semaphore(settings.plain_uploads_at_once),
        platform.data / "portal",
    )
    return Doors(
        name="portal",
        clock=clock,
        routes=ROUTES,
        handles={PORTAL: portal},
        before=[calling.open],
        after=[calling.close],
        lost=lost,
        settings=settings,
    )
