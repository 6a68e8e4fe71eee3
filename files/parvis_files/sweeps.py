"""What the clock asks of files."""

from datetime import timedelta
from functools import partial

from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.idempotency import forget_old_keys
from parvis_kit.service import Sweep
from prometheus_client import Gauge

from parvis_files import actions
from parvis_files.actions import Terms
from parvis_files.actions.common import unless_away
from parvis_files.blobs import BlobStore
from parvis_files.queries.figures import quotas_of_ministries
from parvis_files.rules.quotas import Limits
from parvis_files.rules.uploads import OPEN

UPLOADS_SECONDS = 1.0
"""Somebody waits until their file has been read through."""
MINUTE, HOUR = 60.0, 3600.0
ORPHANS = Gauge(
    "parvis_files_blobs_orphan", "Blobs that nothing refers to, on their way out; growing for days, nobody deletes them.", ["store"]
)
MISSING = Gauge(
    "parvis_files_blobs_missing", "Versions whose bytes are not in the store; above 0, restore the store's backup at once.", ["store"]
)
STATES = Gauge("parvis_files_uploads", "Uploads that have not come to their end; `scanning` for hours, the store is too slow.", ["state"])
HELD = Gauge("parvis_files_ministry_held_bytes", "What a ministry stores, and what its open uploads may add.", ["ministry"])
QUOTA = Gauge("parvis_files_ministry_quota_bytes", "What a ministry may store; when it holds as much, uploads are refused.", ["ministry"])


def sweeps(database: Database, blobs: BlobStore, clock: Clock, terms: Terms, grace: timedelta) -> list[Sweep]:
    return [
        Sweep("uploads", UPLOADS_SECONDS, partial(actions.drive_uploads, database, blobs, terms, clock)),
        Sweep("purges", MINUTE, partial(actions.go_on_purging, database, terms.limits, clock)),
        Sweep("gauges", MINUTE, partial(gauge, database, terms.limits), at_once=True),
        Sweep("orphans", HOUR, partial(collect, database, blobs, clock, grace), at_once=True),
        Sweep("receipts", HOUR, partial(forget, database, clock)),
    ]


async def gauge(database: Database, limits: Limits) -> None:
    found = await actions.states(database)
    for state in OPEN:
        STATES.labels(state).set(found.get(state, 0))
    async with database.read() as conn:
        quotas = await quotas_of_ministries(conn, limits)
    for one in (HELD, QUOTA):
        one.clear()  # a ministry that went over to another one holds nothing any more
    for ministry, quota in quotas.items():
        HELD.labels(ministry).set(quota.used_bytes + quota.reserved_bytes)
        QUOTA.labels(ministry).set(quota.limit_bytes)


async def collect(database: Database, blobs: BlobStore, clock: Clock, grace: timedelta) -> None:
    """Mark, delete, and tell what is left: a process that has not looked yet says nothing, since 0 would end an alert."""
    with unless_away():
        await actions.abort_forgotten(database, blobs, grace, clock)
        await actions.delete_orphans(database, blobs, grace, clock)
        found = await actions.take_inventory(database, blobs, grace, clock)
    ORPHANS.labels(blobs.kind).set(found.orphans)
    MISSING.labels(blobs.kind).set(found.missing)


async def forget(database: Database, clock: Clock) -> None:
    await actions.forget_receipts(database, clock)
    await forget_old_keys(database, clock())
