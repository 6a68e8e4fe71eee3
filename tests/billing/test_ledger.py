"""A closed month is final: late facts become corrections, and whatever is changed behind its back is named."""

from typing import Any

import pytest
import sqlalchemy as sa
from parvis_billing import actions
from parvis_billing.queries.explanations import explain
from parvis_billing.queries.reports import report
from parvis_billing.queries.verification import verify
from parvis_billing.rules.report import Basis, Report
from parvis_billing.store import AGENT_MONTH, COST_ITEM, IMPORTED_USAGE, ITEM_MONTH, MINISTRY_MONTH, PERIOD, POSTING, RUN, STORAGE_DAY
from parvis_kit.audit import verify as audit_verify
from parvis_kit.audit.chain import chain_all
from parvis_kit.problems import Conflict, Invalid
from sqlalchemy.exc import IntegrityError

from .conftest import FOLDER, GB, State, day

BOOKS = (POSTING, AGENT_MONTH, MINISTRY_MONTH, ITEM_MONTH, RUN, PERIOD)


async def reported(state: State, basis: Basis, first: str = "2026-09", last: str = "2026-11") -> Report:
    async with state.billing.database.read() as conn:
        return await report(conn, first, last, basis, 50)


async def close(state: State, month: str) -> Any:
    return await actions.close(state.billing.database, month, who="test", now=state.clock())


async def wrong(state: State) -> list[str]:
    _, found = await verify(state.billing.database)
    return [f"{one.what}: {one.how}" for one in found]


@pytest.fixture
async def booked(state: State) -> State:
    """Two agents in two ministries; September closed, October run."""
    await state.join("ada", "interieur", "finance")
    await state.join("bob", "ecologie")
    await state.store("a", "ada", "interieur", 3 * GB)
    await state.store("b", "bob", "ecologie", 1 * GB)
    await state.settle()
    await state.import_costs(FOLDER / "small.toml")
    state.clock.now = day("2026-10-20")
    await state.run("2026-09", "2026-10")
    await close(state, "2026-09")
    return state


async def test_a_month_is_closed_after_its_end_in_order_and_once(state: State) -> None:
    await state.join("ada", "interieur")
    await state.settle()
    await state.import_costs(FOLDER / "small.toml")
    await state.run("2026-09")
    with pytest.raises(Invalid, match="2026-09 is not over"):
        await close(state, "2026-09")
    state.clock.now = day("2026-11-02")
    await state.run("2026-09", "2026-10")
    with pytest.raises(Conflict, match="2026-09 is still open"):
        await close(state, "2026-10")
    first = await close(state, "2026-09")
    assert await close(state, "2026-09") == first or (await close(state, "2026-09")).hash == first.hash
    await close(state, "2026-10")
    await state.settle()
    assert (await state.said("billing")).count("billing.period.closed.v1") == 2
    with pytest.raises(Conflict, match="2026-09 is closed"):
        await state.run("2026-09")


async def test_the_database_itself_refuses_to_change_a_closed_month(booked: State) -> None:
    for table in BOOKS:
        await refuses(booked, table)
    assert await wrong(booked) == []


async def refuses(booked: State, table: sa.Table) -> None:
    month = table.c.month if table is PERIOD else table.c.booked
    number = table.c.get("cents", table.c.get("total_cents", table.c.get("seats", table.c.get("seat"))))
    assert number is not None
    database = booked.billing.database
    changes: list[Any] = [sa.update(table).values({number.name: number + 1}), sa.delete(table)]
    if table is not PERIOD:
        changes.append(sa.update(table).values(booked="2026-10", concerns="2026-08"))
    for change in changes:
        with pytest.raises(sa.exc.DatabaseError, match="a closed month is final"):
            async with database.transaction() as tx:
                await tx.execute(change.where(month == "2026-09"))
    if table is not PERIOD:
        columns = [column for column in table.c if column.name != "concerns"]
        copy = sa.select(*columns, sa.literal("2026-07")).where(month == "2026-09")
        with pytest.raises(sa.exc.DatabaseError, match="a closed month is final"):
            async with database.transaction() as tx:
                await tx.execute(sa.insert(table).from_select([column.name for column in columns] + ["concerns"], copy))
    async with database.transaction() as tx:
        await tx.execute(sa.update(table).values({number.name: number}).where(month == "2026-10"))


async def test_a_late_invoice_is_a_correction_of_the_month_that_it_concerns(booked: State, tmp_path: Any) -> None:
    before = await reported(booked, "booked", "2026-09", "2026-09")
    file = tmp_path / "late.toml"
    file.write_text((FOLDER / "small.toml").read_text().replace('"365.00"', '"730.00"'))
    plan = await actions.plan_costs(booked.billing.database, file.read_bytes(), "late.toml")
    assert plan.late_months == ("2026-09",) and [step.id for step in plan.changes] == ["hosting-2026"]
    await booked.import_costs(file)
    await booked.run("2026-10")
    assert await reported(booked, "booked", "2026-09", "2026-09") == before, "what is closed is as it was"
    booked_october = (await reported(booked, "booked", "2026-10", "2026-10")).perimeters[0]
    assert booked_october.total.total.cents == 6200 + 3000 == booked_october.invoices_cents
    restated = await reported(booked, "restated")
    assert restated.perimeters[0].total.total.cents == 6000 + 6200 == restated.perimeters[0].invoices_cents
    only = (await reported(booked, "restated", "2026-09", "2026-09")).perimeters[0]
    assert only.total.total.cents == 6000 == only.invoices_cents
    async with booked.billing.database.read() as conn:
        explained = await explain(conn, booked.ids["ada"], "2026-09")
    assert explained.agrees and explained.micro_eur["hosting"] == 45_000_000
    assert [part.booked for part in explained.parts] == ["2026-09", "2026-10"]
    assert await wrong(booked) == []
    booked.clock.now = day("2026-11-03")
    await close(booked, "2026-10")
    await booked.run("2026-11")
    assert (await reported(booked, "booked", "2026-11", "2026-11")).perimeters[0].total.total.cents == 6000, "corrected once"
    assert await wrong(booked) == []


async def test_a_late_fact_is_a_correction_too_and_to_run_again_changes_nothing(booked: State) -> None:
    booked.clock.now = day("2026-09-01", 8)
    await booked.store("late", "bob", "ecologie", 2 * GB)
    await booked.settle()
    booked.clock.now = day("2026-10-20")
    for _ in range(2):
        await booked.run("2026-10")
        restated = (await reported(booked, "restated", "2026-09", "2026-09")).perimeters[0]
        assert {line.name[10:]: line.total.cents for line in restated.lines} == {"ecologie": 1500, "interieur": 1500}
        october = (await reported(booked, "booked", "2026-10", "2026-10")).perimeters[0]
        assert {line.name[10:]: line.total.cents for line in october.lines} == {"ecologie": 1550 + 750, "interieur": 1550 - 750}
    assert await wrong(booked) == []


async def unguarded(state: State, statement: Any) -> None:
    """As somebody would who owns the database: without the triggers."""
    database = state.billing.database
    async with database.transaction() as tx:
        if database.is_sqlite:
            names = await tx.execute(sa.text("SELECT name FROM billing.sqlite_master WHERE type = 'trigger'"))
            for name in names.scalars().all():
                await tx.execute(sa.text(f"DROP TRIGGER billing.{name}"))
        else:
            for table in BOOKS:
                await tx.execute(sa.text(f"ALTER TABLE billing.{table.name} DISABLE TRIGGER USER"))
        assert (await tx.execute(statement)).rowcount


SEPTEMBER = "2026-09"
TAMPERED = {
    "an invoice": (COST_ITEM, {"amount_cents": COST_ITEM.c.amount_cents + 1}, COST_ITEM.c.id == "network-2026", "cost item network-2026"),
    "a posting": (POSTING, {"cents": POSTING.c.cents + 1}, POSTING.c.booked == SEPTEMBER, "posting 2026-09: hosting-2026, files"),
    "a micro-euro": (
        AGENT_MONTH, {"suite_micro_eur": AGENT_MONTH.c.suite_micro_eur + 1}, AGENT_MONTH.c.booked == SEPTEMBER, "usage 2026-09: agent",
    ),
    "use": (AGENT_MONTH, {"use": {"files.byte_seconds": 5}}, AGENT_MONTH.c.booked == SEPTEMBER, "usage 2026-09: agent"),
    "a share of a month": (ITEM_MONTH, {"cents": ITEM_MONTH.c.cents + 1}, ITEM_MONTH.c.booked == SEPTEMBER, "cost item hosting-2026 in"),
    "seats": (MINISTRY_MONTH, {"seats": 7}, MINISTRY_MONTH.c.booked == SEPTEMBER, "usage 2026-09: ministry"),
    "an open month": (POSTING, {"cents": POSTING.c.cents + 1}, POSTING.c.booked == "2026-10", "posting 2026-10: hosting-2026, files"),
    "a total": (PERIOD, {"total_cents": PERIOD.c.total_cents + 1}, PERIOD.c.month == SEPTEMBER, "period 2026-09: its total is"),
    "a hash of postings": (RUN, {"postings_sha256": "0" * 64}, RUN.c.booked == SEPTEMBER, "run 2026-09: its postings"),
    "a hash of inputs": (RUN, {"inputs_sha256": "0" * 64}, RUN.c.booked == SEPTEMBER, "run 2026-09: what it was computed from"),
    "a hash of the chain": (PERIOD, {"hash": "0" * 64}, PERIOD.c.month == SEPTEMBER, "period 2026-09: its hash was overwritten"),
    "that it is closed": (PERIOD, {"state": "open"}, PERIOD.c.month == SEPTEMBER, "period 2026-09: was closed"),
    "what was metered": (STORAGE_DAY, {"byte_seconds": STORAGE_DAY.c.byte_seconds + 1}, sa.true(), "usage 2026-09: agent"),
}  # fmt: skip


async def test_whatever_is_changed_in_the_database_is_named(booked: State) -> None:
    await booked.run("2026-10")
    assert await wrong(booked) == []
    database = booked.billing.database
    for name, (table, values, which, said) in TAMPERED.items():
        async with database.read() as conn:
            before = [row._asdict() for row in await conn.execute(sa.select(table).where(which))]
        await unguarded(booked, sa.update(table).values(values).where(which))
        found = await wrong(booked)
        assert any(one.startswith(said) for one in found), (name, found)
        async with database.transaction() as tx:
            await tx.execute(sa.delete(table).where(which))
            await tx.execute(sa.insert(table), before)
        assert await wrong(booked) == [], name


async def test_a_digest_made_to_fit_does_not_hide_a_cent(booked: State) -> None:
    from dataclasses import replace

    from parvis_billing.rules.ledger import sealed
    from parvis_billing.store import ledger

    async with booked.billing.database.read() as conn:
        row = next(one for one in await ledger.postings(conn, SEPTEMBER, SEPTEMBER) if one.item_id == "hosting-2026")
    forged = sealed(replace(row, cents=row.cents + 1))
    mine = sa.and_(POSTING.c.booked == SEPTEMBER, POSTING.c.item_id == row.item_id, POSTING.c.ministry_id == row.ministry_id)
    await unguarded(booked, sa.update(POSTING).values(cents=forged.cents, digest=forged.digest).where(mine))
    found = await wrong(booked)
    assert any(f"cents is {forged.cents}, and {row.cents} follows" in one for one in found), found


async def test_imported_use_that_was_changed_is_named(booked: State, tmp_path: Any) -> None:
    raw = b"month,ministry,agent,meter,quantity\n2026-08,110014016,,mail.sent,12\n"
    plan = await actions.plan_usage(booked.billing.database, raw, "u.csv", now=booked.clock())
    async with booked.billing.database.transaction() as tx:
        await actions.keep_usage(tx, plan, who="test", now=booked.clock())
        await tx.execute(sa.update(IMPORTED_USAGE).values(quantity="13"))
    [found] = await wrong(booked)
    assert found.startswith("imported usage 2026-08: mail.sent") and "line 2" in found


async def test_the_audit_holds_the_hash_of_each_closing(booked: State) -> None:
    database = booked.billing.database
    await chain_all(database)
    verdict = await audit_verify.verify(database, "", ())
    assert verdict.broken is None and verdict.rows >= 2


async def test_versions_of_a_price_never_overlap_in_the_database_either(state: State, tmp_path: Any) -> None:
    from parvis_billing.store import PRICE_VERSION

    file = tmp_path / "price.toml"
    file.write_text(PRICE.format("2026-01", "0.02"))
    await state.import_costs(file)
    file.write_text(PRICE.format("2026-06", "0.03"))
    await state.import_costs(file)
    async with state.billing.database.read() as conn:
        rows = (await conn.execute(sa.select(PRICE_VERSION.c.valid_from, PRICE_VERSION.c.valid_until).order_by("valid_from"))).all()
    assert [tuple(row) for row in rows] == [("2026-01", "2026-06"), ("2026-06", None)]
    with pytest.raises((IntegrityError, sa.exc.DatabaseError), match="never overlap"):
        async with state.billing.database.transaction() as tx:
            await tx.execute(sa.update(PRICE_VERSION).values(valid_until=None))


PRICE = """
[[price]]
id = "storage"
title = "Object storage"
meter = "files.byte_seconds"
unit = "GB-month"
price = "{1}"
tax_basis = "HT"
valid_from = "{0}"
source = {{ title = "Price list", date = 2026-01-01, scope = "List price" }}
"""
