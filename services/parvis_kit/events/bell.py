"""What wakes whoever waits for facts: within the process at once, from other processes through PostgreSQL, and a slow look anyway."""

import asyncio
from collections import Counter
from collections.abc import Collection

from parvis_kit.events.relay import Nap

IDLE_LOOK_SECONDS = 0.5


def outbox_of(service: str) -> str:
    """What rings when a service has facts for its relay to carry."""
    return f"{service}.outbox"


def log_of(service: str) -> str:
    """What rings when a service's log has grown."""
    return f"{service}.log"


class Bell:
    """Rings by name, of an outbox or of a log: `ring` when it has news, `wait` until one of those you look at has."""

    def __init__(self) -> None:
        self.rings: Counter[str] = Counter()
        self.waiting: dict[asyncio.Future[None], frozenset[str]] = {}
        self.to_tell: set[str] = set()
        self.has_news = asyncio.Event()

    def heard(self, names: Collection[str]) -> int:
        """How many times these have rung until now."""
        return sum(self.rings[name] for name in names)

    def ring(self, name: str) -> None:
        """Here, and soon in the other processes."""
        self.to_tell.add(name)
        self.has_news.set()
        self.ring_here(name)

    def ring_here(self, name: str) -> None:
        self.rings[name] += 1
        for future, names in self.waiting.items():
            if name in names and not future.done():
                future.set_result(None)

    async def wait(self, names: Collection[str], heard: int, seconds: float) -> None:
        """Until these have rung more than `heard` times, or the time is over: ask `heard` before looking, or a ring in between is lost."""
        if self.heard(names) > heard:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[future] = frozenset(names)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            pass
        finally:
            del self.waiting[future]


def nap_until_rung(bell: Bell, service: str) -> Nap:
    """Wait for a ring since the last nap, or half a second: what was published while the relay looked has rung before it naps."""
    names = {outbox_of(service)}
    heard = bell.heard(names)

    async def nap() -> None:
        nonlocal heard
        await bell.wait(names, heard, IDLE_LOOK_SECONDS)
        heard = bell.heard(names)

    return nap
