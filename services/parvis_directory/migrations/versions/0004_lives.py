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


def downgrade() -> None:
    for table in ("departure_step", "departure"):
        op.drop_table(table, schema="directory")
