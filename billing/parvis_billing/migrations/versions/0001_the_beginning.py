"""Use as it is metered, costs as they are paid, and a ledger whose closed months nobody changes."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from parvis_kit.db import Json, Moment
from parvis_roster.migrations import create_service_tables, drop_service_tables

revision, down_revision = "0001", None
BOOKS = ("posting", "agent_month", "ministry_month", "item_month", "run")
TABLES = (
    *BOOKS, "late_month", "period", "pseudonym_secret", "benchmark", "price_version", "allocation_key", "cost_item", "imported_usage",
    "imported_file", "storage_day", "usage_day", "seat_state", "seat_change",
)  # fmt: skip


def table(name: str, *columns: "sa.Column[Any]") -> None:
    op.create_table(name, *columns, schema="billing")


def key(name: str, kind: Any) -> "sa.Column[Any]":
    return sa.Column(name, kind, primary_key=True)


def column(name: str, kind: Any) -> "sa.Column[Any]":
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    create_service_tables(op, "billing")
    _use()
    _costs()
    _books()
    for statement in guards(op.get_bind().dialect.name):
        op.execute(statement)


def _use() -> None:
    table(
        "seat_change", key("agent_id", sa.Uuid), key("at", Moment), key("what", sa.Text), sa.Column("ministry_id", sa.Uuid),
        sa.Column("kind", sa.Text),
    )  # fmt: skip
    table(
        "seat_state", key("agent_id", sa.Uuid), column("at", Moment), column("ministry_id", sa.Uuid), column("kind", sa.Text),
        column("is_enabled", sa.Boolean),
    )  # fmt: skip
    table("usage_day", key("day", sa.Date), key("agent_id", sa.Uuid), key("meter", sa.Text), column("quantity", sa.BigInteger))
    table(
        "storage_day", key("day", sa.Date), key("holder_id", sa.Uuid), column("is_personal", sa.Boolean),
        column("ministry_id", sa.Uuid), column("said_at", Moment),
        column("delta_bytes", sa.BigInteger), column("byte_seconds", sa.BigInteger),
    )  # fmt: skip
    table(
        "imported_file", key("id", sa.Uuid), column("kind", sa.Text), column("name", sa.Text), column("digest", sa.Text),
        column("at", Moment), column("who", sa.Text), column("lines", sa.Integer),
    )  # fmt: skip
    table(
        "imported_usage", key("month", sa.Text), key("meter", sa.Text), key("ministry_id", sa.Uuid), key("agent_id", sa.Uuid),
        column("quantity", sa.Text), column("file_id", sa.Uuid), column("line", sa.Integer), column("digest", sa.Text),
    )  # fmt: skip


def _costs() -> None:
    def provenance() -> tuple["sa.Column[Any]", ...]:
        return column("digest", sa.Text), column("file_id", sa.Uuid), column("line", sa.Integer), column("at", Moment)

    table(
        "cost_item", key("id", sa.Text), key("revision", sa.Integer), sa.Column("amount_cents", sa.BigInteger), column("starts", sa.Date),
        column("ends", sa.Date), column("content", Json), *provenance(),
    )  # fmt: skip
    table("allocation_key", key("id", sa.Text), key("revision", sa.Integer), column("content", Json), *provenance())
    table("price_version", key("id", sa.Text), key("valid_from", sa.Text), sa.Column("valid_until", sa.Text), column("content", Json),
        *provenance())  # fmt: skip
    table("benchmark", key("id", sa.Text), column("content", Json), *provenance())


def _books() -> None:
    def booked() -> tuple["sa.Column[Any]", "sa.Column[Any]"]:
        return key("booked", sa.Text), key("concerns", sa.Text)

    table("pseudonym_secret", key("year", sa.Integer), column("secret", sa.LargeBinary))
    table(
        "period", key("month", sa.Text), column("state", sa.Text), column("total_cents", sa.BigInteger), column("previous_hash", sa.Text),
        column("hash", sa.Text), sa.Column("run_id", sa.Uuid), sa.Column("closed_at", Moment), column("ran_at", Moment),
    )  # fmt: skip
    table("late_month", key("month", sa.Text), column("marks", sa.Integer))
    table(
        "run", *booked(), column("inputs_sha256", sa.Text), column("postings_sha256", sa.Text), column("keys", Json),
        column("sirens", Json), column("total_cents", sa.BigInteger),
    )  # fmt: skip
    table(
        "item_month", *booked(), key("item_id", sa.Text), column("revision", sa.Integer), column("cents", sa.BigInteger),
        column("price", sa.Text), column("quantity", sa.Text), column("digest", sa.Text),
    )  # fmt: skip
    table(
        "ministry_month", *booked(), key("ministry_id", sa.Uuid), column("seats", sa.Integer), column("active", sa.Integer),
        column("common", Json), column("digest", sa.Text),
    )  # fmt: skip
    table(
        "agent_month", *booked(), key("agent_id", sa.Uuid), key("ministry_id", sa.Uuid), column("kind", sa.Text),
        column("seat", sa.Integer), column("active", sa.Integer), column("use", Json), column("hosting_micro_eur", sa.BigInteger),
        column("suite_micro_eur", sa.BigInteger), column("complete_micro_eur", sa.BigInteger), column("digest", sa.Text),
    )  # fmt: skip
    table(
        "posting", *booked(), key("item_id", sa.Text), key("service", sa.Text), key("ministry_id", sa.Uuid), key("perimeters", sa.Text),
        column("revision", sa.Integer), column("cents", sa.BigInteger), column("computed_cents", sa.BigInteger), column("by_key", Json),
        column("how", Json), column("digest", sa.Text),
    )  # fmt: skip
    op.create_index("ix_agent_month_agent_id", "agent_month", ["agent_id", "concerns"], schema="billing")


# What a closed month holds is refused to everybody, this service included. The statements stay here as they are.
SAID = "a closed month is final: what comes late is booked as a correction in an open one"


def guards(dialect: str) -> Iterator[str]:
    """Triggers, each database its own."""
    yield from _guards_on_sqlite() if dialect == "sqlite" else _guards_on_postgresql()


def _guards_on_sqlite() -> Iterator[str]:
    def trigger(name: str, event: str, on: str, when: str) -> str:
        return f"CREATE TRIGGER billing.{name} BEFORE {event} ON {on} WHEN {when} BEGIN SELECT RAISE(ABORT, '{SAID}'); END"

    yield trigger("period_keep", "UPDATE", "period", "OLD.state = 'closed'")
    yield trigger("period_stay", "DELETE", "period", "OLD.state = 'closed'")
    for one in BOOKS:
        for event, rows in (("INSERT", ("NEW",)), ("UPDATE", ("OLD", "NEW")), ("DELETE", ("OLD",))):
            months = ", ".join(f"{row}.booked" for row in rows)
            when = f"EXISTS (SELECT 1 FROM period WHERE month IN ({months}) AND state = 'closed')"
            yield trigger(f"{one}_{event.lower()}", event, one, when)
    overlap = (
        "EXISTS (SELECT 1 FROM price_version WHERE id = NEW.id AND valid_from <> NEW.valid_from "
        "AND valid_from < coalesce(NEW.valid_until, '9999') AND NEW.valid_from < coalesce(valid_until, '9999'))"
    )
    for event in ("INSERT", "UPDATE"):
        yield (
            f"CREATE TRIGGER billing.price_version_{event.lower()} BEFORE {event} ON price_version WHEN {overlap} "
            "BEGIN SELECT RAISE(ABORT, 'versions of a price never overlap'); END"
        )


def _guards_on_postgresql() -> Iterator[str]:
    yield (
        "CREATE FUNCTION billing.keep_period() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF OLD.state = 'closed' THEN RAISE EXCEPTION '{SAID}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
        "RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END; END $$"
    )
    yield "CREATE TRIGGER period_keep BEFORE UPDATE OR DELETE ON billing.period FOR EACH ROW EXECUTE FUNCTION billing.keep_period()"
    yield (
        "CREATE FUNCTION billing.keep_books() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE found boolean; BEGIN "
        "IF TG_OP = 'INSERT' THEN found := EXISTS (SELECT 1 FROM billing.period WHERE month = NEW.booked AND state = 'closed'); "
        "ELSIF TG_OP = 'DELETE' THEN found := EXISTS (SELECT 1 FROM billing.period WHERE month = OLD.booked AND state = 'closed'); "
        "ELSE found := EXISTS (SELECT 1 FROM billing.period WHERE month IN (OLD.booked, NEW.booked) AND state = 'closed'); END IF; "
        f"IF found THEN RAISE EXCEPTION '{SAID}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
        "RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END; END $$"
    )
    yield (
        "CREATE FUNCTION billing.keep_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT 1 FROM billing.period WHERE state = 'closed') THEN "
        f"RAISE EXCEPTION '{SAID}' USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN NULL; END $$"
    )
    for one in BOOKS:
        yield (
            f"CREATE TRIGGER {one}_keep BEFORE INSERT OR UPDATE OR DELETE ON billing.{one} "
            "FOR EACH ROW EXECUTE FUNCTION billing.keep_books()"
        )
    for one in (*BOOKS, "period"):
        yield f"CREATE TRIGGER {one}_keep_all BEFORE TRUNCATE ON billing.{one} EXECUTE FUNCTION billing.keep_all()"
    yield (
        "CREATE FUNCTION billing.keep_apart() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT 1 FROM billing.price_version p WHERE p.id = NEW.id AND p.valid_from <> NEW.valid_from "
        "AND p.valid_from < coalesce(NEW.valid_until, '9999') AND NEW.valid_from < coalesce(p.valid_until, '9999')) THEN "
        "RAISE EXCEPTION 'versions of a price never overlap' USING ERRCODE = 'exclusion_violation'; END IF; RETURN NEW; END $$"
    )
    yield (
        "CREATE TRIGGER price_version_apart BEFORE INSERT OR UPDATE ON billing.price_version "
        "FOR EACH ROW EXECUTE FUNCTION billing.keep_apart()"
    )


def downgrade() -> None:
    for one in TABLES:
        op.drop_table(one, schema="billing")
    if op.get_bind().dialect.name == "postgresql":
        for one in ("keep_period", "keep_books", "keep_all", "keep_apart"):
            op.execute(f"DROP FUNCTION billing.{one}()")
    drop_service_tables(op, "billing")
