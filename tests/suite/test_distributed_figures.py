"""What operators look at: every panel of every dashboard has something to show of a suite that works, and says what it is."""

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .shape import Shape

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "infra/grafana/dashboards").glob("*.json"))
PANELS = [(one.stem, panel) for one in DASHBOARDS for panel in json.loads(one.read_text())["panels"]]
SECONDS_MAX = 150.0
"""Figures that need a look at the tables are renewed each minute, and a rate takes two scrapes."""
DOORS = (
    "/api/directory/v1/ministries", "/api/files/v1/spaces/personal", "/api/calendar/v1/calendars", "/api/messaging/v1/notices",
    "/api/billing/v1/me", "/",
)  # fmt: skip


class Prometheus:
    """The server of the shape, asked as Grafana asks it."""

    def __init__(self, shape: Shape) -> None:
        self.shape, self.base = shape, shape.address_of("prometheus")
        self.token = json.loads((shape.folder / "demo.json").read_text())["agents"][0]["token"]

    def ask(self, path: str, **parameters: str) -> Any:
        with urllib.request.urlopen(f"{self.base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def rows(self, query: str) -> list[Any]:
        """Of numbers: what is none is nothing to show."""
        return [one for one in self.ask("query", query=query)["result"] if one["value"][1] not in ("NaN", "+Inf")]

    def somebody_works(self) -> None:
        """Otherwise some panels have nothing to say, and rightly."""
        for door in DOORS:
            asked = urllib.request.Request(f"{self.shape.base}{door}", headers={"Authorization": f"Bearer {self.token}"})
            with urllib.request.urlopen(asked, timeout=30) as answer:
                assert answer.status == 200

    def wait(self, queries: list[str]) -> dict[str, list[Any]]:
        """What each query answers, once all answer something; otherwise what they answered last."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            self.somebody_works()
            found = {one: self.rows(one) for one in queries}
            if all(found.values()) or time.monotonic() > deadline:
                return found
            time.sleep(1)


@pytest.fixture(scope="module")
def prometheus(distributed: Shape) -> Prometheus:
    return Prometheus(distributed)


@pytest.fixture(scope="module")
def answers(prometheus: Prometheus) -> dict[str, list[Any]]:
    """All panels wait together."""
    return prometheus.wait([target["expr"] for _, panel in PANELS for target in panel["targets"]])


@pytest.fixture(scope="module")
def known(prometheus: Prometheus) -> dict[str, str]:
    """Series that are there, and what is said of them."""
    return {name: one[0]["help"] for name, one in prometheus.ask("metadata").items()}


def rules() -> Iterator[dict[str, Any]]:
    import yaml

    for one in (ROOT / "infra/prometheus/rules").glob("*.yml"):
        for group in yaml.safe_load(one.read_text())["groups"]:
            yield from group["rules"]


RECORDED = {one["record"]: one["expr"] for one in rules() if "record" in one}


def names_in(expression: str) -> set[str]:
    """Of the series that a query reads in the end, through what rules have recorded."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    found = set(re.findall(r"\b(parvis[_:][\w:]+|(?:process|python|haproxy|synapse|SeaweedFS|pg|kafka|jvm)_\w+|up\b)", bare))
    bases = {one for one in found if one not in RECORDED}
    return bases.union(*(names_in(RECORDED[one]) for one in found - bases))


def said_of(name: str, known: dict[str, str]) -> str:
    """A histogram is known under its own name, a counter under its own, or without its last word."""
    return known.get(name) or known.get(re.sub(r"_(bucket|sum|count|total)$", "", name), "")


@pytest.mark.parametrize("dashboard, panel", PANELS, ids=[f"{name}: {panel['title']}" for name, panel in PANELS])
def test_a_panel_shows_something_and_what_it_shows_is_said(
    answers: dict[str, list[Any]], known: dict[str, str], dashboard: str, panel: dict[str, Any]
) -> None:
    for target in panel["targets"]:
        assert answers[target["expr"]], f"nothing to show of {target['expr']}"
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert all(label in one["metric"] for one in answers[target["expr"]]), f"{label} is no label of {target['expr']}"
        for name in names_in(target["expr"]) - {"up"}:
            assert said_of(name, known), f"{name} is unknown, or nobody says what it is"


def test_every_figure_of_ours_says_what_it_is(known: dict[str, str]) -> None:
    ours = {name: said for name, said in known.items() if name.startswith("parvis_")}
    assert len(ours) > 50 and all(len(said) > 20 for said in ours.values()), [name for name, said in ours.items() if len(said) <= 20]


def test_every_process_is_scraped_each_worker_by_itself(prometheus: Prometheus, answers: dict[str, list[Any]]) -> None:
    up = {one["metric"]["process"] for one in prometheus.rows("up == 1")}
    workers = {"files-1", "files-2", "calendar-1", "calendar-2"}
    single = {"directory", "messaging", "billing", "portal", "proxy", "prometheus", "synapse", "seaweedfs", "kafka", "postgres_exporter"}
    assert workers | {f"{one}-1" for one in single} == up
    leaders = prometheus.rows("sum by (service) (parvis_relay_leader)")
    assert {(one["metric"]["service"], one["value"][1]) for one in leaders} >= {("files", "1"), ("calendar", "1")}, "one, of two workers"


def test_what_alerts_ask_of_servers_is_said(known: dict[str, str]) -> None:
    """Of ours `tests/house` knows; what others are asked for, they must say under this name in this version."""
    asked = {name for one in rules() if "alert" in one for name in names_in(one["expr"]) if name.startswith(("pg_", "kafka_"))}
    assert len(asked) > 5 and not [one for one in asked if not said_of(one, known)]


def test_every_rule_can_be_judged(prometheus: Prometheus) -> None:
    groups = prometheus.ask("rules")["groups"]
    judged = [rule for group in groups for rule in group["rules"]]
    assert len(judged) > 60 and not [rule["name"] for rule in judged if rule["health"] == "err"]


def test_the_dashboards_are_what_their_source_says() -> None:
    said = subprocess.run([sys.executable, "infra/grafana/make.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, ""), said.stdout + said.stderr


async def test_a_panel_without_a_figure_would_be_found(prometheus: Prometheus, known: dict[str, str]) -> None:
    assert await asyncio.to_thread(prometheus.rows, "parvis_nothing_of_the_kind") == []
    assert "parvis_nothing_of_the_kind" not in known
