"""Who did what to which thing, and what was decided: one row, in the transaction of the act."""

import re
from datetime import datetime
from functools import cache

import sqlalchemy as sa

from parvis_kit.context import CAUSE
from parvis_kit.db import Moment, Tx, metadata_for
from parvis_kit.db.columns import Serial

CHARACTERS_MAX = 512
"""Enough for names, ids and reasons; what is longer is content, and content has no place here."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""C0, C1 and Unicode's own line ends: a forged line, or a terminal told to clear itself (ANSI begins with \\x1b or \\x9b)."""


def audit_table(metadata: sa.MetaData) -> sa.Table:
    """Join the audit's table to a service's metadata."""
    return sa.Table(
        "audit",
        metadata,
        sa.Column("seq", Serial, primary_key=True),
        sa.Column("at", Moment, nullable=False, index=True),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False, index=True),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )


@cache
def statement_for(service: str) -> sa.Insert:
    return sa.insert(audit_table(metadata_for(service)))


async def record(tx: Tx, *, who: object, what: str, on: object, decision: str = "done", at: datetime, where: str = "") -> None:
    """Write it down; it is there if and only if the act is. No secret, no clear content: ids, verbs and reasons.

    `where`: the address that asked, when there is one.
    """
    await tx.execute(
        statement_for(tx.database.service),
        {
            "at": at,
            "who": plain(who),
            "what": plain(what),
            "about": plain(on),
            "place": plain(where),
            "decision": plain(decision),
            "request_id": plain(CAUSE.get().request_id),
        },
    )


def plain(value: object) -> str:
    """On one line and without control characters, so that nothing written here can pretend to be another line."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", str(value))[:CHARACTERS_MAX]
