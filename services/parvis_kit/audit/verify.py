"""Whether a chain still says what it said: every row is hashed again, and the first one that does not fit is named."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from parvis_kit.audit.anchors import Anchor
from parvis_kit.audit.chain import ERASE, START, Head, link, personal_digest, positions_in
from parvis_kit.audit.rows import PERSONAL, tables_of
from parvis_kit.db import Database
from parvis_kit.events.ledger import tables_of as log_tables_of

PAGE_ROWS = 1_000
"""A page is some 500 kB."""
BELOW_ALL, ABOVE_ALL = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row that does not fit."""

    position: int
    seq: int | None
    """None where there is no such row any more."""
    how: str


@dataclass(slots=True)
class Verdict:
    """A chain, looked at."""

    service: str
    ministry: str
    rows: int = 0
    erased: int = 0
    anchors: int = 0
    hash: bytes = START
    broken: Broken | None = None


@dataclass(slots=True)
class Walk:
    """How far a chain has been followed."""

    verdict: Verdict
    anchors: dict[int, set[str]]
    unexplained: set[int] = field(default_factory=set)
    """Erased rows that no row so far says to have been erased."""


async def verify(database: Database, ministry: str, anchors: Collection[Anchor] = ()) -> Verdict:
    """Follow a chain from its first row to its head; ends at the first row that is broken."""
    verdict = Verdict(database.service, ministry)
    walk = Walk(verdict, {})
    for one in anchors:
        if (one.service, one.ministry) == (database.service, ministry):
            walk.anchors.setdefault(one.position, set()).add(one.hash)
    while True:
        head = await _head(database, ministry)
        async for row in _rows(database, ministry, verdict.rows, head.position):
            verdict.broken = _step(walk, row)
            if verdict.broken:
                return verdict
        if verdict.rows < head.position:
            verdict.broken = Broken(verdict.rows + 1, None, f"deleted: the chain goes on to {head.position}")
        elif verdict.hash != head.hash and verdict.rows == head.position:
            verdict.broken = Broken(head.position, None, "the chain's head is another: the last row or the head was changed")
        else:
            newest = await _head(database, ministry)
            if newest.position > head.position:  # rows came while these were read
                continue
            verdict.broken = await _end(database, walk, ministry)
        return verdict


def _step(walk: Walk, row: Any) -> Broken | None:
    """One row further, or what is wrong with it."""
    verdict, expected = walk.verdict, walk.verdict.rows + 1
    if row.position != expected:
        if row.position > expected:
            return Broken(expected, None, f"deleted, or moved elsewhere: after {expected - 1} comes {row.position}")
        return Broken(row.position, row.seq, "inserted: another row has this position")
    personal = tuple(getattr(row, name) for name in PERSONAL)
    if row.salt is None:
        if any(personal):
            return Broken(expected, row.seq, "changed: it says to be erased and names somebody")
        verdict.erased += 1
        walk.unexplained.add(expected)
    elif personal_digest(row.salt, personal) != row.personal:
        return Broken(expected, row.seq, "changed: who, about, place or reason is not what it was")
    hashed = link(
        verdict.hash, verdict.service, verdict.ministry, expected, row.seq, row.at, row.what, row.decision, row.request_id,
        row.personal or b"",
    )  # fmt: skip
    if hashed != row.hash:
        return Broken(expected, row.seq, "changed, inserted or moved: it does not follow from the row before")
    known = walk.anchors.pop(expected, None)
    if known is not None:
        if known != {hashed.hex()}:
            good = f"; it was as anchored at {verdict.anchors}" if verdict.anchors else ""
            return Broken(expected, row.seq, f"not what was anchored: the chain was written anew at this row or before it{good}")
        verdict.anchors = expected
    verdict.rows, verdict.hash = expected, hashed
    if row.what.startswith(f"{ERASE} "):
        for some in positions_in(row.what.removeprefix(ERASE)):
            walk.unexplained.difference_update(some)
    return None


async def _end(database: Database, walk: Walk, ministry: str) -> Broken | None:
    """What only shows when all rows have been seen."""
    verdict = walk.verdict
    if walk.unexplained:
        return Broken(min(walk.unexplained), None, "erased, and no row of the chain says that it was")
    if walk.anchors:
        return Broken(verdict.rows + 1, None, f"the tail was cut off: the chain was anchored at {max(walk.anchors)}")
    table = tables_of(database.service)
    row, head = table["audit"].c, table["audit_head"].c
    last = sa.select(sa.func.coalesce(sa.func.max(head.position), 0)).where(head.ministry == ministry).scalar_subquery()
    beyond = sa.select(row.position, row.seq).where(row.ministry == ministry, row.position > last).order_by(row.position).limit(1)
    async with database.read() as conn:
        found = (await conn.execute(beyond)).first()
    return Broken(found.position, found.seq, "inserted: it lies beyond the chain's head") if found else None


async def _head(database: Database, ministry: str) -> Head:
    head = tables_of(database.service)["audit_head"].c
    async with database.read() as conn:
        found = (await conn.execute(sa.select(head.ministry, head.position, head.hash).where(head.ministry == ministry))).first()
    return Head(*found) if found else Head(ministry, 0, START)


async def _rows(database: Database, ministry: str, after: int, last: int) -> AsyncIterator[Any]:
    """In pages: a chain may have millions of rows, and no transaction stays open over them."""
    place = (after or BELOW_ALL, ABOVE_ALL)
    while True:
        async with database.read() as conn:
            asked = {"ministry": ministry, "after": place[0], "after_seq": place[1], "last": last, "limit": PAGE_ROWS}
            rows = (await conn.execute(_page(database.service), asked)).all()
        for row in rows:
            yield row
        if len(rows) < PAGE_ROWS:
            return
        place = (rows[-1].position, rows[-1].seq)


@cache
def _page(service: str) -> sa.Select[Any]:
    """By position, then by number: no row is left out, even where two pretend to have the same position."""
    row = tables_of(service)["audit"].c
    further = sa.tuple_(row.position, row.seq) > sa.tuple_(sa.bindparam("after"), sa.bindparam("after_seq"))
    mine = sa.and_(row.ministry == sa.bindparam("ministry"), further, row.position <= sa.bindparam("last"))
    return sa.select(*row).where(mine).order_by(row.position, row.seq).limit(sa.bindparam("limit"))


async def chains_of(database: Database, anchors: Collection[Anchor] = ()) -> list[str]:
    """The ministries whose acts this service has kept; those too of which only an anchor tells."""
    tables = tables_of(database.service)
    row, head = tables["audit"].c, tables["audit_head"].c
    known = sa.select(head.ministry).union(sa.select(row.ministry).where(row.position.is_not(None)))
    async with database.read() as conn:
        found = set((await conn.execute(known)).scalars())
    return sorted(found | {one.ministry for one in anchors if one.service == database.service})


async def waiting(database: Database, before: datetime | None = None) -> int:
    """How many rows are not chained yet; or only of those that were written before this moment."""
    row = tables_of(database.service)["audit"].c
    query = sa.select(sa.func.count()).where(row.position.is_(None))
    async with database.read() as conn:
        return int((await conn.execute(query if before is None else query.where(row.at < before))).scalar_one())


async def removed(database: Database) -> int:
    """How many rows were given a number and are not there, as far as the database tells: no row is ever deleted by Parvis.

    SQLite takes the number back with a transaction that is rolled back, so each missing one counts. PostgreSQL does not, so there only
    a table with no row left can be told from one that never had any.
    """
    if not database.is_sqlite:
        given = await _numbers_given(database, "audit_seq_seq")
        return 0 if given and await has_rows(database) else given
    table = tables_of(database.service)["audit"]
    numbers = sa.table("sqlite_sequence", sa.column("name"), sa.column("seq"), schema=database.service)
    last = sa.select(sa.func.max(numbers.c.seq)).where(numbers.c.name == table.name).scalar_subquery()
    count = sa.select(sa.func.count()).select_from(table).scalar_subquery()
    async with database.read() as conn:
        return max(0, int((await conn.execute(sa.select(sa.func.coalesce(last, 0) - count))).scalar_one()))


async def has_rows(database: Database) -> bool:
    row = tables_of(database.service)["audit"].c
    async with database.read() as conn:
        return bool((await conn.execute(sa.select(sa.exists(sa.select(row.seq))))).scalar_one())


async def has_spoken(database: Database) -> bool:
    """Whether the service has ever published a fact that is still on its own log, or on PostgreSQL any at all."""
    if not database.is_sqlite:
        return await _numbers_given(database, "outbox_id_seq") > 0
    said = sa.exists(sa.select(log_tables_of(database.service)["log"].c.seq))
    async with database.read() as conn:
        return bool((await conn.execute(sa.select(said))).scalar_one())


async def _numbers_given(database: Database, sequence: str) -> int:
    """The last one that PostgreSQL gave out, be it to a transaction that was rolled back."""
    query = sa.text(f"SELECT last_value, is_called FROM {database.service}.{sequence}")  # noqa: S608 (names of ours)
    async with database.read() as conn:
        found = (await conn.execute(query)).one()
    return int(found.last_value) if found.is_called else 0
