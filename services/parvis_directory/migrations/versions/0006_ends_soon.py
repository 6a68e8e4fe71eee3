"""How many accounts a file of agents ends within a month, beside those that it closes now."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("onboarding", sa.Column("ends_soon", sa.Integer), schema="directory")


def downgrade() -> None:
    op.drop_column("onboarding", "ends_soon", schema="directory")
