"""What others have told that one may know of them: found by who may."""

from alembic import op
from parvis_kit.db.migrations import add_index

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    add_index(op, "ix_privacy_grantee_id", "privacy", ["grantee_id", "owner_id"], schema="calendar")


def downgrade() -> None:
    op.drop_index("ix_privacy_grantee_id", table_name="privacy", schema="calendar")
