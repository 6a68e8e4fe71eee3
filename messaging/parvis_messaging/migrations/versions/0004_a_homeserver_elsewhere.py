"""Accounts that are kept on a homeserver elsewhere, and how far its rooms have been read."""

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import BinaryText, Moment

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for column in (sa.Column("ready_at", Moment), sa.Column("left_at", Moment)):
        op.add_column("account", column, schema="messaging")
    account = sa.table("account", sa.column("ready_at"), sa.column("created_at"), sa.column("agent_id"), schema="messaging")
    op.execute(sa.update(account).where(account.c.agent_id.is_not(None)).values(ready_at=account.c.created_at))
    op.add_column("link", sa.Column("heard_event", BinaryText), schema="messaging")
    op.add_column("posted", sa.Column("notice_id", sa.Uuid), schema="messaging")


def downgrade() -> None:
    op.drop_column("posted", "notice_id", schema="messaging")
    op.drop_column("link", "heard_event", schema="messaging")
    for column in ("left_at", "ready_at"):
        op.drop_column("account", column, schema="messaging")
