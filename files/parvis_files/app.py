"""Files, put together."""

from datetime import timedelta
from functools import partial

from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_roster import Freshness, projection, who_asks

from parvis_files import actions, api, reactions, store
from parvis_files.api import blobs as blob_doors
from parvis_files.api.blobs import STORE
from parvis_files.api.common import BLOBS, TERMS, Configured
from parvis_files.blobs import BlobStore
from parvis_files.blobs.folder import FolderStore
from parvis_files.blobs.opening import open_store
from parvis_files.rules import VERSIONS_MAX
from parvis_files.rules.quotas import Limits
from parvis_files.settings import Settings
from parvis_files.sweeps import sweeps


def build(platform: Platform, clock: Clock = utc_now, settings: Settings | None = None, blobs: BlobStore | None = None) -> Service:
    """`blobs`: where the bytes lie; by default where the settings say."""
    settings = settings or Settings.read()
    blobs = blobs or open_store(settings.blobs_url, settings.blobs_secret_file, settings.blobs_public, platform, clock)
    freshness = Freshness(clock)
    database = Database(platform.database_url_of("files"), "files", synchronous=platform.sqlite_synchronous)
    limits = Limits(settings.personal_quota_bytes, settings.space_quota_bytes, settings.ministry_quota_bytes)
    terms = Configured(limits, settings.upload_bytes_max, timedelta(minutes=settings.upload_minutes), VERSIONS_MAX)
    return Service(
        name="files",
        database=database,
        clock=clock,
        metadata=store.METADATA,
        migrations="parvis_files.migrations",
        routes=(*api.ROUTES, *([blob_doors.ROUTES] if isinstance(blobs, FolderStore) else [])),
        authenticate=who_asks("files", freshness, public_url=platform.public_url),
        handles={BLOBS: blobs, TERMS: terms} | ({STORE: blobs} if isinstance(blobs, FolderStore) else {}),
        reactions=reactions.REACTIONS,
        projections=[projection("files", freshness)],
        sweeps=sweeps(database, blobs, clock, terms.terms(), timedelta(minutes=settings.orphan_minutes)),
        before=[blobs.prepare],
        outside={"blobs": blobs.check},
        after=[blobs.close],
        is_fresh=freshness.is_complete,
        settings=settings,
        renew={"spaces' numbers of changes": actions.renew_changes},
        compare={"blobs": partial(actions.compare_blobs, database, blobs)},
    )
