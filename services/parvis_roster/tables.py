"""The tables in which each service keeps its copy of the directory, in its own schema and migrations."""

from collections.abc import Mapping
from functools import cache

import sqlalchemy as sa
from parvis_kit.audit import audit_tables
from parvis_kit.db import Json, Moment, metadata_for
from parvis_kit.events import log_tables


def roster_tables(metadata: sa.MetaData) -> None:
    """Join the roster's tables to a service's metadata. Nothing may refer to them: they are computed anew when their version changes."""
    sa.Table(
        "roster_ministry",
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("siren", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("directorates", Json, nullable=False),
    )
    sa.Table(
        "roster_agent",
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("ministry_id", sa.Uuid, nullable=False, index=True),
        sa.Column("directorate_id", sa.Uuid),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False, index=True),
        sa.Column("given_name", sa.Text, nullable=False),
        sa.Column("family_name", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("roles", Json, nullable=False),
        sa.Column("expires_at", Moment),
    )
    sa.Table(
        "roster_team",
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("ministry_id", sa.Uuid, nullable=False, index=True),
        sa.Column("name", sa.Text, nullable=False),
    )
    sa.Table(
        "roster_team_member",
        metadata,
        sa.Column("team_id", sa.Uuid, primary_key=True),
        sa.Column("agent_id", sa.Uuid, primary_key=True, index=True),
    )
    sa.Table(
        "roster_credential",
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("agent_id", sa.Uuid, nullable=False, index=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False, index=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("expires_at", Moment),
    )
    sa.Table(
        "roster_signing_key",
        metadata,
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("jwk", Json, nullable=False),
        sa.Column("not_after", Moment, nullable=False),
    )


def service_metadata(service: str) -> sa.MetaData:
    """The tables that every service has, for its own to join: the log's, the audit's and the roster's."""
    metadata = metadata_for(service)
    log_tables(metadata)
    audit_tables(metadata)
    roster_tables(metadata)
    return metadata


@cache
def tables_of(service: str) -> Mapping[str, sa.Table]:
    """The roster's tables of a service, by name without their prefix; the very ones that its migrations make."""
    metadata = metadata_for(service)
    roster_tables(metadata)
    return {table.name.removeprefix("roster_"): table for table in metadata.tables.values()}
