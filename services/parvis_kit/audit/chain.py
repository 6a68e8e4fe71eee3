"""The hash chain of each ministry's rows, built after the acts by the service's one writer; and erasure, which leaves it whole."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from itertools import groupby
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from parvis_kit.audit.rows import PERSONAL, record, tables_of
from parvis_kit.db import Database, Tx, upsert_by

LINKS_MAX = 1_000
"""Rows chained in a transaction: some 30 ms, during which other writers wait on SQLite alone."""
ERASED_MAX = 200
"""Rows erased in a transaction, and named by their positions in the row that says so."""
NAMED_CHARACTERS_MAX = 400
"""Positions named in one row, below what a row keeps of a text."""
SALT_BYTES = 16
ERASE = "audit.erase"
Link = tuple[int, int, bytes, bytes, bytes]
"""seq, position, salt, personal digest, hash."""
START = bytes(32)
"""What stands for the hash before the first row."""
LOCK, TRY_LOCK = (sa.text(f"SELECT {name}(hashtextextended(:key, 0))") for name in ("pg_advisory_xact_lock", "pg_try_advisory_xact_lock"))


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: what is anchored outside."""

    ministry: str
    position: int
    hash: bytes


def personal_digest(salt: bytes, personal: Sequence[str]) -> bytes:
    """What stays of the personal part of a row: under a salt that goes with it, nothing can be guessed from it."""
    return sha256(salt + "\n".join(personal).encode()).digest()


def link(
    previous: bytes,
    service: str,
    ministry: str,
    position: int,
    seq: int,
    at: datetime,
    what: str,
    decision: str,
    request_id: str,
    personal: bytes,
) -> bytes:
    """SHA-256 of the hash before and of the row, a field a line.

    No field that was written down holds a line end (`plain`), so one that is put in makes a line too many: nothing else has this text.
    """
    text = f"{service}\n{ministry}\n{position}\n{seq}\n{at.isoformat()}\n{what}\n{decision}\n{request_id}\n{personal.hex()}"
    return sha256(previous + text.encode()).digest()


async def chain(database: Database) -> int:
    """Chain what waits, at most LINKS_MAX rows; how many they were. 0 too when another process is at it."""
    async with database.transaction() as tx:
        return await chain_in(tx) if await lock(tx, wait=False) else 0


async def chain_all(database: Database) -> int:
    """Chain what waits, in pieces."""
    done = 0
    while number := await chain(database):
        done += number
    return done


async def lock(tx: Tx, *, wait: bool) -> bool:
    """One writer: to the end of the transaction. SQLite has one anyhow."""
    if tx.database.is_sqlite:
        return True
    key = {"key": f"parvis audit {tx.database.service}"}
    return (await tx.execute(LOCK if wait else TRY_LOCK, key)).scalar() is not False


async def chain_in(tx: Tx) -> int:
    service = tx.database.service
    rows = (await tx.execute(_waiting(service))).all()
    if not rows:
        return 0
    heads = {one.ministry: (one.position, one.hash) for one in await heads_of(tx, {row.ministry for row in rows})}
    salts = os.urandom(SALT_BYTES * len(rows))
    linked: list[Link] = []
    for number, (seq, at, what, decision, request_id, ministry, *named) in enumerate(rows):
        position, before = heads.get(ministry, (0, START))
        salt = salts[number * SALT_BYTES : (number + 1) * SALT_BYTES]
        personal = personal_digest(salt, named)
        hashed = link(before, service, ministry, position + 1, seq, at, what, decision, request_id, personal)
        heads[ministry] = position + 1, hashed
        linked.append((seq, position + 1, salt, personal, hashed))
    await _write(tx, linked)
    values = [{"ministry": ministry, "position": position, "hash": hashed} for ministry, (position, hashed) in heads.items()]
    await tx.execute(upsert_by(tx, tables_of(service)["audit_head"], ("ministry",), ("position", "hash")), values)
    return len(rows)


async def _write(tx: Tx, linked: Sequence[Link]) -> None:
    """In one statement on PostgreSQL, where each costs a journey. A row that has its place keeps it."""
    if not tx.database.is_sqlite:
        seqs, positions, *texts = zip(*linked, strict=True)
        await tx.run_in_driver(_link_postgresql(tx.database.service), seqs, positions, *map(b"".join, texts))
        return
    names = ("one", "at_position", "with_salt", "with_personal", "with_hash")
    await tx.execute(_link_sqlite(tx.database.service), [dict(zip(names, one, strict=True)) for one in linked])


@cache
def _waiting(service: str) -> sa.Select[Any]:
    row = tables_of(service)["audit"].c
    columns = (row.seq, row.at, row.what, row.decision, row.request_id, row.ministry, *(row[name] for name in PERSONAL))
    return sa.select(*columns).where(row.position.is_(None)).order_by(row.seq).limit(LINKS_MAX)


@cache
def _link_postgresql(service: str) -> str:
    """Bytes come end to end: as elements of arrays each would cost three times as much to send."""
    return (
        f"UPDATE {service}.audit SET position = n.position, salt = substr($3::bytea, n.place * {SALT_BYTES} + 1, {SALT_BYTES}), "  # noqa: S608
        "personal = substr($4::bytea, n.place * 32 + 1, 32), hash = substr($5::bytea, n.place * 32 + 1, 32) "
        "FROM (SELECT seq, position, place::integer - 1 AS place "
        "FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS given (seq, position, place)) n "
        "WHERE audit.seq = n.seq AND audit.position IS NULL"
    )


@cache
def _link_sqlite(service: str) -> sa.Update:
    table = tables_of(service)["audit"]
    return (
        sa.update(table)
        .where(table.c.seq == sa.bindparam("one"), table.c.position.is_(None))
        .values(
            position=sa.bindparam("at_position"),
            salt=sa.bindparam("with_salt"),
            personal=sa.bindparam("with_personal"),
            hash=sa.bindparam("with_hash"),
        )
    )


async def heads_of(tx: Tx, ministries: Iterable[str]) -> list[Head]:
    return [Head(*one) for one in await tx.execute(_heads(tx.database.service), {"ministries": sorted(ministries)})]


@cache
def _heads(service: str) -> sa.Select[Any]:
    head = tables_of(service)["audit_head"].c
    return sa.select(head.ministry, head.position, head.hash).where(head.ministry.in_(sa.bindparam("ministries", expanding=True)))


# erasure


async def erase(database: Database, subject: str, *, who: object, why: str, at: datetime) -> int:
    """Forget whom the rows by or about `subject` name, in all chains; how many rows. The chains stay whole, and say what was erased."""
    done = 0
    await chain_all(database)
    while True:
        async with database.transaction() as tx:
            await lock(tx, wait=True)
            while await chain_in(tx):  # what came since is little
                pass
            erased = await _forget(tx, subject)
            for ministry, positions in erased.items():
                for named in ranges_of(positions):
                    of = UUID(ministry) if ministry else None
                    await record(tx, who=who, what=f"{ERASE} {named}", on="", ministry=of, at=at, why=why, last=False)
            await chain_in(tx)
        number = sum(map(len, erased.values()))
        done += number
        if number < ERASED_MAX:
            return done


async def _forget(tx: Tx, subject: str) -> Mapping[str, list[int]]:
    """The positions of what was erased, by ministry."""
    table = tables_of(tx.database.service)["audit"]
    row = table.c
    named = sa.and_(row.salt.is_not(None), sa.or_(row.who == subject, row.about == subject))
    found = (await tx.execute(sa.select(row.seq, row.ministry, row.position).where(named).order_by(row.position).limit(ERASED_MAX))).all()
    if found:
        gone = dict.fromkeys(PERSONAL, "") | {"salt": None}
        await tx.execute(sa.update(table).where(row.seq.in_([one.seq for one in found])).values(gone))
    erased = defaultdict(list)
    for one in found:
        erased[one.ministry].append(one.position)
    return erased


def ranges_of(positions: Sequence[int]) -> Iterator[str]:
    """`3-9 14 20`, in texts short enough for a row each."""
    said = ""
    for _, run in groupby(enumerate(positions), lambda one: one[1] - one[0]):
        numbers = [number for _, number in run]
        text = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
        if len(said) + len(text) >= NAMED_CHARACTERS_MAX:
            yield said
            said = ""
        said = f"{said} {text}".strip()
    if said:
        yield said


def positions_in(text: str) -> Iterator[range]:
    """What `ranges_of` wrote."""
    for one in text.split():
        first, _, last = one.partition("-")
        yield range(int(first), int(last or first) + 1)
