"""Agents are found by the words of their names."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op
from parvis_kit.db.text import BinaryText
from parvis_kit.text import words_of

revision, down_revision = "0007", "0006"
AT_ONCE, FIRST = 2_000, UUID(int=0)
NEXT = "SELECT id, ministry_id, given_name, family_name FROM directory.agent WHERE id > :after ORDER BY id LIMIT :limit"


def upgrade() -> None:
    words = op.create_table(
        "agent_word",
        sa.Column("ministry_id", sa.Uuid, primary_key=True),
        sa.Column("word", BinaryText, primary_key=True),
        sa.Column("agent_id", sa.Uuid, sa.ForeignKey("directory.agent.id"), primary_key=True, index=True),
        schema="directory",
    )
    asked = sa.text(NEXT).bindparams(sa.bindparam("after", type_=sa.Uuid)).columns(id=sa.Uuid, ministry_id=sa.Uuid)
    bind, last = op.get_bind(), FIRST
    while rows := bind.execute(asked, {"after": last, "limit": AT_ONCE}).all():
        op.bulk_insert(
            words,
            [
                {"ministry_id": row.ministry_id, "word": word, "agent_id": row.id}
                for row in rows
                for word in words_of(f"{row.given_name} {row.family_name}")
            ],
        )
        last = rows[-1].id


def downgrade() -> None:
    op.drop_table("agent_word", schema="directory")
