"""Who may ask what over HTTP, and what is answered to whom; wrong input is a problem that says what to do."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parvis_billing import actions
from parvis_billing.rules.disclosure import AGENTS_SHOWN_MIN, hidden_cells
from parvis_billing.store import ledger
from parvis_billing.sweeps import COST, TARGET, run_open_months, tell_figures
from parvis_kit.problems import Conflict
from parvis_kit.testing.databases import queries

from .conftest import FOLDER, GB, State, day

ROOT = Path(__file__).resolve().parents[2]
API = "/api/billing/v1"


@pytest.fixture
async def town(state: State) -> State:
    """Twelve agents in one ministry, two in the other; September is over and was run."""
    await state.join("ada", "interieur", "finance")
    await state.join("adm", "interieur", "ministry_administrator")
    await state.join("eve", "ecologie", "ministry_administrator")
    await state.join("oli", "ecologie", "operator")
    for number in range(10):
        await state.join(f"agent{number}", "interieur")
    await state.store("a", "ada", "interieur", 3 * GB)
    await state.store("b", "eve", "ecologie", GB)
    await state.settle()
    await state.import_costs(FOLDER / "small.toml")
    state.clock.now = day("2026-10-05")
    await state.run("2026-09", "2026-10")
    return state


async def test_what_ministries_cost_is_for_finance_alone(town: State) -> None:
    for path in ("report", "periods", "items"):
        assert (await town.get(f"{API}/{path}", by="ada"))[0] == 200
        for who in ("adm", "eve", "oli", "agent1"):
            status, problem = await town.get(f"{API}/{path}", by=who)
            assert (status, problem["type"]) == (403, "urn:parvis:problem:forbidden") and "finance" in problem["detail"]


async def test_agents_see_their_own_figure_and_it_is_the_one_of_the_ledger(town: State) -> None:
    status, own = await town.get(f"{API}/me?month=2026-09", by="eve")
    assert status == 200 and own["agrees"] and own["agent_id"] == str(town.ids["eve"])
    assert own["micro_eur"]["hosting"] == 7_500_000
    [part] = own["parts"]
    assert sum(step["micro_eur"] for step in part["steps"] if "complete" in step["perimeters"]) == own["micro_eur"]["complete"]
    assert (await town.get(f"{API}/me?month=2025-01", by="eve"))[0] == 404


async def test_administrators_see_the_price_for_their_own_ministry_before_the_act(town: State) -> None:
    path = f"{API}/simulate?agents=12&ministry_id={town.ministries['interieur']}"
    status, found = await town.get(path, by="adm")
    assert status == 200 and found["provisioned_now"] == 12
    complete = found["perimeters"][2]
    assert complete["then_cents"] > complete["now_cents"] and complete["new_spending_cents"] == 0
    assert complete["then_least_cents"] <= complete["then_cents"] <= complete["then_greatest_cents"]
    assert (await town.get(path, by="ada"))[1] == found
    assert (await town.get(path, by="eve"))[0] == 403 and (await town.get(path, by="oli"))[0] == 403
    few = f"{API}/simulate?agents=1&ministry_id={town.ministries['ecologie']}"
    told = (await town.get(few, by="eve"))[1]
    assert told["provisioned_now"] < AGENTS_SHOWN_MIN and all(one["per_agent_cents"] is None for one in told["perimeters"])
    assert (await town.get(few, by="ada"))[1]["perimeters"][0]["per_agent_cents"] is not None


async def test_to_simulate_nobody_more_is_what_is(town: State) -> None:
    found = (await town.get(f"{API}/simulate?agents=0&ministry_id={town.ministries['interieur']}", by="ada"))[1]
    report = (await town.get(f"{API}/report?first=2026-09&last=2026-09", by="ada"))[1]
    for change, perimeter in zip(found["perimeters"], report["perimeters"], strict=True):
        [line] = [line for line in perimeter["lines"] if line["ministry_id"] == str(town.ministries["interieur"])]
        assert change["now_cents"] == change["then_cents"] == 12 * line["total"]["cents"]


WRONG = {
    422: (
        "report?first=2026-13", "report?first=x", "report?basis=nonsense", "report?first=2026-10&last=2026-01", "report?unknown=1",
        "report?first=2000-01&last=2199-12", "report?first=0001-01", "report?last=9999-12", "me?month=%00", "me?month=9999-99",
        "me?month=0000-01", "simulate", "simulate?agents=-1&ministry_id=1", "items?after=%27;--", "items?limit=0",
        "items?limit=99999999999999999999999",
    ),
    404: ("simulate?agents=1&ministry_id=00000000-0000-0000-0000-000000000000", "me?month=2025-01"),
}  # fmt: skip


async def test_wrong_input_is_a_problem_that_says_what_to_do(town: State) -> None:
    headers = {"Authorization": f"Bearer {await town.token('ada')}"}
    for status, paths in WRONG.items():
        for path in paths:
            async with town.client.get(f"{API}/{path}", headers=headers) as answer:
                problem = await answer.json(content_type=None)
                assert answer.status == status, (path, problem)
                assert problem["type"] and (problem.get("detail") or problem.get("errors")), path


async def test_items_come_page_by_page_with_their_sources(town: State) -> None:
    first = (await town.get(f"{API}/items?limit=1", by="ada"))[1]
    assert [one["id"] for one in first["items"]] == ["hosting-2026"] and first["next"] == "hosting-2026"
    assert first["items"][0]["file"] == "small.toml" and first["items"][0]["line"] == 14
    second = (await town.get(f"{API}/items?limit=1&after={first['next']}", by="ada"))[1]
    assert [one["id"] for one in second["items"]] == ["network-2026"]


async def test_a_report_asks_the_same_number_of_questions_however_many_months_it_holds(town: State) -> None:
    one, ten = await questions(town, "first=2026-09&last=2026-09"), await questions(town, "first=2026-01&last=2026-10")
    assert one == ten == 11


BENCHMARK = """
[[benchmark]]
id = "target"
title = "The target"
price = "{}"
per = "user and year"
currency = "EUR"
tax_basis = "unknown"
source = {{ title = "Roadmap", date = 2023-03-01, scope = "The suite" }}
"""


async def questions(town: State, asked: str) -> int:
    """How many a report takes, of those that read the ledger or what stands beside it."""
    token = await town.token("ada")
    with queries(town.billing.database) as sent:
        async with town.client.get(f"{API}/report?{asked}", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 200
    return len([one for one in sent if any(table in one for table in ("posting", "_month", "period", "cost_item", "benchmark"))])


async def test_a_report_that_was_asked_for_is_not_added_up_again_until_anything_it_says_has_changed(town: State, tmp_path: Path) -> None:
    month = "first=2026-10&last=2026-10"

    async def report() -> Any:
        return (await town.get(f"{API}/report?{month}", by="ada"))[1]

    assert await questions(town, month) > await questions(town, month) == 3
    before = await report()
    await town.store("more", "agent1", "interieur", 9 * GB)
    await town.settle()
    assert await report() == before, "the month was not run again"
    await town.run("2026-10")
    after = await report()
    assert after["perimeters"] != before["perimeters"]
    await town.rename("ecologie", "Transition écologique")
    await town.settle()
    assert "Transition écologique" in {line["name"] for line in (await report())["perimeters"][0]["lines"]}
    for price in ("50", "60"):
        (tmp_path / "benchmarks.toml").write_text(BENCHMARK.format(price))
        await town.import_costs(tmp_path / "benchmarks.toml")
        assert [one["price"] for one in (await report())["benchmarks"]] == [price]
    town.clock.now = day("2026-11-05")
    for over in ("2026-09", "2026-10"):
        assert (await report())["open_months"] == ["2026-10"]
        await actions.close(town.billing.database, over, who="ada", now=town.clock())
    assert (await report())["open_months"] == []


async def test_a_report_is_of_one_state_of_the_ledger_though_a_month_is_run_in_its_midst(
    town: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await town.join("new", "ecologie")
    await town.store("more", "agent1", "interieur", 9 * GB)
    await town.settle()
    read, path = ledger.postings_in, f"{API}/report?first=2026-10&last=2026-10"

    async def read_and_run(*asked: Any) -> Any:
        monkeypatch.setattr(ledger, "postings_in", read)
        found = await read(*asked)
        await town.run("2026-10")
        return found

    before = await town.get(path, by="ada")
    await town.rename("ecologie", "Transition écologique")  # or it would be given out as it was kept
    await town.settle()
    monkeypatch.setattr(ledger, "postings_in", read_and_run)
    found = await town.get(path, by="ada")
    assert found != before and found == await town.get(f"{API}/report?first=2026-10", by="ada")


async def test_a_month_that_cannot_be_computed_keeps_no_other_one_from_it(town: State, monkeypatch: pytest.MonkeyPatch) -> None:
    months = await actions.months_to_run(town.billing.database, town.clock())
    tried, run = list[str](), actions.run

    async def fail_for_the_first_two(database: Any, month: str, *, now: Any) -> Any:
        tried.append(month)
        if month in months[:2]:
            raise {months[0]: Conflict("closed meanwhile"), months[1]: RuntimeError("a row that nobody expected")}[month]
        return await run(database, month, now=now)

    monkeypatch.setattr(actions, "run", fail_for_the_first_two)
    await run_open_months(town.billing.database, town.clock)
    assert tried == months and len(months) > 2


async def test_prometheus_is_told_the_figures_and_nothing_about_few_agents(town: State) -> None:
    await run_open_months(town.billing.database, town.clock)
    await tell_figures(town.billing.database, 50)
    told = {tuple(sample.labels.values()): sample.value for metric in COST.collect() for sample in metric.samples}
    assert ("110068012", "provisioned", "suite") not in told, "two agents"
    assert ("110014016", "provisioned", "suite") not in told, "it could be subtracted from the total"
    assert told["all", "provisioned", "suite"] == 130.29, "all that was paid from January on"
    assert [sample.value for metric in TARGET.collect() for sample in metric.samples] == [50]


@given(st.dictionaries(st.integers(), st.integers(0, 60), max_size=8))
def test_no_cell_of_few_agents_is_told_and_none_can_be_subtracted(agents: dict[int, int]) -> None:
    hidden = hidden_cells(agents)
    shown = {cell: number for cell, number in agents.items() if cell not in hidden}
    assert all(number == 0 or number >= AGENTS_SHOWN_MIN for number in shown.values())
    inhabited = [number for cell, number in agents.items() if cell in hidden and number]
    if hidden and any(number >= AGENTS_SHOWN_MIN for number in shown.values()):
        assert len(inhabited) >= 2 and sum(inhabited) >= AGENTS_SHOWN_MIN, "what is left of the total is about several cells"
    if not any(0 < number < AGENTS_SHOWN_MIN for number in agents.values()):
        assert not hidden
