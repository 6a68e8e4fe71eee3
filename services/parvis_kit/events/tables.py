"""The log's tables, in each service's own schema and migrations."""

import sqlalchemy as sa

from parvis_kit.db.columns import Moment, Serial


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


def log_tables(metadata: sa.MetaData) -> None:
    """Join the log's tables to a service's metadata.

    On SQLite facts are written straight into `log`: there is one writer, so its order is commit order.
    """
    sa.Table("outbox", metadata, sa.Column("id", Serial, primary_key=True), *_fact_columns(), sqlite_autoincrement=True)
    sa.Table(
        "log",
        metadata,
        sa.Column("seq", Serial, primary_key=True),
        *_fact_columns(),
        sa.Index("ix_log_topic_key", "topic", "key", "seq"),
        sqlite_autoincrement=True,
    )
    head = sa.Table(
        "log_head",
        metadata,
        sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("beginning", sa.BigInteger, nullable=False),
        sa.CheckConstraint("one = 1", name="one_row"),
    )
    sa.event.listen(
        head,
        "after_create",
        sa.DDL(  # type: ignore[no-untyped-call]
            f"INSERT INTO {head.fullname} VALUES (1, 0, 0)"
        ),
    )
    sa.Table(
        "consumer_offset",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        sa.Column("next", sa.BigInteger, nullable=False),
    )
    sa.Table(
        "inbox",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("at", Moment, nullable=False, index=True),
    )
    sa.Table(
        "parked",
        metadata,
        sa.Column("seq", Serial, primary_key=True),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("partition", sa.Text, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        *_fact_columns(),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("parked_at", Moment, nullable=False),
        sa.Index("ix_parked_lane", "consumer", "topic", "key", "seq"),
        sqlite_autoincrement=True,
    )
    sa.Table(
        "projection",
        metadata,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("built_at", Moment),
    )
