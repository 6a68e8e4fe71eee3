"""The tables: what was used, what was paid, what was booked."""

from typing import Any

import sqlalchemy as sa
from parvis_kit.db import Json, Moment
from parvis_roster import service_metadata, tables_of

METADATA = service_metadata("billing")
ROSTER = tables_of("billing")
ROWS_MAX = 1_000
"""Of one statement with many values: SQLite takes 32,766 parameters."""
Row = dict[str, Any]


def column(name: str, kind: Any, *more: Any, **options: Any) -> "sa.Column[Any]":
    return sa.Column(name, kind, *more, nullable=options.pop("nullable", False), **options)


def key(name: str, kind: Any) -> "sa.Column[Any]":
    return sa.Column(name, kind, primary_key=True)


# what was used: kept when the log has forgotten the facts

SEAT_CHANGE = sa.Table(
    "seat_change", METADATA, key("agent_id", sa.Uuid), key("at", Moment), key("what", sa.Text),
    sa.Column("ministry_id", sa.Uuid), sa.Column("kind", sa.Text),
)  # fmt: skip
SEAT_STATE = sa.Table(
    "seat_state", METADATA, key("agent_id", sa.Uuid), column("at", Moment), column("ministry_id", sa.Uuid), column("kind", sa.Text),
    column("is_enabled", sa.Boolean),
)  # fmt: skip
USAGE_DAY = sa.Table(
    "usage_day", METADATA, key("day", sa.Date), key("agent_id", sa.Uuid), key("meter", sa.Text), column("quantity", sa.BigInteger),
)  # fmt: skip
STORAGE_DAY = sa.Table(
    "storage_day", METADATA, key("day", sa.Date), key("holder_id", sa.Uuid), column("is_personal", sa.Boolean),
    column("ministry_id", sa.Uuid), column("said_at", Moment), column("delta_bytes", sa.BigInteger), column("byte_seconds", sa.BigInteger),
)  # fmt: skip
IMPORTED_FILE = sa.Table(
    "imported_file", METADATA, key("id", sa.Uuid), column("kind", sa.Text), column("name", sa.Text), column("digest", sa.Text),
    column("at", Moment), column("who", sa.Text), column("lines", sa.Integer),
)  # fmt: skip
IMPORTED_USAGE = sa.Table(
    "imported_usage", METADATA, key("month", sa.Text), key("meter", sa.Text), key("ministry_id", sa.Uuid), key("agent_id", sa.Uuid),
    column("quantity", sa.Text), column("file_id", sa.Uuid), column("line", sa.Integer), column("digest", sa.Text),
)  # fmt: skip

# what was paid

COST_ITEM = sa.Table(
    "cost_item", METADATA, key("id", sa.Text), key("revision", sa.Integer), sa.Column("amount_cents", sa.BigInteger),
    column("starts", sa.Date), column("ends", sa.Date), column("content", Json), column("digest", sa.Text), column("file_id", sa.Uuid),
    column("line", sa.Integer), column("at", Moment),
)  # fmt: skip
ALLOCATION_KEY = sa.Table(
    "allocation_key", METADATA, key("id", sa.Text), key("revision", sa.Integer), column("content", Json), column("digest", sa.Text),
    column("file_id", sa.Uuid), column("line", sa.Integer), column("at", Moment),
)  # fmt: skip
PRICE_VERSION = sa.Table(
    "price_version", METADATA, key("id", sa.Text), key("valid_from", sa.Text), sa.Column("valid_until", sa.Text), column("content", Json),
    column("digest", sa.Text), column("file_id", sa.Uuid), column("line", sa.Integer), column("at", Moment),
)  # fmt: skip
BENCHMARK = sa.Table(
    "benchmark", METADATA, key("id", sa.Text), column("content", Json), column("digest", sa.Text), column("file_id", sa.Uuid),
    column("line", sa.Integer), column("at", Moment),
)  # fmt: skip

# what was booked: a run computes one month and is booked in one, another one for a correction

PSEUDONYM_SECRET = sa.Table("pseudonym_secret", METADATA, key("year", sa.Integer), column("secret", sa.LargeBinary))
PERIOD = sa.Table(
    "period", METADATA, key("month", sa.Text), column("state", sa.Text), column("total_cents", sa.BigInteger),
    column("previous_hash", sa.Text), column("hash", sa.Text), sa.Column("run_id", sa.Uuid), sa.Column("closed_at", Moment),
    column("ran_at", Moment),
)  # fmt: skip
LATE_MONTH = sa.Table("late_month", METADATA, key("month", sa.Text), column("marks", sa.Integer))


def booked() -> "tuple[sa.Column[Any], sa.Column[Any]]":
    """In which month it stands, and which one it is about."""
    return key("booked", sa.Text), key("concerns", sa.Text)


RUN = sa.Table(
    "run", METADATA, *booked(), column("inputs_sha256", sa.Text), column("postings_sha256", sa.Text), column("keys", Json),
    column("sirens", Json), column("total_cents", sa.BigInteger),
)  # fmt: skip
ITEM_MONTH = sa.Table(
    "item_month", METADATA, *booked(), key("item_id", sa.Text), column("revision", sa.Integer), column("cents", sa.BigInteger),
    column("price", sa.Text), column("quantity", sa.Text), column("digest", sa.Text),
)  # fmt: skip
MINISTRY_MONTH = sa.Table(
    "ministry_month", METADATA, *booked(), key("ministry_id", sa.Uuid), column("seats", sa.Integer), column("active", sa.Integer),
    column("common", Json), column("digest", sa.Text),
)  # fmt: skip
AGENT_MONTH = sa.Table(
    "agent_month", METADATA, *booked(), key("agent_id", sa.Uuid), key("ministry_id", sa.Uuid), column("kind", sa.Text),
    column("seat", sa.Integer), column("active", sa.Integer), column("use", Json), column("hosting_micro_eur", sa.BigInteger),
    column("suite_micro_eur", sa.BigInteger), column("complete_micro_eur", sa.BigInteger), column("digest", sa.Text),
)  # fmt: skip
POSTING = sa.Table(
    "posting", METADATA, *booked(), key("item_id", sa.Text), key("service", sa.Text), key("ministry_id", sa.Uuid),
    key("perimeters", sa.Text), column("revision", sa.Integer), column("cents", sa.BigInteger), column("computed_cents", sa.BigInteger),
    column("by_key", Json), column("how", Json), column("digest", sa.Text),
)  # fmt: skip
sa.Index("ix_agent_month_agent_id", AGENT_MONTH.c.agent_id, AGENT_MONTH.c.concerns)
OF_A_MONTH = (POSTING, AGENT_MONTH, MINISTRY_MONTH, ITEM_MONTH, RUN)
