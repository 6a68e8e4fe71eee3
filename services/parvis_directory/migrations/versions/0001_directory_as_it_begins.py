"""Directory as it begins."""

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import Json, Moment, Serial
from parvis_kit.db.text import BinaryText
from parvis_kit.events.migrations import create_log_tables, drop_log_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_log_tables(op, "directory")
    op.create_table(
        "audit",
        sa.Column("seq", Serial, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
        schema="directory",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_about"), "audit", ["about"], unique=False, schema="directory")
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False, schema="directory")
    op.create_table(
        "idempotency",
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("who", "key", name=op.f("pk_idempotency")),
        schema="directory",
    )
    op.create_index(op.f("ix_idempotency_at"), "idempotency", ["at"], unique=False, schema="directory")
    op.create_table(
        "ministry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("siren", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("app_passwords", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ministry")),
        sa.UniqueConstraint("siren", name=op.f("uq_ministry_siren")),
        schema="directory",
    )
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("jwk", Json, nullable=False),
        sa.Column("signs_from", Moment, nullable=False),
        sa.Column("not_after", Moment, nullable=False),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_key")),
        schema="directory",
    )
    op.create_table(
        "directorate",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ministry_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("siret", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["ministry_id"], ["directory.ministry.id"], name=op.f("fk_directorate_ministry_id_ministry")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_directorate")),
        sa.UniqueConstraint("ministry_id", "id", name="uq_directorate_of_ministry"),
        sa.UniqueConstraint("ministry_id", "name", name=op.f("uq_directorate_ministry_id_name")),
        schema="directory",
    )
    op.create_index(op.f("ix_directorate_ministry_id"), "directorate", ["ministry_id"], unique=False, schema="directory")
    op.create_table(
        "team",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ministry_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["ministry_id"], ["directory.ministry.id"], name=op.f("fk_team_ministry_id_ministry")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team")),
        schema="directory",
    )
    op.create_index("ix_team_ministry_id", "team", ["ministry_id", "id"], unique=False, schema="directory")
    op.create_table(
        "agent",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ministry_id", sa.Uuid(), nullable=False),
        sa.Column("directorate_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("email", BinaryText, nullable=False),
        sa.Column("given_name", sa.Text(), nullable=False),
        sa.Column("family_name", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("roles", Json, nullable=False),
        sa.Column("expires_at", Moment, nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["ministry_id", "directorate_id"],
            ["directory.directorate.ministry_id", "directory.directorate.id"],
            name="fk_agent_directorate",
        ),
        sa.ForeignKeyConstraint(["ministry_id"], ["directory.ministry.id"], name=op.f("fk_agent_ministry_id_ministry")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent")),
        sa.UniqueConstraint("email", name=op.f("uq_agent_email")),
        schema="directory",
    )
    op.create_index("ix_agent_ministry_id", "agent", ["ministry_id", "id"], unique=False, schema="directory")
    op.create_table(
        "app_password",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.Column("revoked_at", Moment, nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["directory.agent.id"], name=op.f("fk_app_password_agent_id_agent")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_password")),
        sa.UniqueConstraint("prefix", name=op.f("uq_app_password_prefix")),
        schema="directory",
    )
    op.create_index(op.f("ix_app_password_agent_id"), "app_password", ["agent_id"], unique=False, schema="directory")
    op.create_table(
        "session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("used_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.Column("revoked_at", Moment, nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["directory.agent.id"], name=op.f("fk_session_agent_id_agent")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("digest", name=op.f("uq_session_digest")),
        schema="directory",
    )
    op.create_index(op.f("ix_session_agent_id"), "session", ["agent_id"], unique=False, schema="directory")
    op.create_index(op.f("ix_session_expires_at"), "session", ["expires_at"], unique=False, schema="directory")
    op.create_table(
        "team_member",
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["directory.agent.id"], name=op.f("fk_team_member_agent_id_agent")),
        sa.ForeignKeyConstraint(["team_id"], ["directory.team.id"], name=op.f("fk_team_member_team_id_team")),
        sa.PrimaryKeyConstraint("team_id", "agent_id", name=op.f("pk_team_member")),
        schema="directory",
    )
    op.create_index(op.f("ix_team_member_agent_id"), "team_member", ["agent_id"], unique=False, schema="directory")


def downgrade() -> None:
    op.drop_index(op.f("ix_team_member_agent_id"), table_name="team_member", schema="directory")
    op.drop_table("team_member", schema="directory")
    op.drop_index(op.f("ix_session_expires_at"), table_name="session", schema="directory")
    op.drop_index(op.f("ix_session_agent_id"), table_name="session", schema="directory")
    op.drop_table("session", schema="directory")
    op.drop_index(op.f("ix_app_password_agent_id"), table_name="app_password", schema="directory")
    op.drop_table("app_password", schema="directory")
    op.drop_index("ix_agent_ministry_id", table_name="agent", schema="directory")
    op.drop_table("agent", schema="directory")
    op.drop_index("ix_team_ministry_id", table_name="team", schema="directory")
    op.drop_table("team", schema="directory")
    op.drop_index(op.f("ix_directorate_ministry_id"), table_name="directorate", schema="directory")
    op.drop_table("directorate", schema="directory")
    op.drop_table("signing_key", schema="directory")
    op.drop_table("ministry", schema="directory")
    op.drop_index(op.f("ix_idempotency_at"), table_name="idempotency", schema="directory")
    op.drop_table("idempotency", schema="directory")
    op.drop_index(op.f("ix_audit_at"), table_name="audit", schema="directory")
    op.drop_index(op.f("ix_audit_about"), table_name="audit", schema="directory")
    op.drop_table("audit", schema="directory")
    drop_log_tables(op, "directory")
