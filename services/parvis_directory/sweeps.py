"""What the clock asks of directory."""

from collections.abc import Collection
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.background import one_by_one
from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.idempotency import forget_old_keys
from parvis_kit.service import Sweep
from prometheus_client import Gauge

from parvis_directory import actions, queries
from parvis_directory.rules.domains import RECHECK, Domain, Resolve
from parvis_directory.rules.moves import SLIPPED, today
from parvis_directory.settings import Settings

MINUTE, HOUR = 60.0, 3600.0
ONBOARDING_SECONDS = 1.0
"""Somebody has confirmed, and watches."""
AGENTS = Gauge(
    "parvis_directory_agents",
    "People that the directory knows; `suspended` cannot sign in, `left` is kept for the record.",
    ["kind", "state"],
)
DEPARTURES = Gauge("parvis_directory_departures_open", "People who have left, and of whom some service has not let go yet.")
DEPARTURE_AGE = Gauge(
    "parvis_directory_departure_oldest_seconds",
    "For how long the oldest departure is not settled; above an hour, a service does not answer.",
)
KEY_ENDS = Gauge(
    "parvis_directory_signing_key_expires_timestamp_seconds",
    "When the newest signing key stops counting; nearer than a day, no new one is made, and soon nobody can sign in.",
)


def sweeps(database: Database, clock: Clock, settings: Settings, settling: Collection[str], resolve: Resolve) -> list[Sweep]:
    return [
        Sweep("gauges", MINUTE, partial(gauge, database, clock), at_once=True),
        Sweep("signing-keys", HOUR, partial(rotate, database, clock, settings)),
        Sweep("guests", MINUTE, partial(end_guests, database, clock)),
        Sweep("app-passwords", MINUTE, partial(end_app_passwords, database, clock)),
        Sweep("departures", MINUTE, partial(settle_departures, database, clock, settling)),
        Sweep("moves", MINUTE, partial(carry_moves_out, database, clock, settings.zone)),
        Sweep("transfers", MINUTE, partial(run_transfers, database, clock, settings.zone)),
        Sweep("domains", HOUR, partial(recheck_domains, database, clock, resolve)),
        Sweep("onboardings", ONBOARDING_SECONDS, partial(actions.run_onboardings, database, clock, settings.zone)),
        Sweep("sessions", HOUR, partial(forget, database, clock)),
    ]


async def gauge(database: Database, clock: Clock) -> None:
    now = clock()
    async with database.read() as conn:
        departures, oldest_seconds = await queries.departures_open(conn, now)
        ends_at = await queries.signing_key_ends(conn, now)
        agents = await queries.agents_by_state(conn)
    DEPARTURES.set(departures)
    DEPARTURE_AGE.set(oldest_seconds)
    KEY_ENDS.set(ends_at.timestamp() if ends_at else 0.0)
    AGENTS.clear()
    for (kind, state), number in agents.items():
        AGENTS.labels(kind, state).set(number)


async def rotate(database: Database, clock: Clock, settings: Settings) -> None:
    await actions.rotate_signing_keys(database, days=settings.signing_key_days, now=clock())


async def end_guests(database: Database, clock: Clock) -> None:
    """One transaction each: nobody else waits for a long list."""
    async with database.read() as conn:
        ended = await queries.guests_to_end(conn, clock())

    async def end(agent_id: UUID) -> None:
        async with database.transaction() as tx:
            await actions.end_guest(tx, agent_id, now=clock())

    await one_by_one("directory.guests", ended, end)


async def end_app_passwords(database: Database, clock: Clock) -> None:
    """Of ministries that use none: those beyond the first piece, and one that was made at the moment of the decision."""
    async with database.read() as conn:
        without = await queries.ministries_without_app_passwords(conn)

    async def end(ministry_id: UUID) -> None:
        more = True
        while more:
            async with database.transaction() as tx:
                more = await actions.revoke_forbidden(tx, ministry_id, who="directory", now=clock())

    await one_by_one("directory.app-passwords", without, end)


async def settle_departures(database: Database, clock: Clock, settling: Collection[str]) -> None:
    """Those that lack nothing: no service has to acknowledge, or one that had to is no part of the suite any more."""
    async with database.read() as conn:
        complete = await queries.departures_to_settle(conn, settling)

    async def settle(agent_id: UUID) -> None:
        async with database.transaction() as tx:
            await actions.settle_departure(tx, agent_id, services=settling, now=clock())

    await one_by_one("directory.departures", complete, settle)


async def carry_moves_out(database: Database, clock: Clock, zone: ZoneInfo) -> None:
    """One transaction each."""
    day = today(clock(), zone)
    async with database.read() as conn:
        due = await queries.moves_due(conn, day)

    async def carry_out(agent_id: UUID) -> None:
        async with database.transaction() as tx:
            await actions.carry_move_out(tx, agent_id, day=day, now=clock())

    await one_by_one("directory.moves", due, carry_out)


async def run_transfers(database: Database, clock: Clock, zone: ZoneInfo) -> None:
    """Each to its end, a transaction a piece; one that stops is gone on with by the next sweep, of whichever process."""
    now = clock()
    day = today(now, zone)
    async with database.read() as conn:
        due = await queries.transfers_due(conn, day, now - SLIPPED)

    async def go_on(transfer_id: UUID) -> None:
        async with database.transaction() as tx:
            await actions.begin_transfer(tx, transfer_id, day=day, now=clock())
        more = True
        while more:
            async with database.transaction() as tx:
                more = await actions.continue_transfer(tx, transfer_id, now=clock())

    await one_by_one("directory.transfers", due, go_on)


async def recheck_domains(database: Database, clock: Clock, resolve: Resolve) -> None:
    """Proofs that were not looked at for a day; one question at a time."""
    async with database.read() as conn:
        due = await queries.domains_to_recheck(conn, clock() - RECHECK)

    async def recheck(one: Domain) -> None:
        await actions.recheck_domain(database, resolve, one, clock=clock)

    await one_by_one("directory.domains", due, recheck, lambda one: one.name)


async def forget(database: Database, clock: Clock) -> None:
    await actions.forget_sessions(database, now=clock())
    await actions.forget_onboardings(database, now=clock())
    await forget_old_keys(database, clock())
