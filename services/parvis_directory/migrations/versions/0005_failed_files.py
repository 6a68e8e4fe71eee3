"""A file of agents that keeps failing ends, and says why."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("onboarding", sa.Column("failures", sa.Integer), schema="directory")
    op.add_column("onboarding", sa.Column("failed_why", sa.Text), schema="directory")


def downgrade() -> None:
    op.drop_column("onboarding", "failed_why", schema="directory")
    op.drop_column("onboarding", "failures", schema="directory")
