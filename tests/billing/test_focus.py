"""The ledger as FOCUS charges: whatever was paid, revised and corrected, billed costs are the invoices and effective ones the charges."""

import csv
import io
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parvis_billing import actions
from parvis_billing.rules import PERIMETERS, months
from parvis_billing.rules.cascade import Inputs, ItemMonth, cascade
from parvis_billing.rules.costs import CostItem
from parvis_billing.rules.focus import Ledger, as_csv, charges_of
from parvis_billing.rules.ledger import ItemRow, Period, PostingRow, RunRow, rows_of
from parvis_billing.store import costs

from .conftest import FOLDER, GB, State, day
from .test_cascade import KEYS, SECRET, SIRENS, uses
from .test_invariants import NAMES, NOW, of_kind

RUNS = (("2026-01", "2026-01"), ("2026-02", "2026-01"), ("2026-02", "2026-02"), ("2026-03", "2026-01"), ("2026-03", "2026-02"),
        ("2026-03", "2026-03"))  # fmt: skip
"""(booked, concerns): two months are corrected, one of them twice."""
PERIODS = ((date(2026, 1, 1), date(2026, 1, 31)), (date(2026, 1, 1), date(2027, 12, 31)), (date(2026, 2, 10), date(2026, 3, 5)),
           (date(2026, 3, 1), date(2026, 3, 31)))  # fmt: skip


@st.composite
def items(draw: st.DrawFn) -> CostItem:
    starts, ends = draw(st.sampled_from(PERIODS))
    amount = {"amount": str(draw(st.integers(-(10**4), 10**6)))} if draw(st.booleans()) else {"price": "p"}
    return CostItem.model_validate({
        **amount, "id": draw(st.sampled_from(["a", "b", "c"])), "title": "t", "tax_basis": "TTC", "starts": starts, "ends": ends,
        "services": draw(st.dictionaries(st.sampled_from(["files", "network"]), st.integers(1, 9), min_size=1)),
        "perimeters": draw(st.lists(st.sampled_from(PERIMETERS), min_size=1, unique=True)), "key": draw(st.sampled_from(sorted(KEYS))),
        "source": {"title": "t", "date": starts, "scope": "s"},
    })  # fmt: skip


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Each run finds the items as they stand then: changed, gone, come, in other perimeters, over another time."""
    rows: list[Any] = []
    kept: dict[tuple[str, int], CostItem] = {}
    for revision, (booked, concerns) in enumerate(RUNS, 1):
        if booked != concerns and draw(st.booleans()):
            continue
        found = []
        for item in draw(st.lists(items(), max_size=3, unique_by=lambda one: one.id)):
            kept[item.id, revision] = item
            if concerns in item.months:
                cents = item.cents_in(concerns) if item.price is None else draw(st.integers(0, 10**6))
                found.append(ItemMonth(item, revision, cents))
        inputs = Inputs(concerns, tuple(found), KEYS, draw(uses()), {}, SIRENS, SECRET)
        before = [one for one in of_kind(rows, PostingRow) if one.concerns == concerns]
        rows += rows_of(inputs, cascade(inputs), booked, before, ())
    return Ledger(of_kind(rows, PostingRow), of_kind(rows, RunRow), of_kind(rows, ItemRow), kept)


def invoiced(ledger: Ledger, perimeter: str, until: str) -> int:
    """All invoices as the books have them after a month: an invoice counts whole in the month where it begins."""
    total = 0
    for concerns in ("2026-01", "2026-02", "2026-03"):
        last = max((run.booked for run in ledger.runs if run.concerns == concerns and run.booked <= until), default=None)
        for row in ledger.items:
            item = ledger.kept[row.item_id, row.revision]
            if row.concerns == concerns and row.booked == last and perimeter in item.perimeters:
                if item.cents is None or len(item.months) == 1:
                    total += row.cents
                elif item.months[0] == concerns:
                    total += item.cents
    return total


@settings(max_examples=150, deadline=None)
@given(ledgers(), st.sampled_from(PERIMETERS))
def test_billed_costs_sum_to_the_invoices_and_effective_ones_to_the_charges(ledger: Ledger, perimeter: str) -> None:
    for month in ("2026-01", "2026-02", "2026-03"):
        charges = charges_of(ledger, perimeter, [month])
        posted = sum(one.cents for one in ledger.postings if one.booked == month and perimeter in one.perimeters.split())
        assert sum(one.effective_cents for one in charges) == posted
        before = invoiced(ledger, perimeter, months.before(month))
        assert sum(one.billed_cents for one in charges) == invoiced(ledger, perimeter, month) - before
        assert all(one.effective_cents == 0 and one.ministry_id is None for one in charges if one.is_purchase)


@settings(max_examples=50, deadline=None)
@given(ledgers(), st.sampled_from(PERIMETERS))
def test_months_exported_one_by_one_are_the_months_exported_together(ledger: Ledger, perimeter: str) -> None:
    within = ["2026-01", "2026-02", "2026-03"]
    whole = charges_of(ledger, perimeter, within)
    assert whole == [charge for month in within for charge in charges_of(ledger, perimeter, [month])]
    periods = [Period(month, "closed", 0, "", "", None, None, NOW) for month in within]
    check_form(as_csv(whole, perimeter, NAMES, periods))


MOMENT = re.compile(r"^\d{4}-\d\d-01T00:00:00Z$")
AMOUNT = re.compile(r"^-?\d+\.\d+$")
NEVER_NULL = (
    "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeDescription",
    "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceId", "InvoiceIssuerName",
    "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory",
)  # fmt: skip
"""As FOCUS 1.2 has them, and ChargeFrequency, InvoiceId and ServiceSubcategory, which its validator wants as well."""


def check_form(text: str) -> list[dict[str, str]]:
    """What the specification says of the form of each column."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    categories: dict[str, set[tuple[str, str]]] = {}
    for row in rows:
        assert all(row[name] for name in NEVER_NULL), row
        assert all(AMOUNT.match(row[name]) for name in ("BilledCost", "EffectiveCost", "ContractedCost", "ListCost", "PricingQuantity"))
        for name in ("BillingPeriod", "ChargePeriod"):
            assert MOMENT.match(row[f"{name}Start"]) and MOMENT.match(row[f"{name}End"]) and row[f"{name}Start"] < row[f"{name}End"]
        assert row["ChargeClass"] == ("" if row["BillingPeriodStart"] == row["ChargePeriodStart"] else "Correction")
        assert row["ChargeCategory"] != "Purchase" or (row["ChargeFrequency"], float(row["EffectiveCost"])) == ("One-Time", 0)
        assert float(row["BilledCost"]) == 0 or row["ProviderName"] == row["InvoiceIssuerName"], (
            "what a third party invoices is not billed here"
        )
        assert bool(row["SubAccountId"]) == bool(row["SubAccountName"]) == bool(row["SubAccountType"])
        categories.setdefault(row["ServiceName"], set()).add((row["ServiceCategory"], row["ServiceSubcategory"]))
    assert all(len(one) == 1 for one in categories.values()), "one category to a service"
    return rows


@pytest.fixture
async def corrected(state: State, tmp_path: Path) -> State:
    """September is closed, then its invoice comes out otherwise: October corrects it."""
    await state.join("ada", "interieur", "finance")
    await state.join("bob", "ecologie")
    await state.store("a", "ada", "interieur", 3 * GB)
    await state.settle()
    small = FOLDER / "small.toml"
    await state.import_costs(small)
    state.clock.now = day("2026-10-02")
    await state.settle()
    assert (await state.parvis("cost", "run", "2026-09")).exit_code == 0
    await actions.close(state.billing.database, "2026-09", who="test", now=state.clock())
    changed = tmp_path / "changed.toml"
    changed.write_text(re.sub(r'amount = "[0-9.]+"', 'amount = "7300.00"', small.read_text(), count=1))
    await state.import_costs(changed)
    await state.run("2026-10")
    return state


def cents(rows: list[dict[str, str]], column: str) -> int:
    return sum(round(float(row[column]) * 100) for row in rows)


async def test_finance_exports_what_was_booked_and_each_month_agrees_with_its_report(corrected: State, tmp_path: Path) -> None:
    written = tmp_path / "focus.csv"
    month = ("--from", "2026-10", "--to", "2026-10")
    done = await corrected.parvis("cost", "export", *month, "--perimeter", "suite", "--output", str(written))
    assert done.exit_code == 0 and re.search(r"wrote .*focus\.csv: \d+ charges", done.output), done.output
    rows = check_form(written.read_bytes().decode())
    assert {row["BillingPeriodStart"] for row in rows} == {"2026-10-01T00:00:00Z"}
    late = [row for row in rows if row["ChargeClass"] == "Correction"]
    assert late and all(row["ChargePeriodStart"] == "2026-09-01T00:00:00Z" for row in late)
    assert {row["x_BillingPeriodState"] for row in rows} == {"open"}
    status, report = await corrected.get("/api/billing/v1/report?first=2026-10&last=2026-10", by="ada")
    suite = next(one for one in report["perimeters"] if one["name"] == "suite")
    assert status == 200 and cents(rows, "EffectiveCost") == suite["invoices_cents"] == suite["total"]["total"]["cents"] != 0
    by_ministry = {line["siren"]: line["total"]["cents"] for line in suite["lines"]}
    for siren, total in by_ministry.items():
        assert cents([row for row in rows if row["SubAccountId"] == siren], "EffectiveCost") == total


async def test_an_invoice_for_months_is_billed_once_in_the_month_where_it_begins(state: State) -> None:
    await state.join("ada", "interieur", "finance")
    await state.settle()
    await state.import_costs(FOLDER / "small.toml")
    state.clock.now = day("2026-11-02")
    await state.settle()
    found = await actions.months_to_run(state.billing.database, state.clock())
    await state.run(*found)
    exported = await state.parvis("cost", "export", "--from", found[0], "--to", found[-1])
    rows = check_form(exported.output)
    bought = [row for row in rows if row["ChargeCategory"] == "Purchase"]
    assert bought and all(row["ChargePeriodStart"].startswith(found[0]) and not row["SubAccountId"] for row in bought)
    async with state.billing.database.read() as conn:
        paid = {item.id: item.cents for item, _ in await costs.items(conn) if item.cents is not None}
    for name, amount in paid.items():
        assert cents([row for row in rows if row["x_CostItemId"] == name], "BilledCost") == amount


async def test_what_cannot_be_exported_says_why(state: State) -> None:
    nothing = await state.parvis("cost", "export")
    assert nothing.exit_code != 0 and "No month was computed yet" in nothing.output
    wrong = await state.parvis("cost", "export", "--perimeter", "galaxy")
    assert wrong.exit_code == 2 and "'hosting', 'suite', 'complete'" in wrong.output
