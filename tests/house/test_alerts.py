"""Whoever is woken finds a page that says what to do, and an alert that is never tried is none."""

import re
from typing import Any

import pytest
import yaml

from .conftest import ROOT

PLACE = ROOT / "infra/prometheus"
FROM_OTHERS = re.compile(r"^(up|process_\w+)$")
"""Of Prometheus itself and of its client library."""


def rules() -> list[dict[str, Any]]:
    found = [yaml.safe_load(one.read_text()) for one in sorted(PLACE.glob("rules/*.yml"))]
    return [rule for one in found for group in one["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
CASES = [
    case
    for one in sorted(PLACE.glob("tests/*.yml"))
    for test in yaml.safe_load(one.read_text())["tests"]
    for case in test["alert_rule_test"]
]
KNOWN = set(re.findall(r"^\| `(parvis_\w+)` \|", (ROOT / "docs/reference/metrics.md").read_text(), re.MULTILINE))


def test_there_are_alerts_to_look_at() -> None:
    assert len(ALERTS) > 30


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_runbook_that_says_what_it_means_and_what_to_do(name: str) -> None:
    assert ALERTS[name]["annotations"]["runbook"] == f"docs/runbooks/{name}.md"
    page = (ROOT / f"docs/runbooks/{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    for title in ("## What it means", "## What to look at", "## What to do"):
        assert len(page.partition(f"{title}\n")[2].partition("\n## ")[0].strip()) > 30, f"{name}: {title}"
    assert f"[{name}]({name}.md)" in (ROOT / "docs/runbooks/README.md").read_text()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_seen_to_fire_and_to_be_still(name: str) -> None:
    mine = [bool(case["exp_alerts"]) for case in CASES if case["alertname"] == name]
    assert set(mine) == {True, False}


def test_a_page_belongs_to_an_alert() -> None:
    assert {one.stem for one in (ROOT / "docs/runbooks").glob("*.md")} == {*ALERTS, "README"}


def test_rules_speak_of_nothing_that_no_process_says() -> None:
    said = {name for rule in rules() for name in names_in(rule["expr"])}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    strange = {one for one in said - recorded if not FROM_OTHERS.match(one) and series_of(one) not in KNOWN}
    assert not strange


def names_in(expression: str) -> set[str]:
    """Of metrics: what stands outside strings and is named as ours or as others' are."""
    return set(re.findall(r"\b(parvis[:_][\w:]+|up\b|process_\w+)", re.sub(r'"[^"]*"', '""', expression)))


def series_of(name: str) -> str:
    """A histogram is known under its own name."""
    return re.sub(r"_(bucket|sum|count)$", "", name)
