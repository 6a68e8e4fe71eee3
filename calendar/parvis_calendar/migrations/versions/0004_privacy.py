"""How much of an owner's agendas others may know."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    op.create_table(
        "privacy",
        sa.Column("owner_id", sa.Uuid, primary_key=True),
        sa.Column("grantee_id", sa.Uuid, primary_key=True),
        sa.Column("level", sa.Text, nullable=False),
        schema="calendar",
    )


def downgrade() -> None:
    op.drop_table("privacy", schema="calendar")
