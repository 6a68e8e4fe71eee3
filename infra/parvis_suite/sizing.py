"""How large an installation is for so many agents, and what running it costs: the page docs/reference/sizing.md."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).with_suffix(".toml")
POPULATIONS = (10_000, 100_000, 1_000_000)
SERVICES = ("directory", "files", "calendar", "messaging", "billing", "portal")
SERVERS = ("proxy", "postgres", "kafka", "seaweedfs", "synapse", "prometheus")
PROCESSES_MIN = 2
"""Of each service: one may be restarted."""
PARTITIONS_MIN = 12
GB = 10**9


@dataclass(frozen=True, slots=True)
class Size:
    """Of an installation."""

    agents: int
    cores: Mapping[str, float]
    """At the peak and at the share of a core that is planned for, by process or server."""
    processes: Mapping[str, int]
    partitions: int
    facts_a_second: float
    memory_gb: float
    database_gb: float
    blobs_gb: float
    eur_a_year: Mapping[str, float]


def size_for(agents: int, figures: Mapping[str, Any]) -> Size:
    """`figures`: what sizing.toml holds."""
    day, assumed, price = figures["measured"], figures["assumed"], figures["price"]
    peak = agents * assumed["peak"] / (assumed["day_hours"] * 3600)
    asked = {name: peak * seconds / assumed["busy"] for name, seconds in day["cpu_seconds"].items()}
    processes = {name: max(PROCESSES_MIN, math.ceil(asked.get(name, 0.0))) for name in SERVICES}
    cores = {name: cores + processes.get(name, 1) * day["rest_cores"].get(name, 0.0) / assumed["busy"] for name, cores in asked.items()}
    memory_mb = sum(number * day["memory_mb"] for number in processes.values()) + sum(
        day["server_memory_mb"] * max(1.0, cores.get(name, 0.0)) for name in SERVERS
    )
    days = agents * assumed["working_days"]
    database = days * assumed["kept_years"] * day["database_bytes"] / GB
    blobs = days * assumed["kept_years"] * day["blob_bytes"] / GB
    yearly = {
        "cores and memory": 12 * sum(cores.values()) * price["core_month"]["eur"],
        "disks of the database": 12 * database * assumed["database_copies"] * price["disk_gb_month"]["eur"],
        "object storage": 12 * blobs * price["object_gb_month"]["eur"],
    }
    return Size(
        agents, cores, processes, max(PARTITIONS_MIN, *processes.values()), peak * day["facts"], memory_mb / 1000, database, blobs, yearly
    )


def page(figures: Mapping[str, Any] | None = None) -> str:
    """The body of the page."""
    found = figures or tomllib.loads(FIGURES.read_text())
    day, assumed = found["measured"], found["assumed"]
    sizes = [size_for(agents, found) for agents in POPULATIONS]
    seconds, rest = day["cpu_seconds"], day["rest_cores"]
    parts = [
        "An installation is sized by its agents' day: 140 polls, 6 lists, 4 uploads, 15 downloads, 3 calendar writes, 2 questions about "
        "availability and 5 messages. `make soak T=tests/suite/test_agent_day.py` plays it and prints what it costs here; its figures "
        "stand in `infra/parvis_suite/sizing.toml`, with what is assumed and what a core and a gigabyte cost. Change them, and this page "
        "with them.",
        f"## What a day costs\nMeasured on {day['date']}, {day['how']}: {sum(seconds.values()):.2f} s of CPU an agent over all processes "
        f"({ranked(seconds, 1, '.3f')}) beyond what they take at rest, {day['facts']:.0f} facts, {day['database_bytes'] / 1000:.0f} kB in "
        f"the database, {day['blob_bytes'] / 1000:.0f} kB of files, and {day['idle_bytes'] / 1e6:.2f} MB on the wire of one who does "
        f"nothing.\n\nWhat a process takes when nobody asks anything is no agent's: it is counted once for each process of a service, and "
        f"once for each server. In thousandths of a core: {ranked(rest, 1000, '.0f')}.",
        "## What is assumed\n" + "\n".join(f"- {words.format(**assumed)}" for words in ASSUMPTIONS),
        "## What follows\n" + table(sizes),
        "## What it costs\n"
        + "\n".join(f"- {one['title']}: {one['eur']:g} € ({one['source']})" for one in found["price"].values())
        + "\n\nThe agents' day runs Parvis; who operates it, the network, licences and support are cost items of their own, and most of "
        "what an agent costs ([how cost is computed](../cost.md)).",
    ]
    return "\n\n".join(parts) + "\n"


ASSUMPTIONS = (
    "the busiest hour has {peak:g} times the mean of the {day_hours:g} hours;",
    "a core is planned to be busy for {busy:.0%} of that hour, so that one zone may be lost;",
    "{working_days} working days a year, and {kept_years} year of files and rows counted (what is purged later costs less);",
    "the database is kept {database_copies} times: where it is used, a standby, a backup.",
)


def ranked(figures: Mapping[str, float], times: float, form: str) -> str:
    """The largest first."""
    return ", ".join(f"{name} {one * times:{form}}" for name, one in sorted(figures.items(), key=lambda each: -each[1]))


def table(sizes: Sequence[Size]) -> str:
    rows: list[tuple[str, list[str]]] = [
        ("facts a second, at the peak", [f"{one.facts_a_second:,.0f}" for one in sizes]),
        *((f"processes of {name}", [str(one.processes[name]) for one in sizes]) for name in SERVICES),
        ("partitions of a topic", [str(one.partitions) for one in sizes]),
        *((f"cores for {name}", [f"{one.cores[name]:,.1f}" for one in sizes]) for name in SERVERS if name in sizes[0].cores),
        ("cores in all", [f"{sum(one.cores.values()):,.0f}" for one in sizes]),
        ("memory of the processes, GB", [f"{one.memory_gb:,.0f}" for one in sizes]),
        ("database after a year, GB", [f"{one.database_gb:,.0f}" for one in sizes]),
        ("files after a year, GB", [f"{one.blobs_gb:,.0f}" for one in sizes]),
        *((f"€ a year: {name}", [f"{one.eur_a_year[name]:,.0f}" for one in sizes]) for name in sizes[0].eur_a_year),
        ("**€ an agent and year, to run Parvis**", [f"**{sum(one.eur_a_year.values()) / one.agents:.3f}**" for one in sizes]),
    ]
    head = "| | " + " | ".join(f"{one.agents:,} agents" for one in sizes) + " |\n|---|" + "---:|" * len(sizes)
    return "\n".join([head, *(f"| {name} | {' | '.join(values)} |" for name, values in rows)])
