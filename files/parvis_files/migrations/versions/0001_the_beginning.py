"""The log, the audit, the copy of the directory; spaces, items, versions, shares and uploads."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import BinaryText, Moment
from parvis_roster.migrations import create_service_tables, drop_service_tables

revision, down_revision = "0001", None
TABLES = ("idempotency", "space", "ministry_quota", "item", "item_word", "purged_item", "version", "share", "upload", "orphan")


def where(condition: str) -> dict[str, Any]:
    """An index of some rows alone, on both databases."""
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    create_service_tables(op, "files")
    op.create_table(
        "idempotency",
        sa.Column("who", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("at", Moment, nullable=False),
        schema="files",
    )
    op.create_index("ix_idempotency_at", "idempotency", ["at"], schema="files")
    op.create_table(
        "space",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("ministry_id", sa.Uuid, nullable=False),
        sa.Column("owner_id", sa.Uuid),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("root_id", sa.Uuid, nullable=False),
        sa.Column("quota_bytes", sa.BigInteger),
        sa.Column("used_bytes", sa.BigInteger, nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger, nullable=False),
        sa.Column("threshold", sa.Integer, nullable=False),
        sa.Column("change_id", sa.BigInteger, nullable=False),
        sa.Column("frozen_at", Moment),
        sa.Column("created_at", Moment, nullable=False),
        sa.UniqueConstraint("owner_id", name="uq_space_owner_id"),
        schema="files",
    )
    op.create_index("ix_space_ministry_id", "space", ["ministry_id"], schema="files")
    op.create_table(
        "ministry_quota",
        sa.Column("ministry_id", sa.Uuid, primary_key=True),
        sa.Column("quota_bytes", sa.BigInteger),
        sa.Column("used_bytes", sa.BigInteger, nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger, nullable=False),
        schema="files",
    )
    op.create_table(
        "item",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("space_id", sa.Uuid, sa.ForeignKey("files.space.id", name="fk_item_space_id_space"), nullable=False),
        sa.Column("parent_id", sa.Uuid),
        sa.Column("is_file", sa.Boolean, nullable=False),
        sa.Column("name", BinaryText, nullable=False),
        sa.Column("restricted", sa.Boolean, nullable=False),
        sa.Column("version_id", sa.Uuid),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("media_type", sa.Text),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("change_id", sa.BigInteger, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("created_by", sa.Uuid),
        sa.Column("modified_at", Moment, nullable=False),
        sa.Column("modified_by", sa.Uuid),
        sa.Column("trashed_at", Moment),
        sa.Column("trashed_by", sa.Uuid),
        sa.Column("purging", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("sort_key", BinaryText, nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["files.item.id"], name="fk_item_parent_id_item"),
        schema="files",
    )
    op.create_index("ix_item_changes", "item", ["space_id", "change_id"], schema="files")
    op.create_index("ix_item_list", "item", ["parent_id", "is_file", "sort_key", "id"], **where("trashed_at IS NULL"), schema="files")
    op.create_index("ix_item_parent_id", "item", ["parent_id"], schema="files")
    op.create_index("ix_item_purging", "item", ["id"], **where("purging"), schema="files")
    op.create_index("ix_item_trash", "item", ["space_id", "trashed_at", "id"], **where("trashed_at IS NOT NULL"), schema="files")
    op.create_index("uq_item_name", "item", ["parent_id", "name"], unique=True, **where("trashed_at IS NULL"), schema="files")
    op.create_table(
        "item_word",
        sa.Column("space_id", sa.Uuid, primary_key=True),
        sa.Column("word", BinaryText, primary_key=True),
        sa.Column("item_id", sa.Uuid, sa.ForeignKey("files.item.id", name="fk_item_word_item_id_item"), primary_key=True),
        schema="files",
    )
    op.create_index("ix_item_word_item_id", "item_word", ["item_id"], schema="files")
    op.create_table(
        "purged_item",
        sa.Column("space_id", sa.Uuid, primary_key=True),
        sa.Column("change_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("item_id", sa.Uuid, nullable=False),
        schema="files",
    )
    op.create_table(
        "version",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("item_id", sa.Uuid, sa.ForeignKey("files.item.id", name="fk_version_item_id_item"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("blob_key", BinaryText, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("stored_at", Moment, nullable=False),
        sa.Column("stored_by", sa.Uuid, nullable=False),
        sa.UniqueConstraint("item_id", "number", name="uq_version_item_id_number"),
        sa.UniqueConstraint("blob_key", name="uq_version_blob_key"),
        schema="files",
    )
    op.create_table(
        "share",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("item_id", sa.Uuid, sa.ForeignKey("files.item.id", name="fk_share_item_id_item"), nullable=False),
        sa.Column("grantee_kind", sa.Text, nullable=False),
        sa.Column("grantee_id", sa.Uuid, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("created_by", sa.Uuid, nullable=False),
        sa.UniqueConstraint("item_id", "grantee_kind", "grantee_id", name="uq_share_item_id_grantee_kind_grantee_id"),
        schema="files",
    )
    op.create_index("ix_share_grantee", "share", ["grantee_id", "id"], schema="files")
    op.create_table(
        "upload",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("space_id", sa.Uuid, sa.ForeignKey("files.space.id", name="fk_upload_space_id_space"), nullable=False),
        sa.Column("parent_id", sa.Uuid, nullable=False),
        sa.Column("file_id", sa.Uuid),
        sa.Column("version_id", sa.Uuid),
        sa.Column("agent_id", sa.Uuid, nullable=False),
        sa.Column("ministry_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("deadline", Moment, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("conflict", sa.Text, nullable=False),
        sa.Column("blob_key", BinaryText, nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("part_bytes", sa.BigInteger),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("changed_at", Moment, nullable=False),
        sa.UniqueConstraint("blob_key", name="uq_upload_blob_key"),
        schema="files",
    )
    op.create_index("ix_upload_agent", "upload", ["agent_id", "id"], schema="files")
    op.create_index(
        "ix_upload_done",
        "upload",
        ["changed_at"],
        **where("(state NOT IN ('intent', 'uploading', 'received', 'scanning'))"),
        schema="files",
    )
    op.create_index(
        "ix_upload_due", "upload", ["deadline"], **where("state IN ('intent', 'uploading', 'received', 'scanning')"), schema="files"
    )
    op.create_index("ix_upload_space_id", "upload", ["space_id"], schema="files")
    op.create_table(
        "orphan",
        sa.Column("blob_key", BinaryText, primary_key=True),
        sa.Column("marked_at", Moment, nullable=False),
        schema="files",
    )
    op.create_index("ix_orphan_marked_at", "orphan", ["marked_at"], schema="files")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, schema="files")
    drop_service_tables(op, "files")
