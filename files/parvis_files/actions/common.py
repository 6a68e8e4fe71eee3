"""What every act may need: the item under the lock of its space, a version that has not passed, the threshold that was crossed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from parvis_contracts.files import QuotaThresholdCrossed
from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.problems import Conflict, PreconditionFailed, Unavailable

from parvis_files import queries, rules
from parvis_files.blobs import Away
from parvis_files.rules import Asker, Item, Seen, Space
from parvis_files.rules.names import numbered
from parvis_files.rules.quotas import Limits, threshold_of
from parvis_files.rules.rights import Action
from parvis_files.store import items, shares, spaces

MANAGERS_TOLD_MAX = 50
"""Of a shared space that is nearly full; whoever manages one with more looks at its page."""
NAMES_TRIED = 20
"""`report (2)` to `report (21)`; then a number that nobody has."""


async def locked(tx: Tx, asker: Asker, item_id: UUID, need: Action, *, trash: bool | None = False) -> tuple[Seen, int]:
    """The item as it is while nobody else changes its space, and the number of the change. Raises NotFound, Forbidden, Conflict."""
    seen = await queries.item_for(tx, asker, item_id, need, trash=trash)
    rules.check_thawed(seen.space)
    change_id = await spaces.next_change(tx, seen.space.id)
    return await queries.item_for(tx, asker, item_id, need, trash=trash), change_id


def check_revision(revision: int, if_match: str) -> None:
    """Raises PreconditionFailed when the thing has changed since it was read."""
    if if_match != f'"{revision}"':
        raise PreconditionFailed("It has changed since you read it: read it again, then send its new ETag.")


def check_no_root(item: Item, act: str) -> None:
    """Raises Conflict."""
    if item.parent_id is None:
        raise Conflict(f"This is the root of a space: it cannot be {act}.")


async def free_name(tx: Tx, folder_id: UUID, name: str, mark: object) -> str:
    """One that nobody has there, the name itself if it is free. The space is locked."""
    if await items.find_named(tx, folder_id, name) is None:
        return name
    tried = [numbered(name, number) for number in range(2, NAMES_TRIED + 2)]
    taken = await items.taken_names(tx, folder_id, tried)
    return next((one for one in tried if one not in taken), numbered(name, mark))


@contextmanager
def unless_away() -> Iterator[None]:
    """Raises Unavailable when the blob store does not answer: whoever asked may ask again."""
    try:
        yield
    except Away as error:
        raise Unavailable("The blob store does not answer: ask again in a moment.", retry_after_seconds=2) from error


async def record(tx: Tx, who: object, what: str, on: object, space: Space, now: datetime) -> None:
    await audit.record(tx, who=who, what=what, on=on, ministry=space.ministry_id, at=now)


async def settled(tx: Tx, space: Space, limits: Limits, now: datetime) -> None:
    """Say it when the space has just crossed a threshold of its quota; below one again, it may be crossed again."""
    limit = queries.quota_of(space, limits).limit_bytes
    percent = threshold_of(space.used_bytes, limit)
    if percent == space.threshold:
        return
    await spaces.change_space(tx, space.id, threshold=percent)
    if percent > space.threshold:
        managers = await shares.shares_of(tx, space.root_id) if space.owner_id is None else []
        of = {kind: [one.grantee_id for one in managers if (one.role, one.grantee_kind) == ("manager", kind)] for kind in ("agent", "team")}
        fact = QuotaThresholdCrossed(
            at=now, about=str(space.id), space_id=space.id, kind=space.kind, ministry_id=space.ministry_id, owner_id=space.owner_id,
            manager_ids=tuple(of["agent"][:MANAGERS_TOLD_MAX]), manager_team_ids=tuple(of["team"][:MANAGERS_TOLD_MAX]),
            percent=percent, used_bytes=space.used_bytes, limit_bytes=limit,
        )  # fmt: skip
        publish(tx, fact)
