"""Agents who leave, and who come back."""

from datetime import datetime
from uuid import UUID

from parvis_contracts.files import LeaverSettled
from parvis_kit.db import Tx
from parvis_kit.events import publish

from parvis_files.actions.commits import release
from parvis_files.actions.common import record
from parvis_files.store import spaces, uploads


async def settle_leaver(tx: Tx, agent_id: UUID, left_at: datetime, *, now: datetime) -> None:
    """Their space is frozen, their uploads are given up; what they shared stays with whom they shared it. Done twice, it is done once."""
    going_on = await uploads.lock_open_uploads_of(tx, agent_id)
    for one in going_on:
        await release(tx, one, "aborted", now=now)
    done = ["uploads given up"] if going_on else []
    space = await spaces.find_personal(tx, agent_id, lock=True)
    if space is not None:
        done.append("personal space frozen")
        if space.frozen_at is None:
            await spaces.freeze(tx, space.id, now)
            await record(tx, "files", "space.freeze", space.id, space, now)
    publish(tx, LeaverSettled(at=now, about=str(agent_id), agent_id=agent_id, left_at=left_at, done=tuple(done)))


async def welcome_back(tx: Tx, agent_id: UUID, *, now: datetime) -> None:
    """The departure was a mistake; who was only suspended had nothing frozen."""
    space = await spaces.find_personal(tx, agent_id, lock=True)
    if space is not None and space.frozen_at is not None:
        await spaces.freeze(tx, space.id, None)
        await record(tx, "files", "space.thaw", space.id, space, now)
