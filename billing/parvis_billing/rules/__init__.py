"""The words of cost: perimeters, populations, meters, who may read what; months, money and arithmetic lie beside, by subject."""

from dataclasses import dataclass
from uuid import UUID

from parvis_kit.problems import Forbidden

PERIMETERS = ("hosting", "suite", "complete")
"""What running Parvis costs; the sentence of the roadmap, against the target; with the network and overheads. Never mixed."""
POPULATIONS = ("provisioned", "active")
SEATS, ACTIVE = "seats", "active"
"""Meters of the month as a whole: an account that is enabled on its last day, and one that did something in it."""
STORAGE = "files.byte_seconds"
FILE_ACTIONS = "files.actions"
MEETINGS = "calendar.meetings"
MESSAGES = "messaging.messages"
QUALIFYING = frozenset({FILE_ACTIONS, MEETINGS, MESSAGES})
"""Meters whose use makes an agent active in a month; each service that comes adds its own. Signing in makes nobody active."""
UNKNOWN = UUID(int=0)
"""Where a ministry or an agent should be named and nobody can tell: what it costs stays visible as unallocated."""
FINANCE_ROLES = frozenset({"finance"})


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as far as rights go."""

    id: UUID
    ministry_id: UUID
    roles: frozenset[str]


def check_finance(asker: Asker) -> None:
    """Raises Forbidden."""
    if not asker.roles & FINANCE_ROLES:
        raise Forbidden("What ministries cost is for the role `finance`; your own figure is at /api/billing/v1/me.")


def check_may_simulate(asker: Asker, ministry_id: UUID) -> None:
    """Finance for all; administrators for their own ministry, so that they see the price before the act. Raises Forbidden."""
    if asker.roles & FINANCE_ROLES or ("ministry_administrator" in asker.roles and asker.ministry_id == ministry_id):
        return
    raise Forbidden("What more agents would cost is for the role `finance`, and for administrators of the ministry.")
