"""The log, the audit and the copy of the directory."""

from alembic import op
from parvis_roster.migrations import create_service_tables, drop_service_tables

revision, down_revision = "0001", None


def upgrade() -> None:
    create_service_tables(op, "messaging")


def downgrade() -> None:
    drop_service_tables(op, "messaging")
