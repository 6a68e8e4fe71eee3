"""Who may do what: a role is a set of actions, and what one may do with an item is the union of one's roles there."""

from collections.abc import Iterable, Mapping
from typing import Literal

from parvis_kit.problems import Conflict, Forbidden, NotFound

Role = Literal["reader", "editor", "manager", "depositor"]
Action = Literal["see", "read", "create", "write", "trash", "share", "purge"]

READER: frozenset[Action] = frozenset({"see", "read"})
EDITOR: frozenset[Action] = READER | {"create", "write", "trash"}
MANAGER: frozenset[Action] = EDITOR | {"share", "purge"}
ROLES: Mapping[str, frozenset[Action]] = {
    "reader": READER,
    "editor": EDITOR,
    "manager": MANAGER,
    "depositor": frozenset({"create"}),
}
"""A depositor hands in and sees the receipts, nothing else; and hands in at the shared folder itself: this role is not inherited."""
NOT_INHERITED = "depositor"


class HoldsRestricted(Conflict):
    """A folder in it is restricted, and not to the caller: have it moved out, or whoever manages the space say `with_restricted`."""

    code = "holds-restricted"


def actions_of(roles: Iterable[str]) -> frozenset[Action]:
    return frozenset[Action]().union(*(ROLES[role] for role in roles))


def check_may(actions: frozenset[Action], need: Action, what: str) -> None:
    """Raises NotFound for who may do nothing, as for an item that is not there; Forbidden for who may do something else."""
    if not actions:
        raise NotFound(f"There is no {what}.")
    if need not in actions:
        raise Forbidden(f"You may {', '.join(sorted(actions))} here, and this needs {need}: ask whoever shared it with you.")
