"""How large an installation is: an agent's day is counted for each agent, and what a process takes at rest for each process."""

import tomllib

import pytest
from parvis_suite.sizing import FIGURES, PROCESSES_MIN, SERVICES, page, size_for

FOUND = tomllib.loads(FIGURES.read_text())
DAY, ASSUMED = FOUND["measured"], FOUND["assumed"]


@pytest.mark.parametrize("agents", [1, 10_000, 1_000_000])
def test_rest_is_counted_for_each_process_and_a_day_for_each_agent(agents: int) -> None:
    size = size_for(agents, FOUND)
    for name, seconds in DAY["cpu_seconds"].items():
        busiest = agents * seconds * ASSUMED["peak"] / ASSUMED["day_hours"] / 3600
        rest = DAY["rest_cores"].get(name, 0.0) * size.processes.get(name, 1)
        assert size.cores[name] * ASSUMED["busy"] == pytest.approx(busiest + rest), name


def test_nobody_s_day_costs_as_much_as_the_rest_of_an_installation() -> None:
    empty = size_for(0, FOUND)
    assert set(empty.processes.values()) == {PROCESSES_MIN} and set(empty.processes) == set(SERVICES)
    assert sum(empty.cores.values()) > 0 and empty.facts_a_second == 0


def test_an_agent_costs_less_where_there_are_more() -> None:
    few, many = (size_for(agents, FOUND) for agents in (10_000, 1_000_000))
    assert sum(few.eur_a_year.values()) / few.agents > sum(many.eur_a_year.values()) / many.agents


def test_what_is_at_rest_is_known_of_all_that_is_measured() -> None:
    assert set(DAY["rest_cores"]) == set(DAY["cpu_seconds"])
    assert "beyond what they take at rest" in page(FOUND)
