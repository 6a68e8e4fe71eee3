"""The log, the audit, the copy of the directory, and welcomes."""

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import Moment
from parvis_roster.migrations import create_service_tables, drop_service_tables

revision, down_revision = "0001", None


def upgrade() -> None:
    create_service_tables(op, "billing")
    op.create_table(
        "welcome",
        sa.Column("agent_id", sa.Uuid, primary_key=True),
        sa.Column("prepared_at", Moment, nullable=False),
        schema="billing",
    )


def downgrade() -> None:
    op.drop_table("welcome", schema="billing")
    drop_service_tables(op, "billing")
