"""What others have told that one may know of them: found by who may."""

from alembic import op

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    op.create_index("ix_privacy_grantee_id", "privacy", ["grantee_id"], schema="calendar")


def downgrade() -> None:
    op.drop_index("ix_privacy_grantee_id", table_name="privacy", schema="calendar")
