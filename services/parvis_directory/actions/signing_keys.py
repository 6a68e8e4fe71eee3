"""The keys that sign tokens: made in time, and told before they sign."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from parvis_contracts.directory import SigningKeyState
from parvis_kit import access, audit
from parvis_kit.db import Database
from parvis_kit.events import publish

from parvis_directory import store

OVERLAP = timedelta(hours=24)
"""A key is known this long before it signs, and counts this long after the next one has taken over; a demonstration's tokens live 12 h."""


async def rotate_signing_keys(database: Database, *, days: int, now: datetime) -> bool:
    """Make the first key, or the next one a day before it is due; whether one was made. Others know it before it signs."""
    if not await _is_due(database, now):
        return False
    key = await asyncio.to_thread(access.make_key)
    async with database.transaction() as tx:
        await store.lock_signing_keys(tx)
        known = await store.signing_keys(tx, now)
        if known and not _key_is_due(known, now):
            return False
        signs_from = known[0].not_after - OVERLAP if known else now
        not_after = max(signs_from, now) + timedelta(days=days) + OVERLAP
        jwk = access.public_jwk(key)
        pem = key.as_pem(private=True).decode()
        await store.add_signing_key(
            tx, {"kid": key.kid, "pem": pem, "jwk": jwk, "signs_from": max(signs_from, now), "not_after": not_after}
        )
        await audit.record(tx, who="directory", what="signing_key.create", on=key.kid, ministry=None, at=now)
        publish(tx, SigningKeyState(at=now, about=str(key.kid), kid=str(key.kid), jwk=jwk, not_after=not_after))
    return True


async def _is_due(database: Database, now: datetime) -> bool:
    async with database.read() as conn:
        known = await store.signing_keys(conn, now)
    return not known or _key_is_due(known, now)


def _key_is_due(known: Sequence[store.SigningKeyRow], now: datetime) -> bool:
    return known[0].not_after - 2 * OVERLAP <= now
