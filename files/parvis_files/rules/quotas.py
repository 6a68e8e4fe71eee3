"""How much a space and a ministry may hold; what is reserved counts as if it were there."""

from dataclasses import dataclass

from parvis_kit.problems import Problem

THRESHOLDS = (80, 90, 100)
"""Percent of a space's quota at which it is said that it was crossed."""


class QuotaExceeded(Problem):
    """There is no room left for what was asked: purge what nobody needs, or ask for more."""

    status, code = 507, "quota-exceeded"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the installation allows where nothing else was said of a space or a ministry."""

    personal_bytes: int
    shared_bytes: int
    ministry_bytes: int

    def of(self, kind: str) -> int:
        return self.personal_bytes if kind == "personal" else self.shared_bytes


@dataclass(slots=True)
class Quota:
    used_bytes: int
    """By what is stored: every version, what is in the trash too."""
    reserved_bytes: int
    """By uploads that have begun."""
    limit_bytes: int


def threshold_of(used_bytes: int, limit_bytes: int) -> int:
    """The highest threshold that so much has crossed; 0 below the first."""
    return max((percent for percent in THRESHOLDS if used_bytes * 100 >= percent * limit_bytes), default=0) if limit_bytes else 0
