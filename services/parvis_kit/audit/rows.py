"""One row for each act, in the transaction of the act; and how rows are read, which is an act too."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from parvis_kit.context import CAUSE
from parvis_kit.db import Moment, Tx, metadata_for
from parvis_kit.db.columns import Serial, partial_index
from parvis_kit.db.driven import Driven

CHARACTERS_MAX = 512
"""Enough for names, ids and reasons; what is longer is content, and content has no place here."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""C0, C1 and Unicode's own line ends: a forged line, or a terminal told to clear itself (ANSI begins with \\x1b or \\x9b)."""
POSITION_MAX = 2**63 - 1
RECORDED = ("at", "who", "what", "about", "place", "decision", "request_id", "ministry", "reason")
PERSONAL = ("who", "about", "place", "reason")
"""What may point to a person: hashed apart under the row's salt, so that it can be erased."""


def audit_tables(metadata: sa.MetaData) -> None:
    """Join the audit's tables to a service's metadata.

    `position` and what follows it are empty until the service's one writer has chained the row.
    """
    sa.Table(
        "audit",
        metadata,
        sa.Column("seq", Serial, primary_key=True),
        sa.Column("at", Moment, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False, index=True),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("ministry", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("reason", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("position", sa.BigInteger),
        sa.Column("salt", sa.LargeBinary),
        sa.Column("personal", sa.LargeBinary),
        sa.Column("hash", sa.LargeBinary),
        sqlite_autoincrement=True,
    )
    table = metadata.tables[f"{metadata.schema}.audit"]
    waits = table.c.position.is_(None)
    partial_index("ix_audit_waiting", table.c.seq, where=waits)
    partial_index("ix_audit_chain", table.c.ministry, table.c.position, unique=True, where=~waits)
    sa.Table(
        "audit_head",
        metadata,
        sa.Column("ministry", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("anchored", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("anchored_at", Moment),
    )


@cache
def tables_of(service: str) -> Mapping[str, sa.Table]:
    """The audit's tables of a service, by name; the very ones that its migrations make."""
    metadata = metadata_for(service)
    audit_tables(metadata)
    return {table.name: table for table in metadata.tables.values()}


@cache
def statement_for(service: str) -> Driven:
    return Driven(lambda _: sa.insert(tables_of(service)["audit"]).inline(), list(RECORDED))


async def record(
    tx: Tx,
    *,
    who: object,
    what: str,
    on: object,
    ministry: UUID | None,
    at: datetime,
    decision: str = "done",
    where: str = "",
    why: str = "",
    last: bool = True,
) -> None:
    """Write it down; it is there if and only if the act is. No secret, no clear content: ids, verbs and reasons.

    `ministry`: whom the act concerns; None for the suite's own. `where`: the address that asked, when there is one. `last`: nothing
    in this transaction reads it, so it may be written with COMMIT.
    """
    statement = statement_for(tx.database.service)
    write = statement.run_last if last else statement.run
    await write(
        tx,
        {
            "at": at,
            "who": plain(who),
            "what": plain(what),
            "about": plain(on),
            "place": plain(where),
            "decision": plain(decision),
            "request_id": plain(CAUSE.get().request_id),
            "ministry": chain_of(ministry),
            "reason": plain(why),
        },
    )


def plain(value: object) -> str:
    """On one line and without control characters, so that nothing written here can pretend to be another line."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", str(value))[:CHARACTERS_MAX]


def chain_of(ministry: UUID | None) -> str:
    """The name of a ministry's chain; the suite's own has none."""
    return "" if ministry is None else str(ministry)


@dataclass(slots=True)
class AuditRow:
    """An act, as it is shown."""

    position: int
    """Its place in its ministry's chain: no number is left out."""
    at: datetime
    who: str
    what: str
    about: str
    decision: str
    reason: str
    place: str
    request_id: str
    erased: bool
    """Whoever and whatever it was about was erased since; that it happened was not."""


async def consult(
    tx: Tx, ministry: UUID | None, *, who: object, why: str, at: datetime, where: str = "", about: str = "", before: int | None, limit: int
) -> list[AuditRow]:
    """The newest chained rows of a ministry below a position. That somebody looked, and why, is a row itself."""
    asked = {"ministry": chain_of(ministry), "before": POSITION_MAX if before is None else before, "about": about, "limit": limit}
    found = [AuditRow(*row) for row in await tx.execute(page_for(tx.database.service, bool(about)), asked)]
    await consulted(tx, ministry, who=who, why=why, at=at, where=where)
    return found


async def consulted(tx: Tx, ministry: UUID | None, *, who: object, why: str, at: datetime, where: str = "") -> None:
    await record(tx, who=who, what="audit.read", on=chain_of(ministry), ministry=ministry, at=at, where=where, why=why)


@cache
def page_for(service: str, of_one_thing: bool) -> sa.Select[Any]:
    row = tables_of(service)["audit"].c
    columns = [row[name] for name in AuditRow.__slots__ if name != "erased"]
    mine = sa.and_(row.ministry == sa.bindparam("ministry"), row.position < sa.bindparam("before"))
    found = sa.select(*columns, row.salt.is_(None)).where(sa.and_(mine, row.about == sa.bindparam("about")) if of_one_thing else mine)
    return found.order_by(row.position.desc()).limit(sa.bindparam("limit"))
