"""How old the copy of the directory may be before it no longer says who is asking."""

from datetime import datetime, timedelta

from parvis_kit.clock import Clock
from parvis_kit.problems import Unavailable

COPY_AGE_MAX = timedelta(minutes=15)
"""A revoked agent may act for so long while the log is away; longer away, and nobody may."""
SET_BACK_MAX = timedelta(minutes=1)
"""Of the clock: one that was set back further would let a copy be young for as long again."""
RETRY_SECONDS = 30
LATE_SECONDS_MIN = 15
"""Facts take less than a second; of an age above this, whoever reads is told."""


class Freshness:
    """When the copy last had all that the log held. What waits in directory's outbox, the log does not hold: its alert sees that."""

    def __init__(self, clock: Clock, age_max: timedelta = COPY_AGE_MAX) -> None:
        self.clock, self.age_max = clock, age_max
        self.reached_end_at: datetime | None = None

    def reached_end(self) -> None:
        self.reached_end_at = self.clock()

    def is_complete(self) -> bool:
        """Whether it has caught up once since this process began: not ready before."""
        return self.reached_end_at is not None

    def late_seconds(self) -> int:
        """For how long nothing has come in, where that is worth telling; otherwise 0."""
        age = (self.clock() - self.reached_end_at).total_seconds() if self.reached_end_at is not None else 0
        return int(age) if age >= LATE_SECONDS_MIN else 0

    def check(self) -> None:
        """Raises Unavailable when the copy is too old to tell who was revoked."""
        if self.reached_end_at is None or not -SET_BACK_MAX <= self.clock() - self.reached_end_at <= self.age_max:
            raise Unavailable(
                "Facts of the directory have not come in for too long to know who is asking.", retry_after_seconds=RETRY_SECONDS
            )
