"""Those who wait for something to happen: long polls, woken by the rooms and accounts that they wait for."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LINE_OF_SIGHT = 64
"""Rooms of a waiter above which it is woken by any change: 4,000 waiters of 500 rooms each would take 200 MB."""
ANYTHING = "*"
LOOKING_MAX = 4
"""Of those who were woken, so many look at the database at once: a message in a large room wakes hundreds, and connections are ten."""


@dataclass(eq=False, slots=True)
class Waiter:
    """One long poll."""

    token_digest: str
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    keys: set[str] = field(default_factory=set)

    async def wait(self, seconds: float) -> bool:
        """Until it is woken, or for so long; whether it was woken."""
        try:
            async with asyncio.timeout(seconds):
                await self.woken.wait()
        except TimeoutError:
            return False
        self.woken.clear()
        return True


class Waiters:
    """Of this process. Changes made by another one are found by looking at the head of the stream."""

    def __init__(self) -> None:
        self.by_key: dict[str, set[Waiter]] = {}
        self.all: set[Waiter] = set()
        self.looking = asyncio.Semaphore(LOOKING_MAX)
        self.seen = 0
        """The last position of the stream that they were told of."""

    @contextmanager
    def waiting(self, token_digest: str) -> Iterator[Waiter]:
        waiter = Waiter(token_digest)
        self.all.add(waiter)
        try:
            yield waiter
        finally:
            self.all.discard(waiter)
            for key in waiter.keys:
                self.by_key[key].discard(waiter)
                if not self.by_key[key]:
                    del self.by_key[key]

    def look_at(self, waiter: Waiter, keys: Iterable[str]) -> None:
        """Wake it, too, when something happens there."""
        wanted = set(keys)
        if len(wanted) > LINE_OF_SIGHT:
            wanted = {ANYTHING}
        for key in wanted - waiter.keys:
            waiter.keys.add(key)
            self.by_key.setdefault(key, set()).add(waiter)

    def wake(self, position: int, *keys: str) -> None:
        self.seen = max(self.seen, position)
        for key in (*keys, ANYTHING):
            for waiter in self.by_key.get(key, ()):
                waiter.woken.set()

    def wake_all(self) -> None:
        for waiter in self.all:
            waiter.woken.set()
