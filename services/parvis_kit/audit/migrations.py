"""The audit's tables as migrations make them: what is written here stays as it is, or old databases would differ from new ones."""

from typing import Any

import sqlalchemy as sa

from parvis_kit.db.columns import Moment, Serial


def create_audit_tables(op: Any, service: str) -> None:
    """For the first migration of each service: `create_audit_tables(op, "files")`."""
    op.create_table(
        "audit",
        sa.Column("seq", Serial, primary_key=True),
        sa.Column("at", Moment, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        schema=service,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_about", "audit", ["about"], schema=service)
    _add_chain(op, service)


def add_audit_chain(op: Any, service: str) -> None:
    """For a service whose audit was made before it was chained. What is there already joins the suite's own chain.

    The index by time goes: a chain is read by position, and each act and each link paid for it.
    """
    op.drop_index("ix_audit_at", table_name="audit", schema=service)
    _add_chain(op, service)


def _add_chain(op: Any, service: str) -> None:
    for column in (
        sa.Column("ministry", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("reason", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("position", sa.BigInteger),
        sa.Column("salt", sa.LargeBinary),
        sa.Column("personal", sa.LargeBinary),
        sa.Column("hash", sa.LargeBinary),
    ):
        op.add_column("audit", column, schema=service)
    waits = sa.text("position IS NULL")
    chained = sa.text("position IS NOT NULL")
    op.create_index("ix_audit_waiting", "audit", ["seq"], schema=service, postgresql_where=waits, sqlite_where=waits)
    op.create_index(
        "ix_audit_chain", "audit", ["ministry", "position"], unique=True, schema=service, postgresql_where=chained, sqlite_where=chained
    )
    op.create_table(
        "audit_head",
        sa.Column("ministry", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("anchored", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("anchored_at", Moment),
        schema=service,
    )


def drop_audit_chain(op: Any, service: str) -> None:
    """The way back of `add_audit_chain`."""
    op.create_index("ix_audit_at", "audit", ["at"], schema=service)
    op.drop_table("audit_head", schema=service)
    op.drop_index("ix_audit_chain", table_name="audit", schema=service)
    op.drop_index("ix_audit_waiting", table_name="audit", schema=service)
    for column in ("hash", "personal", "salt", "position", "reason", "ministry"):
        op.drop_column("audit", column, schema=service)


def drop_audit_tables(op: Any, service: str) -> None:
    """The way back of `create_audit_tables`."""
    for table in ("audit_head", "audit"):
        op.drop_table(table, schema=service)
