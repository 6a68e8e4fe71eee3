"""Onboarding from a file: its jobs, its lines, and the identifier that an agent has in their ministry."""

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import Json, Moment

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("agent", sa.Column("external_id", sa.Text(), nullable=True), schema="directory")
    op.create_index("uq_agent_external_id", "agent", ["ministry_id", "external_id"], unique=True, schema="directory")
    op.create_table(
        "onboarding",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ministry_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("confirmed_by", sa.Uuid(), nullable=True),
        sa.Column("confirmed_at", Moment, nullable=True),
        sa.Column("finished_at", Moment, nullable=True),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("separator", sa.Text(), nullable=False),
        sa.Column("titles", Json, nullable=False),
        sa.Column("ignored_columns", Json, nullable=False),
        sa.Column("new_directorates", Json, nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("previous_people", sa.Integer(), nullable=True),
        sa.Column("active_agents", sa.Integer(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("done_steps", sa.Integer(), nullable=False),
        sa.Column("plan", Json, nullable=False),
        sa.Column("done", Json, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", Moment, nullable=True),
        sa.ForeignKeyConstraint(["ministry_id"], ["directory.ministry.id"], name=op.f("fk_onboarding_ministry_id_ministry")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_onboarding")),
        schema="directory",
    )
    op.create_index("ix_onboarding_ministry_id", "onboarding", ["ministry_id", "id"], unique=False, schema="directory")
    op.create_table(
        "onboarding_line",
        sa.Column("onboarding_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("agent_id", sa.Uuid(), nullable=True),
        sa.Column("cells", Json, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["onboarding_id"], ["directory.onboarding.id"], name=op.f("fk_onboarding_line_onboarding_id_onboarding")),
        sa.PrimaryKeyConstraint("onboarding_id", "step", name=op.f("pk_onboarding_line")),
        schema="directory",
    )


def downgrade() -> None:
    op.drop_table("onboarding_line", schema="directory")
    op.drop_index("ix_onboarding_ministry_id", table_name="onboarding", schema="directory")
    op.drop_table("onboarding", schema="directory")
    op.drop_index("uq_agent_external_id", table_name="agent", schema="directory")
    op.drop_column("agent", "external_id", schema="directory")
