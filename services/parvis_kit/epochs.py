"""Numbers of changes that clients remember: each restore of the database begins an epoch of them, so that old ones are recognized.

A number is an epoch and a count. Were numbers simply counted on after a restore, a client that remembers one of the time that is lost
would be told nothing of what is new until the count has passed it.
"""

from datetime import UTC, datetime

EPOCH = 2**31
"""Changes of one epoch. With 22 bits above, numbers stay exact in JavaScript until 2033."""
FIRST_MINUTE = datetime(2026, 1, 1, tzinfo=UTC)


def epoch_of(number: int) -> int:
    return number // EPOCH


def next_epoch(number: int, now: datetime) -> int:
    """After that of this number, the highest there is. By the clock: a database that is restored twice to the same moment has two."""
    return max(epoch_of(number) + 1, int((now - FIRST_MINUTE).total_seconds() // 60))
