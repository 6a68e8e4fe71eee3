"""The tables of calendar."""

import sqlalchemy as sa
from parvis_kit.db import BinaryText, Json, Moment, partial_index
from parvis_kit.idempotency import idempotency_table
from parvis_roster import service_metadata

METADATA = service_metadata("calendar")
idempotency_table(METADATA)
home = sa.Table(
    "home",
    METADATA,
    sa.Column("owner_id", sa.Uuid, primary_key=True),
    sa.Column("ministry_id", sa.Uuid, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("frozen_at", Moment),
    sa.Column("properties", Json, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)
"""One row for each agent and resource: whoever changes anything in it takes the next number here first, and so waits for the others."""
agenda = sa.Table(
    "agenda",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("owner_id", sa.ForeignKey(home.c.owner_id), nullable=False),
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
    sa.UniqueConstraint("owner_id", "name"),
)
object_ = sa.Table(
    "object",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("agenda_id", sa.ForeignKey(agenda.c.id), nullable=False),
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
    sa.UniqueConstraint("agenda_id", "name"),
    sa.UniqueConstraint("agenda_id", "uid"),
    sa.Index("ix_object_changes", "agenda_id", "seq"),
    sa.Index("ix_object_uid", "uid"),
)
"""`expanded_*`: between which moments its instances are written down, where they are not all; NULL: all are."""
_partial = object_.c.expanded_until.is_not(None)
partial_index("ix_object_expanded", object_.c.expanded_until, where=_partial)
instance = sa.Table(
    "instance",
    METADATA,
    sa.Column("object_id", sa.ForeignKey(object_.c.id), primary_key=True),
    sa.Column("recurrence_at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("agenda_id", sa.Uuid, nullable=False),
    sa.Column("is_long", sa.Boolean, nullable=False),
    sa.Column("starts_at", sa.BigInteger, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False),
    sa.Column("is_floating", sa.Boolean, nullable=False),
    sa.Column("busy", sa.SmallInteger, nullable=False),
    sa.Index("ix_instance_time", "agenda_id", "is_long", "starts_at", "ends_at"),
)
"""When each thing takes place: seconds since 1970 in UTC, or, where `is_floating`, on the clock of the agenda's zone."""
tombstone = sa.Table(
    "tombstone",
    METADATA,
    sa.Column("agenda_id", sa.ForeignKey(agenda.c.id), primary_key=True),
    sa.Column("name", BinaryText, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.Index("ix_tombstone_changes", "agenda_id", "seq"),
)
busy_week = sa.Table(
    "busy_week",
    METADATA,
    sa.Column("owner_id", sa.Uuid, primary_key=True),
    sa.Column("week", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("spans", sa.LargeBinary, nullable=False),
)
"""When an owner is busy, a week a row, coalesced: what is asked of two hundred people at once is one query."""
invitation = sa.Table(
    "invitation",
    METADATA,
    sa.Column("meeting_id", sa.Uuid, primary_key=True),
    sa.Column("attendee_id", sa.Uuid, primary_key=True),
    sa.Column("organizer_id", sa.Uuid, nullable=False, index=True),
    sa.Column("uid", BinaryText, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("starts_at", sa.BigInteger, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False),
    sa.Column("recurs", sa.Boolean, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("invited_at", Moment, nullable=False),
    sa.Index("ix_invitation_attendee", "attendee_id", "answer", "starts_at"),
)
"""Which agent is invited to which meeting (the organizer's object), and what they have answered last."""
resource = sa.Table(
    "resource",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False, unique=True),
    sa.Column("ministry_id", sa.Uuid, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("seats", sa.Integer),
    sa.Column("created_at", Moment, nullable=False),
)
"""Rooms and equipment of a ministry. Whoever books one locks its row."""
booking = sa.Table(
    "booking",
    METADATA,
    sa.Column("resource_id", sa.ForeignKey(resource.c.id), primary_key=True),
    sa.Column("starts_at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False),
    sa.Column("event_id", sa.Uuid, nullable=False, index=True),
    sa.Column("booked_by", sa.Uuid, nullable=False),
    sa.Column("axis_start", sa.BigInteger, nullable=False),
    sa.Column("axis_end", sa.BigInteger, nullable=False),
)
"""`axis_*`: all resources on one axis, each on its own stretch, so that PostgreSQL excludes overlaps without an extension."""
departure = sa.Table(
    "departure",
    METADATA,
    sa.Column("agent_id", sa.Uuid, primary_key=True),
    sa.Column("left_at", Moment),
    sa.Column("meetings", sa.Text, nullable=False),
    sa.Column("to_id", sa.Uuid),
    sa.Column("settled_at", Moment),
)
"""What becomes of the meetings of an agent who leaves, or has left."""
privacy = sa.Table(
    "privacy",
    METADATA,
    sa.Column("owner_id", sa.Uuid, primary_key=True),
    sa.Column("grantee_id", sa.Uuid, primary_key=True),
    sa.Column("level", sa.Text, nullable=False),
    sa.Index("ix_privacy_grantee_id", "grantee_id", "owner_id"),
)
"""How much of an owner's agendas somebody may know; who is not named here sees when they are busy."""
