"""A service with two migrations, in a folder of its own, under the name that is asked for."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import asyncpg
import sqlalchemy as sa
from parvis_kit.db import Moment, Serial, metadata_for
from parvis_kit.db.migrations import Tree
from parvis_kit.events import log_tables

FIRST = """
    '''The log and the shelves.'''
    import sqlalchemy as sa
    from alembic import op
    from parvis_kit.events.migrations import create_log_tables, drop_log_tables
    revision, down_revision = "0001", None

    def upgrade() -> None:
        create_log_tables(op, "SERVICE")
        op.create_table("shelf", sa.Column("shelf_id", sa.Uuid, primary_key=True), schema="SERVICE")

    def downgrade() -> None:
        op.drop_table("shelf", schema="SERVICE")
        drop_log_tables(op, "SERVICE")
"""
SECOND = """
    '''Books.'''
    import sqlalchemy as sa
    from alembic import op
    from parvis_kit.db import Moment, Serial
    revision, down_revision = "0002", "0001"

    def upgrade() -> None:
        op.create_table(
            "book",
            sa.Column("number", Serial, primary_key=True),
            sa.Column("title", sa.Text, nullable=False),
            sa.Column("pages", sa.BigInteger, nullable=False),
            sa.Column("bought_at", Moment, nullable=False),
            sa.Column("shelf_id", sa.Uuid, sa.ForeignKey("SERVICE.shelf.shelf_id"), index=True),
            sa.UniqueConstraint("title"),
            sa.CheckConstraint("pages > 0", name="has_pages"),
            schema="SERVICE",
            sqlite_autoincrement=True,
        )

    def downgrade() -> None:
        op.drop_table("book", schema="SERVICE")
"""


def library(service: str) -> sa.MetaData:
    metadata = metadata_for(service)
    log_tables(metadata)
    sa.Table("shelf", metadata, sa.Column("shelf_id", sa.Uuid, primary_key=True))
    sa.Table(
        "book",
        metadata,
        sa.Column("number", Serial, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("pages", sa.BigInteger, nullable=False),
        sa.Column("bought_at", Moment, nullable=False),
        sa.Column("shelf_id", sa.Uuid, sa.ForeignKey(f"{service}.shelf.shelf_id"), index=True),
        sa.UniqueConstraint("title"),
        sa.CheckConstraint("pages > 0", name="has_pages"),
        sqlite_autoincrement=True,
    )
    return metadata


def planted(folder: Path, url_of: Callable[[str], str]) -> Callable[[str], Tree]:
    """What makes such a service below the folder."""

    def make(service: str) -> Tree:
        versions = folder / f"kept_{service}" / "migrations" / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        for number, text in (("0001", FIRST), ("0002", SECOND)):
            (versions / f"{number}.py").write_text(dedent(text).replace("SERVICE", service))
        return Tree(service, url_of(service), library(service), f"kept_{service}.migrations")

    return make


async def admin(url: str, *statements: str) -> None:
    conn = await asyncpg.connect(url)
    try:
        for statement in statements:
            await conn.execute(statement)
    finally:
        await conn.close()
