"""Homes, agendas, objects and when they take place; what was deleted, and when owners are busy."""

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import BinaryText, Json, Moment

revision, down_revision = "0002", "0001"
TABLES = ("idempotency", "home", "agenda", "object", "instance", "tombstone", "busy_week")


def upgrade() -> None:
    op.create_table(
        "idempotency",
        sa.Column("who", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("at", Moment, nullable=False),
        schema="calendar",
    )
    op.create_index("ix_idempotency_at", "idempotency", ["at"], schema="calendar")
    op.create_table(
        "home",
        sa.Column("owner_id", sa.Uuid, primary_key=True),
        sa.Column("ministry_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("frozen_at", Moment),
        sa.Column("properties", Json, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        schema="calendar",
    )
    op.create_index("ix_home_ministry_id", "home", ["ministry_id"], schema="calendar")
    op.create_table(
        "agenda",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("owner_id", sa.Uuid, sa.ForeignKey("calendar.home.owner_id", name="fk_agenda_owner_id_home"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", BinaryText, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("color", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("timezone", sa.Text),
        sa.Column("components", sa.Text, nullable=False),
        sa.Column("is_transparent", sa.Boolean, nullable=False),
        sa.Column("is_default", sa.Boolean, nullable=False),
        sa.Column("properties", Json, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("forgotten_seq", sa.BigInteger, nullable=False),
        sa.Column("objects", sa.Integer, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.UniqueConstraint("owner_id", "name", name="uq_agenda_owner_id_name"),
        schema="calendar",
    )
    create_objects()
    op.create_table(
        "tombstone",
        sa.Column("agenda_id", sa.Uuid, sa.ForeignKey("calendar.agenda.id", name="fk_tombstone_agenda_id_agenda"), primary_key=True),
        sa.Column("name", BinaryText, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at", Moment, nullable=False),
        schema="calendar",
    )
    op.create_index("ix_tombstone_at", "tombstone", ["at"], schema="calendar")
    op.create_index("ix_tombstone_changes", "tombstone", ["agenda_id", "seq"], schema="calendar")
    op.create_table(
        "busy_week",
        sa.Column("owner_id", sa.Uuid, primary_key=True),
        sa.Column("week", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("spans", sa.LargeBinary, nullable=False),
        schema="calendar",
    )


def create_objects() -> None:
    op.create_table(
        "object",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("agenda_id", sa.Uuid, sa.ForeignKey("calendar.agenda.id", name="fk_object_agenda_id_agenda"), nullable=False),
        sa.Column("name", BinaryText, nullable=False),
        sa.Column("uid", BinaryText, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("component", sa.Text, nullable=False),
        sa.Column("schedule_tag", sa.Text),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("modified_at", Moment, nullable=False),
        sa.Column("octets", sa.LargeBinary, nullable=False),
        sa.Column("starts_at", sa.BigInteger),
        sa.Column("ends_at", sa.BigInteger),
        sa.Column("recurs", sa.Boolean, nullable=False),
        sa.Column("expanded_from", sa.BigInteger),
        sa.Column("expanded_until", sa.BigInteger),
        sa.UniqueConstraint("agenda_id", "name", name="uq_object_agenda_id_name"),
        sa.UniqueConstraint("agenda_id", "uid", name="uq_object_agenda_id_uid"),
        schema="calendar",
    )
    op.create_index("ix_object_changes", "object", ["agenda_id", "seq"], schema="calendar")
    op.create_index("ix_object_uid", "object", ["uid"], schema="calendar")
    partial = sa.text("expanded_until IS NOT NULL")
    op.create_index("ix_object_expanded", "object", ["expanded_until"], postgresql_where=partial, sqlite_where=partial, schema="calendar")
    op.create_table(
        "instance",
        sa.Column("object_id", sa.Uuid, sa.ForeignKey("calendar.object.id", name="fk_instance_object_id_object"), primary_key=True),
        sa.Column("recurrence_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("agenda_id", sa.Uuid, nullable=False),
        sa.Column("is_long", sa.Boolean, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("is_floating", sa.Boolean, nullable=False),
        sa.Column("busy", sa.SmallInteger, nullable=False),
        schema="calendar",
    )
    op.create_index("ix_instance_time", "instance", ["agenda_id", "is_long", "starts_at", "ends_at"], schema="calendar")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, schema="calendar")
