"""The loopback homeserver: accounts, devices, rooms, events, media."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import BinaryText, Json, Moment

revision, down_revision = "0002", "0001"
TABLES = (
    "account",
    "device",
    "stream_head",
    "room",
    "room_alias",
    "event",
    "room_state",
    "member",
    "account_data",
    "receipt",
    "sync_filter",
    "media",
)


def where(condition: str) -> dict[str, Any]:
    """An index of some rows alone, on both databases."""
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("user_id", BinaryText, primary_key=True),
        sa.Column("agent_id", sa.Uuid),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("avatar_url", sa.Text),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("closed_at", Moment),
        sa.UniqueConstraint("agent_id", name="uq_account_agent_id"),
        schema="messaging",
    )
    op.create_table(
        "device",
        sa.Column("token_digest", BinaryText, primary_key=True),
        sa.Column("user_id", BinaryText, nullable=False),
        sa.Column("device_id", BinaryText, nullable=False),
        sa.Column("agent_id", sa.Uuid, nullable=False),
        sa.Column("credential_id", sa.Uuid, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.UniqueConstraint("user_id", "device_id", name="uq_device_user_id_device_id"),
        schema="messaging",
    )
    op.create_index("ix_device_agent_id", "device", ["agent_id"], schema="messaging")
    op.create_table(
        "stream_head",
        sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        schema="messaging",
    )
    op.execute("INSERT INTO messaging.stream_head VALUES (1, 0)")
    op.create_table(
        "room",
        sa.Column("room_id", BinaryText, primary_key=True),
        sa.Column("creator", BinaryText, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        schema="messaging",
    )
    op.create_table(
        "room_alias",
        sa.Column("alias", BinaryText, primary_key=True),
        sa.Column("room_id", BinaryText, nullable=False),
        sa.Column("creator", BinaryText, nullable=False),
        schema="messaging",
    )
    op.create_index("ix_room_alias_room_id", "room_alias", ["room_id"], schema="messaging")
    op.create_table(
        "event",
        sa.Column("stream", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("event_id", BinaryText, nullable=False),
        sa.Column("room_id", BinaryText, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("state_key", BinaryText),
        sa.Column("sender", BinaryText, nullable=False),
        sa.Column("content", Json, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("device_id", BinaryText),
        sa.Column("txn_id", BinaryText),
        sa.Column("relates_to", BinaryText),
        sa.Column("rel_type", BinaryText),
        sa.Column("redacts", BinaryText),
        sa.Column("redacted_because", BinaryText),
        sa.UniqueConstraint("event_id", name="uq_event_event_id"),
        schema="messaging",
    )
    op.create_index("ix_event_related", "event", ["relates_to", "stream"], schema="messaging", **where("relates_to IS NOT NULL"))
    op.create_index("ix_event_room", "event", ["room_id", "stream"], schema="messaging")
    op.create_index("uq_event_txn", "event", ["sender", "device_id", "txn_id", "room_id"], unique=True, schema="messaging")
    op.create_table(
        "room_state",
        sa.Column("room_id", BinaryText, primary_key=True),
        sa.Column("type", BinaryText, primary_key=True),
        sa.Column("state_key", BinaryText, primary_key=True),
        sa.Column("stream", sa.BigInteger, nullable=False),
        schema="messaging",
    )
    op.create_table(
        "member",
        sa.Column("room_id", BinaryText, primary_key=True),
        sa.Column("user_id", BinaryText, primary_key=True),
        sa.Column("membership", sa.Text, nullable=False),
        sa.Column("stream", sa.BigInteger, nullable=False),
        schema="messaging",
    )
    op.create_index("ix_member_user", "member", ["user_id", "membership", "stream"], schema="messaging")
    op.create_table(
        "account_data",
        sa.Column("user_id", BinaryText, primary_key=True),
        sa.Column("room_id", BinaryText, primary_key=True),
        sa.Column("type", BinaryText, primary_key=True),
        sa.Column("content", Json, nullable=False),
        sa.Column("stream", sa.BigInteger, nullable=False),
        schema="messaging",
    )
    op.create_table(
        "receipt",
        sa.Column("room_id", BinaryText, primary_key=True),
        sa.Column("user_id", BinaryText, primary_key=True),
        sa.Column("event_id", BinaryText, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("stream", sa.BigInteger, nullable=False),
        schema="messaging",
    )
    op.create_table(
        "sync_filter",
        sa.Column("id", BinaryText, primary_key=True),
        sa.Column("user_id", BinaryText, primary_key=True),
        sa.Column("body", Json, nullable=False),
        schema="messaging",
    )
    op.create_table(
        "media",
        sa.Column("media_id", BinaryText, primary_key=True),
        sa.Column("user_id", BinaryText, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        schema="messaging",
    )
    op.create_index("ix_media_user_id", "media", ["user_id"], schema="messaging")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, schema="messaging")
