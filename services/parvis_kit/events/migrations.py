"""The log's tables as migrations make them: what is written here stays as it is, or old databases would differ from new ones.

A later change is a function of its own below, which every service calls from a migration of its own.
"""

from typing import Any

import sqlalchemy as sa

from parvis_kit.db.columns import Moment, Serial

TABLES = ("projection", "parked", "inbox", "consumer_offset", "log_head", "log", "outbox")


def create_log_tables(op: Any, service: str) -> None:
    """For the first migration of each service: `create_log_tables(op, "directory")`."""
    op.create_table("outbox", sa.Column("id", Serial, primary_key=True), *_fact_columns(), schema=service, sqlite_autoincrement=True)
    op.create_table("log", sa.Column("seq", Serial, primary_key=True), *_fact_columns(), schema=service, sqlite_autoincrement=True)
    op.create_index("ix_log_topic_key", "log", ["topic", "key", "seq"], schema=service)
    op.create_table(
        "log_head",
        sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("beginning", sa.BigInteger, nullable=False),
        sa.CheckConstraint("one = 1", name="one_row"),
        schema=service,
    )
    op.execute(f"INSERT INTO {service}.log_head (one, seq, beginning) VALUES (1, 0, 0)")
    op.create_table(
        "consumer_offset",
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        sa.Column("next", sa.BigInteger, nullable=False),
        schema=service,
    )
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("at", Moment, nullable=False),
        schema=service,
    )
    op.create_index("ix_inbox_at", "inbox", ["at"], schema=service)
    op.create_table(
        "parked",
        sa.Column("seq", Serial, primary_key=True),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("partition", sa.Text, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        *_fact_columns(),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("parked_at", Moment, nullable=False),
        schema=service,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_parked_lane", "parked", ["consumer", "topic", "key", "seq"], schema=service)
    op.create_table(
        "projection",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("built_at", Moment),
        schema=service,
    )


def drop_log_tables(op: Any, service: str) -> None:
    """The way back of `create_log_tables`."""
    for table in TABLES:
        op.drop_table(table, schema=service)


def _fact_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary),
    ]
