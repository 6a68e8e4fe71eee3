"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

A_MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class FrozenClock:
    """Called, it gives the present moment, as any clock does."""

    __slots__ = ("now",)

    def __init__(self, now: datetime = A_MONDAY) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float = 0, **more: float) -> datetime:
        """`advance(5)`, `advance(days=3)`, as timedelta counts. Returns the moment that it is then."""
        self.now += timedelta(seconds=seconds, **more)
        return self.now
