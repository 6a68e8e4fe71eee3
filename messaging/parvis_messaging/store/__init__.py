"""The tables of messaging: the loopback homeserver's."""

import sqlalchemy as sa
from parvis_kit.db import BinaryText, Json, Moment, partial_index
from parvis_roster import service_metadata

METADATA = service_metadata("messaging")
account = sa.Table(
    "account",
    METADATA,
    sa.Column("user_id", BinaryText, primary_key=True),
    sa.Column("agent_id", sa.Uuid, unique=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("avatar_url", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("closed_at", Moment),
    sa.Column("ready_at", Moment),
    sa.Column("left_at", Moment),
)
"""`ready_at`: since when the homeserver has it. `left_at`: when its agent left, until their sessions are ended and their rooms left."""
device = sa.Table(
    "device",
    METADATA,
    sa.Column("token_digest", BinaryText, primary_key=True),
    sa.Column("user_id", BinaryText, nullable=False),
    sa.Column("device_id", BinaryText, nullable=False),
    sa.Column("agent_id", sa.Uuid, nullable=False, index=True),
    sa.Column("credential_id", sa.Uuid, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.UniqueConstraint("user_id", "device_id"),
)
stream_head = sa.Table(
    "stream_head",
    METADATA,
    sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, nullable=False),
)
"""One row, which every change of a room locks: so positions are committed in their order, and no sync passes one by."""
room = sa.Table(
    "room",
    METADATA,
    sa.Column("room_id", BinaryText, primary_key=True),
    sa.Column("creator", BinaryText, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)
room_alias = sa.Table(
    "room_alias",
    METADATA,
    sa.Column("alias", BinaryText, primary_key=True),
    sa.Column("room_id", BinaryText, nullable=False, index=True),
    sa.Column("creator", BinaryText, nullable=False),
)
event = sa.Table(
    "event",
    METADATA,
    sa.Column("stream", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_id", BinaryText, nullable=False, unique=True),
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
    sa.Index("ix_event_room", "room_id", "stream"),
    sa.Index("uq_event_txn", "sender", "device_id", "txn_id", "room_id", unique=True),
)
_related = event.c.relates_to.is_not(None)
partial_index("ix_event_related", event.c.relates_to, event.c.stream, where=_related)
room_state = sa.Table(
    "room_state",
    METADATA,
    sa.Column("room_id", BinaryText, primary_key=True),
    sa.Column("type", BinaryText, primary_key=True),
    sa.Column("state_key", BinaryText, primary_key=True),
    sa.Column("stream", sa.BigInteger, nullable=False),
)
member = sa.Table(
    "member",
    METADATA,
    sa.Column("room_id", BinaryText, primary_key=True),
    sa.Column("user_id", BinaryText, primary_key=True),
    sa.Column("membership", sa.Text, nullable=False),
    sa.Column("stream", sa.BigInteger, nullable=False),
    sa.Index("ix_member_user", "user_id", "membership", "stream"),
)
account_data = sa.Table(
    "account_data",
    METADATA,
    sa.Column("user_id", BinaryText, primary_key=True),
    sa.Column("room_id", BinaryText, primary_key=True),
    sa.Column("type", BinaryText, primary_key=True),
    sa.Column("content", Json, nullable=False),
    sa.Column("stream", sa.BigInteger, nullable=False),
)
receipt = sa.Table(
    "receipt",
    METADATA,
    sa.Column("room_id", BinaryText, primary_key=True),
    sa.Column("user_id", BinaryText, primary_key=True),
    sa.Column("event_id", BinaryText, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("stream", sa.BigInteger, nullable=False),
)
sync_filter = sa.Table(
    "sync_filter",
    METADATA,
    sa.Column("id", BinaryText, primary_key=True),
    sa.Column("user_id", BinaryText, primary_key=True),
    sa.Column("body", Json, nullable=False),
)
media = sa.Table(
    "media",
    METADATA,
    sa.Column("media_id", BinaryText, primary_key=True),
    sa.Column("user_id", BinaryText, nullable=False, index=True),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)
