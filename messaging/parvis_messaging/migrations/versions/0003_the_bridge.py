"""The bridge: linked rooms, deliveries, what came in, notices and preferences."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import BinaryText, Json, Moment, Serial

revision, down_revision = "0003", "0002"
TABLES = ("link", "link_member", "delivery", "posted", "inbound", "notice", "notice_read", "reader", "preference")


def where(condition: str) -> dict[str, Any]:
    """An index of some rows alone, on both databases."""
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    make_lanes()
    make_inbound()
    make_notices()


def make_lanes() -> None:
    op.create_table(
        "link",
        sa.Column("lane", BinaryText, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("named", sa.Text, nullable=False),
        sa.Column("room_id", BinaryText),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", Moment),
        sa.Column("leased_until", Moment),
        sa.Column("lease", BinaryText),
        sa.UniqueConstraint("room_id", name="uq_link_room_id"),
        schema="messaging",
    )
    op.create_table(
        "link_member",
        sa.Column("lane", BinaryText, primary_key=True),
        sa.Column("agent_id", sa.Uuid, primary_key=True),
        sa.Column("wanted", sa.Boolean, nullable=False),
        sa.Column("there", sa.Boolean, nullable=False),
        schema="messaging",
    )
    op.create_index("ix_link_member_agent_id", "link_member", ["agent_id"], schema="messaging")
    op.create_table(
        "delivery",
        sa.Column("id", Serial, primary_key=True),
        sa.Column("lane", BinaryText, nullable=False),
        sa.Column("act", sa.Text, nullable=False),
        sa.Column("notice_id", sa.Uuid),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("errcode", sa.Text),
        sa.Column("created_at", Moment, nullable=False),
        schema="messaging",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_delivery_lane", "delivery", ["lane", "id"], schema="messaging")
    op.create_table(
        "posted",
        sa.Column("event_id", BinaryText, primary_key=True),
        sa.Column("lane", BinaryText, nullable=False),
        sa.Column("subject_kind", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Uuid),
        sa.Column("is_root", sa.Boolean, nullable=False),
        sa.Column("at", Moment, nullable=False),
        schema="messaging",
    )
    op.create_index("ix_posted_at", "posted", ["at"], schema="messaging")
    op.create_index("ix_posted_subject", "posted", ["lane", "subject_kind", "subject_id"], schema="messaging")


def make_inbound() -> None:
    op.create_table(
        "inbound",
        sa.Column("number", Serial, primary_key=True),
        sa.Column("event_id", BinaryText, nullable=False),
        sa.Column("room_id", BinaryText, nullable=False),
        sa.Column("lane", BinaryText, nullable=False),
        sa.Column("agent_id", sa.Uuid, nullable=False),
        sa.Column("is_message", sa.Boolean, nullable=False),
        sa.Column("about_event", BinaryText),
        sa.Column("command", sa.Text),
        sa.Column("at", Moment, nullable=False),
        sa.Column("handled_at", Moment),
        sa.UniqueConstraint("event_id", name="uq_inbound_event_id"),
        schema="messaging",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_inbound_open", "inbound", ["number"], schema="messaging", **where("handled_at IS NULL"))


def make_notices() -> None:
    op.create_table(
        "notice",
        sa.Column("number", Serial, primary_key=True),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject_kind", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Uuid),
        sa.Column("agent_id", sa.Uuid),
        sa.Column("team_id", sa.Uuid),
        sa.Column("actor_id", sa.Uuid),
        sa.Column("details", Json, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.UniqueConstraint("id", name="uq_notice_id"),
        schema="messaging",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_notice_at", "notice", ["at"], schema="messaging")
    op.create_index("ix_notice_agent", "notice", ["agent_id", "number"], schema="messaging")
    op.create_index("ix_notice_team", "notice", ["team_id", "number"], schema="messaging")
    op.create_index("ix_notice_subject", "notice", ["subject_id", "number"], schema="messaging")
    op.create_table(
        "notice_read",
        sa.Column("agent_id", sa.Uuid, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        schema="messaging",
    )
    op.create_table(
        "reader",
        sa.Column("agent_id", sa.Uuid, primary_key=True),
        sa.Column("read_until", sa.BigInteger, nullable=False),
        schema="messaging",
    )
    op.create_table(
        "preference",
        sa.Column("agent_id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("matrix", sa.Boolean, nullable=False),
        sa.Column("portal", sa.Boolean, nullable=False),
        schema="messaging",
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, schema="messaging")
