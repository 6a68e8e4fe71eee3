"""How often is too often: the generic cell rate algorithm, one moment remembered for each key."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from parvis_kit.http.network import client_key
from parvis_kit.problems import TooManyRequests

KEYS_MAX = 20_000
"""About 4 MB. The key that was asked for longest ago is forgotten first."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, then one each `every_seconds`."""

    burst: int
    every_seconds: float


class Limiter:
    """Counts what each key takes. `monotonic` gives seconds that never go back."""

    def __init__(self, rate: Rate, monotonic: Callable[[], float], keys_max: int = KEYS_MAX) -> None:
        self.rate, self.monotonic, self.keys_max = rate, monotonic, keys_max
        self._empty_at: OrderedDict[str, float] = OrderedDict()
        """When all that a key took will have been made good (the theoretical arrival time)."""

    def __len__(self) -> int:
        return len(self._empty_at)

    def wait_seconds(self, key: str) -> float:
        """How long until the key may take again; 0 when it may now."""
        tolerance = (self.rate.burst - 1) * self.rate.every_seconds
        return max(0.0, self._empty_at.get(key, 0.0) - tolerance - self.monotonic()) if key in self._empty_at else 0.0

    def take(self, key: str) -> None:
        """Count one. Raises TooManyRequests, counting nothing, when nothing is left."""
        if wait := self.wait_seconds(key):
            raise TooManyRequests("Too many attempts: come back later.", headers={"Retry-After": str(math.ceil(wait))})
        now = self.monotonic()
        self._empty_at[key] = max(self._empty_at.get(key, now), now) + self.rate.every_seconds
        self._empty_at.move_to_end(key)
        if len(self._empty_at) > self.keys_max:
            self._empty_at.popitem(last=False)

    def give_back(self, key: str) -> None:
        """Uncount one: what was taken before the attempt, which then was a good one."""
        if key not in self._empty_at:
            return
        self._empty_at[key] -= self.rate.every_seconds
        if self._empty_at[key] <= self.monotonic():
            del self._empty_at[key]


def limit_client(limiter: Limiter, request: web.Request) -> str:
    """Count one for the client's address; gives the key, for `give_back`."""
    key = client_key(request)
    limiter.take(key)
    return key


def limit_account(limiter: Limiter, account: str) -> str:
    """Count one for an account, whoever asks and however it is written; gives the key, for `give_back`."""
    key = account.strip().casefold()
    limiter.take(key)
    return key
