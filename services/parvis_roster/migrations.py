"""The roster's tables as migrations make them: what is written here stays as it is, or old databases would differ from new ones.

A later change is a function of its own below, which every service calls from a migration of its own; `keeping.VERSION` then rises.
"""

from typing import Any

import sqlalchemy as sa
from parvis_kit.audit.migrations import create_audit_tables, drop_audit_tables
from parvis_kit.db import Json, Moment
from parvis_kit.events.migrations import create_log_tables, drop_log_tables

INDEXES = (
    ("agent", "ministry_id"),
    ("agent", "email"),
    ("team", "ministry_id"),
    ("team_member", "agent_id"),
    ("credential", "agent_id"),
    ("credential", "prefix"),
)
TABLES = ("signing_key", "credential", "team_member", "team", "agent", "ministry")


def create_service_tables(op: Any, service: str) -> None:
    """For the first migration of each service: what `service_metadata` holds, as it began."""
    create_log_tables(op, service)
    create_audit_tables(op, service)
    create_roster_tables(op, service)


def drop_service_tables(op: Any, service: str) -> None:
    """The way back of `create_service_tables`."""
    drop_roster_tables(op, service)
    drop_audit_tables(op, service)
    drop_log_tables(op, service)


def create_roster_tables(op: Any, service: str) -> None:
    """For the first migration of each service that keeps a copy: `create_roster_tables(op, "files")`."""
    op.create_table(
        "roster_ministry",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("siren", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("directorates", Json, nullable=False),
        schema=service,
    )
    op.create_table(
        "roster_agent",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("ministry_id", sa.Uuid, nullable=False),
        sa.Column("directorate_id", sa.Uuid),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("given_name", sa.Text, nullable=False),
        sa.Column("family_name", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("roles", Json, nullable=False),
        sa.Column("expires_at", Moment),
        schema=service,
    )
    op.create_table(
        "roster_team",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("ministry_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        schema=service,
    )
    op.create_table(
        "roster_team_member",
        sa.Column("team_id", sa.Uuid, primary_key=True),
        sa.Column("agent_id", sa.Uuid, primary_key=True),
        schema=service,
    )
    op.create_table(
        "roster_credential",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("agent_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("expires_at", Moment),
        schema=service,
    )
    op.create_table(
        "roster_signing_key",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("jwk", Json, nullable=False),
        sa.Column("not_after", Moment, nullable=False),
        schema=service,
    )
    for table, column in INDEXES:
        op.create_index(f"ix_roster_{table}_{column}", f"roster_{table}", [column], schema=service)


def drop_roster_tables(op: Any, service: str) -> None:
    """The way back of `create_roster_tables`."""
    for table in TABLES:
        op.drop_table(f"roster_{table}", schema=service)
