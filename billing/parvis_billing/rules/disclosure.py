"""What may be told beyond finance: no figure about fewer than eleven agents, and none that gives one away by subtraction."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from parvis_billing.rules.report import Figure, Line, Perimeter, Report

AGENTS_SHOWN_MIN = 11
Cell = TypeVar("Cell")


def hidden_cells(agents: Mapping[Cell, int]) -> frozenset[Cell]:
    """Of the parts of a total that is told: those to hide.

    Cells under eleven agents (an empty one tells nothing of anybody) are hidden. If those together are under eleven still, or a
    single one, it could be counted from the total: the smallest of the others is hidden with them, until they cannot be told apart.
    """
    small = [cell for cell, number in agents.items() if 0 < number < AGENTS_SHOWN_MIN]
    if not small:
        return frozenset()
    hidden = list(small)
    others = sorted((cell for cell, number in agents.items() if number >= AGENTS_SHOWN_MIN), key=lambda cell: (agents[cell], str(cell)))
    while others and (len(hidden) < 2 or sum(agents[cell] for cell in hidden) < AGENTS_SHOWN_MIN):
        hidden.append(others.pop(0))
    return frozenset(hidden)


def disclosed(report: Report) -> Report:
    """The report for readers beyond finance: ministries of few agents are left out, and whoever one could subtract them from."""
    return replace(report, perimeters=[_disclosed(one, max(1, report.inhabited_months)) for one in report.perimeters])


def _disclosed(perimeter: Perimeter, months: int) -> Perimeter:
    few = hidden_cells({str(line.ministry_id): -(-line.provisioned_months // months) for line in perimeter.lines})
    inactive = hidden_cells({str(line.ministry_id): -(-line.active_months // months) for line in perimeter.lines})
    lines = [_without_active(line) if str(line.ministry_id) in inactive else line for line in perimeter.lines]
    total = perimeter.total
    if total.active_months < AGENTS_SHOWN_MIN * months:
        total = _without_active(total)
    if total.provisioned_months < AGENTS_SHOWN_MIN * months:
        total = _without_provisioned(total)
    return replace(perimeter, lines=[line for line in lines if str(line.ministry_id) not in few], total=total)


def _without_active(line: Line) -> Line:
    def hide(figure: Figure) -> Figure:
        return replace(figure, per_active=None, per_active_least=None, per_active_greatest=None)

    services = {name: hide(figure) for name, figure in line.services.items()}
    return replace(line, active_months=0, total=hide(line.total), services=services)


def _without_provisioned(line: Line) -> Line:
    """What is paid in all stays; what it makes of each of few agents does not."""

    def hide(figure: Figure) -> Figure:
        return replace(figure, per_provisioned=None, per_provisioned_least=None, per_provisioned_greatest=None)

    services = {name: hide(figure) for name, figure in line.services.items()}
    return replace(line, provisioned_months=0, total=hide(line.total), services=services)
