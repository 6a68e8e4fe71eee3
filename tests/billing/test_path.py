"""From facts and invoices to what an agent costs a year: the whole walk."""

from .conftest import FOLDER, GB, State, day


async def test_facts_and_one_invoice_make_a_report_that_adds_up(state: State) -> None:
    await state.join("ada", "interieur", "finance")
    await state.join("bob", "ecologie")
    state.clock.now = day("2026-09-16")
    await state.store("a", "ada", "interieur", 3 * GB)
    await state.store("b", "bob", "ecologie", 1 * GB)
    await state.settle()
    await state.import_costs(FOLDER / "small.toml")
    await state.run("2026-09")
    status, report = await state.get("/api/billing/v1/report", by="ada")
    assert status == 200, report
    hosting, suite, complete = report["perimeters"]
    assert [one["total"]["total"]["cents"] for one in (hosting, suite, complete)] == [3000, 3000, 3000 + 8219]
    by_name = {line["name"]: line for line in hosting["lines"]}
    assert by_name["Ministère interieur"]["total"]["cents"] == 2250, "three quarters of the bytes, the same half of a month"
    assert by_name["Ministère ecologie"]["total"]["cents"] == 750
    figure = by_name["Ministère interieur"]["total"]
    assert (figure["least_cents"], figure["greatest_cents"]) == (1500, 2250)
    assert figure["per_provisioned"] == 12 * 2250 and figure["per_active"] == 12 * 2250
    assert all(one["total"]["total"]["cents"] == one["invoices_cents"] for one in report["perimeters"])
