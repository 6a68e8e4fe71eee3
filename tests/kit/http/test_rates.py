"""How often is too often, against a bucket that leaks before everyone's eyes."""

from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parvis_kit.http import Limiter, Rate, Request, Routes, limit_account, limit_client
from parvis_kit.problems import TooManyRequests

from .conftest import Open, Things


@dataclass
class Bucket:
    """The obvious way: what was taken, leaking by one each `every` ticks, and no more than `burst` may stand in it."""

    burst: int
    every: int
    level: Fraction = Fraction(0)
    at: int = 0

    def leak(self, now: int) -> None:
        self.level = max(Fraction(0), self.level - Fraction(now - self.at, self.every))
        self.at = now

    def take(self, now: int) -> bool:
        self.leak(now)
        if self.level + 1 > self.burst:
            return False
        self.level += 1
        return True

    def wait(self, now: int) -> Fraction:
        self.leak(now)
        return max(Fraction(0), (self.level + 1 - self.burst) * self.every)

    def give_back(self, now: int) -> None:
        self.leak(now)
        self.level = max(Fraction(0), self.level - 1)


@dataclass
class Watch:
    now: int = 1000

    def __call__(self) -> float:
        return self.now


STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["take", "give back"]), st.integers(0, 40)), max_size=60)


@given(burst=st.integers(1, 6), every=st.integers(1, 20), steps=STEPS)
def test_it_allows_what_a_leaking_bucket_allows_and_says_how_long_to_wait(
    burst: int, every: int, steps: list[tuple[str, str, int]]
) -> None:
    watch = Watch()
    limiter, buckets = Limiter(Rate(burst, every), watch), {key: Bucket(burst, every, at=watch.now) for key in "ab"}
    for key, act, later in steps:
        watch.now += later
        assert limiter.wait_seconds(key) == buckets[key].wait(watch.now)
        if act == "give back":
            limiter.give_back(key)
            buckets[key].give_back(watch.now)
            continue
        try:
            limiter.take(key)
            taken = True
        except TooManyRequests:
            taken = False
        assert taken == buckets[key].take(watch.now)


def test_who_waits_as_long_as_told_is_let_in() -> None:
    watch = Watch()
    limiter = Limiter(Rate(3, 7), watch)
    for _ in range(3):
        limiter.take("a")
    with pytest.raises(TooManyRequests) as refusal:
        limiter.take("a")
    wait = int(refusal.value.headers["Retry-After"])
    watch.now += wait - 1
    with pytest.raises(TooManyRequests):
        limiter.take("a")
    watch.now += 1
    limiter.take("a")


def test_it_remembers_no_more_keys_than_it_may_and_forgets_the_oldest() -> None:
    limiter = Limiter(Rate(1, 60), Watch(), keys_max=100)
    for number in range(1000):
        limiter.take(f"k{number}")
    assert len(limiter) == 100
    with pytest.raises(TooManyRequests):
        limiter.take("k999")
    limiter.take("k0")


def test_what_is_given_back_leaves_nothing_behind() -> None:
    limiter = Limiter(Rate(2, 60), Watch())
    limiter.take("a")
    limiter.give_back("a")
    limiter.give_back("never taken")
    assert len(limiter) == 0


@dataclass
class SignIn:
    """A door that counts attempts by address and by account."""

    limiters: tuple[Limiter, Limiter]
    routes: Routes = field(default_factory=lambda: Routes("signin", "1"))

    def __post_init__(self) -> None:
        @self.routes.post("/sign-in", problems=(TooManyRequests,))
        async def sign_in(request: Request) -> None:
            """Try."""
            limit_client(self.limiters[0], request)
            limit_account(self.limiters[1], request.headers["X-Account"])


async def test_too_many_attempts_are_answered_429_with_when_to_come_back(open_house: Open) -> None:
    watch = Watch()
    door = SignIn((Limiter(Rate(5, 10), watch), Limiter(Rate(2, 30), watch)))
    client = await open_house(Things((door.routes,), "signin"))

    async def attempt(account: str) -> tuple[int, str | None]:
        answer = await client.post("/sign-in", headers={"X-Account": account})
        return answer.status, answer.headers.get("Retry-After")

    assert [await attempt(account) for account in ("a@x", " A@X")] == [(204, None)] * 2
    assert await attempt("a@x") == (429, "30")
    assert [await attempt(account) for account in ("b", "c")] == [(204, None)] * 2
    assert await attempt("d") == (429, "10")
    watch.now += 10
    assert await attempt("d") == (204, None)
