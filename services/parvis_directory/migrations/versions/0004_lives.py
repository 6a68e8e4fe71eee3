"""Departures, planned moves, transfers between ministries, and domains."""

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import Json, Moment

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "departure",
        sa.Column("agent_id", sa.Uuid, sa.ForeignKey("directory.agent.id"), primary_key=True),
        sa.Column("left_at", Moment, nullable=False),
        sa.Column("settled_at", Moment),
        schema="directory",
    )
    op.create_table(
        "departure_step",
        sa.Column("agent_id", sa.Uuid, sa.ForeignKey("directory.agent.id"), primary_key=True),
        sa.Column("service", sa.Text, primary_key=True),
        sa.Column("done_at", Moment, nullable=False),
        sa.Column("what", Json, nullable=False),
        schema="directory",
    )
    op.add_column("ministry", sa.Column("closed_at", Moment), schema="directory")
    op.add_column("ministry", sa.Column("succeeded_by", sa.Uuid), schema="directory")
    op.add_column("directorate", sa.Column("succeeded_by", sa.Uuid), schema="directory")
    op.create_table(
        "planned_move",
        sa.Column("agent_id", sa.Uuid, sa.ForeignKey("directory.agent.id"), primary_key=True),
        sa.Column("ministry_id", sa.Uuid, sa.ForeignKey("directory.ministry.id"), nullable=False),
        sa.Column("directorate_id", sa.Uuid),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("asked_by", sa.Uuid, nullable=False),
        sa.Column("asked_at", Moment, nullable=False),
        sa.Column("refused", sa.Text),
        schema="directory",
    )
    op.create_index("ix_planned_move_day", "planned_move", ["day"], schema="directory")
    op.create_table(
        "transfer",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("from_ministry_id", sa.Uuid, sa.ForeignKey("directory.ministry.id"), nullable=False),
        sa.Column("to_ministry_id", sa.Uuid, sa.ForeignKey("directory.ministry.id"), nullable=False),
        sa.Column("directorate_ids", Json),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Uuid, nullable=False),
        sa.Column("asked_at", Moment, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("agents", sa.Integer, nullable=False),
        sa.Column("done_at", Moment),
        sa.Column("refused", sa.Text),
        schema="directory",
    )
    for column in ("from_ministry_id", "to_ministry_id"):
        op.create_index(f"ix_transfer_{column}", "transfer", [column], schema="directory")
    op.create_table(
        "domain",
        sa.Column("ministry_id", sa.Uuid, sa.ForeignKey("directory.ministry.id"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("asked_at", Moment, nullable=False),
        sa.Column("claimed_at", Moment),
        sa.Column("checked_at", Moment),
        sa.Column("missed", sa.Integer, nullable=False),
        schema="directory",
    )
    claimed = sa.text("claimed_at IS NOT NULL")
    op.create_index(
        "uq_domain_claimed", "domain", ["name"], unique=True, schema="directory", postgresql_where=claimed, sqlite_where=claimed
    )


def downgrade() -> None:
    for table in ("domain", "transfer", "planned_move"):
        op.drop_table(table, schema="directory")
    op.drop_column("directorate", "succeeded_by", schema="directory")
    for column in ("succeeded_by", "closed_at"):
        op.drop_column("ministry", column, schema="directory")
    for table in ("departure_step", "departure"):
        op.drop_table(table, schema="directory")
