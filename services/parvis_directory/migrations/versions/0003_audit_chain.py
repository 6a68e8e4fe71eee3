"""The audit is chained, a chain for each ministry."""

from alembic import op
from parvis_kit.audit.migrations import add_audit_chain, drop_audit_chain

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    add_audit_chain(op, "directory")


def downgrade() -> None:
    drop_audit_chain(op, "directory")
