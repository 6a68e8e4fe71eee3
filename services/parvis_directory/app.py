"""Directory, put together."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

from parvis_contracts import leavers
from parvis_contracts.leavers import LeaverAcknowledged
from parvis_kit import access
from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.http import Limiter
from parvis_kit.service import Service
from parvis_kit.settings import Platform, SettingsRefused
from parvis_roster import Guard, WhoAsks
from parvis_roster.asking import ACCOUNT_RATE, ADDRESS_RATE

from parvis_directory import actions, store
from parvis_directory.api import ROUTES
from parvis_directory.api.agents import ZONE
from parvis_directory.api.departures import SETTLING
from parvis_directory.api.domains import RESOLVE
from parvis_directory.api.onboarding import READING, Reading
from parvis_directory.api.sign_in import DESK, Desk
from parvis_directory.nameserver import NameServer
from parvis_directory.reactions import reactions_of
from parvis_directory.rules.domains import Resolve
from parvis_directory.settings import Settings
from parvis_directory.sweeps import rotate, sweeps


def build(
    platform: Platform,
    clock: Clock = utc_now,
    settings: Settings | None = None,
    acknowledgements: Mapping[str, type[LeaverAcknowledged]] | None = None,
    resolve: Resolve | None = None,
) -> Service:
    """`acknowledgements`: the facts by which other services acknowledge a departure; by default those of the suite's contracts.
    `resolve`: what the DNS says; by default its servers are asked."""
    settings = settings or Settings.read()
    resolve = resolve or NameServer(settings.name_servers).texts
    settling = of_services(leavers.acknowledgements() if acknowledgements is None else acknowledgements, settings.leaver_services)
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
        handles={DESK: desk, SETTLING: frozenset(settling), ZONE: settings.zone, RESOLVE: resolve, READING: Reading()},
        reactions=reactions_of(settling, clock),
        sweeps=sweeps(database, clock, settings, settling, resolve),
        before=(partial(rotate, database, clock, settings),),
        settings=settings,
        say_again=actions.say_again,
    )


def of_services(kinds: Mapping[str, type[LeaverAcknowledged]], names: Sequence[str] | None) -> Mapping[str, type[LeaverAcknowledged]]:
    """Those of the services that the installation names, or all. Raises SettingsRefused for one that cannot acknowledge."""
    for name in names or ():
        if name not in kinds:
            raise SettingsRefused(f"PARVIS_DIRECTORY_LEAVER_SERVICES: {name} acknowledges no departure; {', '.join(kinds) or 'none'} can")
    return kinds if names is None else {name: kinds[name] for name in names}
