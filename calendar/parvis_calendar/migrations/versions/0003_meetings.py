"""Invitations, rooms and equipment with their bookings, and what becomes of a leaver's meetings."""

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import BinaryText, Moment

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    op.create_table(
        "invitation",
        sa.Column("meeting_id", sa.Uuid, primary_key=True),
        sa.Column("attendee_id", sa.Uuid, primary_key=True),
        sa.Column("organizer_id", sa.Uuid, nullable=False),
        sa.Column("uid", BinaryText, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("recurs", sa.Boolean, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("invited_at", Moment, nullable=False),
        schema="calendar",
    )
    op.create_index("ix_invitation_organizer_id", "invitation", ["organizer_id"], schema="calendar")
    op.create_index("ix_invitation_attendee", "invitation", ["attendee_id", "answer", "starts_at"], schema="calendar")
    op.create_table(
        "resource",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("ministry_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("seats", sa.Integer),
        sa.Column("created_at", Moment, nullable=False),
        sa.UniqueConstraint("number", name="uq_resource_number"),
        schema="calendar",
    )
    op.create_index("ix_resource_ministry_id", "resource", ["ministry_id"], schema="calendar")
    op.create_table(
        "booking",
        sa.Column("resource_id", sa.Uuid, sa.ForeignKey("calendar.resource.id", name="fk_booking_resource_id_resource"), primary_key=True),
        sa.Column("starts_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("booked_by", sa.Uuid, nullable=False),
        sa.Column("axis_start", sa.BigInteger, nullable=False),
        sa.Column("axis_end", sa.BigInteger, nullable=False),
        schema="calendar",
    )
    op.create_index("ix_booking_event_id", "booking", ["event_id"], schema="calendar")
    if op.get_bind().dialect.name == "postgresql":  # SQLite has one writer, who looks first
        op.execute(
            "ALTER TABLE calendar.booking ADD CONSTRAINT ex_booking_axis EXCLUDE USING gist (int8range(axis_start, axis_end) WITH &&)"
        )
    op.create_table(
        "departure",
        sa.Column("agent_id", sa.Uuid, primary_key=True),
        sa.Column("left_at", Moment),
        sa.Column("meetings", sa.Text, nullable=False),
        sa.Column("to_id", sa.Uuid),
        sa.Column("settled_at", Moment),
        schema="calendar",
    )


def downgrade() -> None:
    for table in ("departure", "booking", "resource", "invitation"):
        op.drop_table(table, schema="calendar")
