"""What may be told beyond finance: no figure about fewer than eleven agents, and none that gives one away by subtraction."""

from collections.abc import Mapping
from typing import TypeVar

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
