"""The tables of files."""

import sqlalchemy as sa
from parvis_kit.db import BinaryText, Moment, partial_index
from parvis_kit.idempotency import idempotency_table
from parvis_roster import service_metadata

METADATA = service_metadata("files")
idempotency_table(METADATA)
space = sa.Table(
    "space",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("ministry_id", sa.Uuid, nullable=False, index=True),
    sa.Column("owner_id", sa.Uuid, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("root_id", sa.Uuid, nullable=False),
    sa.Column("quota_bytes", sa.BigInteger),
    sa.Column("used_bytes", sa.BigInteger, nullable=False),
    sa.Column("reserved_bytes", sa.BigInteger, nullable=False),
    sa.Column("threshold", sa.Integer, nullable=False),
    sa.Column("change_id", sa.BigInteger, nullable=False),
    sa.Column("frozen_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
)
ministry_quota = sa.Table(
    "ministry_quota",
    METADATA,
    sa.Column("ministry_id", sa.Uuid, primary_key=True),
    sa.Column("quota_bytes", sa.BigInteger),
    sa.Column("used_bytes", sa.BigInteger, nullable=False),
    sa.Column("reserved_bytes", sa.BigInteger, nullable=False),
)
item = sa.Table(
    "item",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("space_id", sa.ForeignKey(space.c.id), nullable=False),
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
    sa.Index("ix_item_changes", "space_id", "change_id"),
    sa.Index("ix_item_parent_id", "parent_id"),
)
_live = item.c.trashed_at.is_(None)
partial_index("uq_item_name", item.c.parent_id, item.c.name, unique=True, where=_live)
partial_index("ix_item_list", item.c.parent_id, item.c.is_file, item.c.sort_key, item.c.id, where=_live)
partial_index("ix_item_trash", item.c.space_id, item.c.trashed_at, item.c.id, where=~_live)
partial_index("ix_item_purging", item.c.id, where=item.c.purging)
item_word = sa.Table(
    "item_word",
    METADATA,
    sa.Column("space_id", sa.Uuid, primary_key=True),
    sa.Column("word", BinaryText, primary_key=True),
    sa.Column("item_id", sa.ForeignKey(item.c.id), primary_key=True, index=True),
)
purged_item = sa.Table(
    "purged_item",
    METADATA,
    sa.Column("space_id", sa.Uuid, primary_key=True),
    sa.Column("change_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("item_id", sa.Uuid, nullable=False),
)
version = sa.Table(
    "version",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("item_id", sa.ForeignKey(item.c.id), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("blob_key", BinaryText, nullable=False, unique=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("stored_at", Moment, nullable=False),
    sa.Column("stored_by", sa.Uuid, nullable=False),
    sa.UniqueConstraint("item_id", "number"),
)
share = sa.Table(
    "share",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("item_id", sa.ForeignKey(item.c.id), nullable=False),
    sa.Column("grantee_kind", sa.Text, nullable=False),
    sa.Column("grantee_id", sa.Uuid, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("created_by", sa.Uuid, nullable=False),
    sa.UniqueConstraint("item_id", "grantee_kind", "grantee_id"),
    sa.Index("ix_share_grantee", "grantee_id", "id"),
)
upload = sa.Table(
    "upload",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("space_id", sa.ForeignKey(space.c.id), nullable=False, index=True),
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
    sa.Column("blob_key", BinaryText, nullable=False, unique=True),
    sa.Column("reference", sa.Text),
    sa.Column("part_bytes", sa.BigInteger),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("changed_at", Moment, nullable=False),
    sa.Index("ix_upload_agent", "agent_id", "id"),
)
_open = upload.c.state.in_(("intent", "uploading", "received", "scanning"))
partial_index("ix_upload_due", upload.c.deadline, where=_open)
partial_index("ix_upload_done", upload.c.changed_at, where=~_open)
orphan = sa.Table(
    "orphan",
    METADATA,
    sa.Column("blob_key", BinaryText, primary_key=True),
    sa.Column("marked_at", Moment, nullable=False, index=True),
)
"""Bytes that nothing refers to any more, on their way out."""
