"""Who guesses at app passwords by CalDAV is slowed, by account and by address; who has the right one never is."""

from base64 import b64encode

import pytest
from aiohttp import ClientSession, TCPConnector
from parvis_roster.asking import ACCOUNT_RATE, ADDRESS_RATE, WhoAsks

from .conftest import Desk

ELSEWHERE = "127.0.0.2"


@pytest.fixture(autouse=True)
def standing(desk: Desk) -> None:
    """Nothing is made good by waiting."""
    asking = desk.calendar.authenticate
    assert isinstance(asking, WhoAsks)
    asking.guard.by_account.monotonic = asking.guard.by_address.monotonic = lambda: 0.0


async def ask(desk: Desk, authorization: str, address: str = "127.0.0.1") -> tuple[int, str | None]:
    """As a phone does that looks for its agendas: status, and when to come back."""
    url = desk.client.make_url(desk.home())
    async with ClientSession(connector=TCPConnector(local_addr=(address, 0))) as phone:
        async with phone.request("PROPFIND", url, headers={"Authorization": authorization, "Depth": "0"}) as answer:
            return answer.status, answer.headers.get("Retry-After")


def guess(account: str) -> str:
    return "Basic " + b64encode(f"{account}@example.org:a-guess".encode()).decode()


async def test_an_account_is_guessed_at_a_few_times_and_the_others_go_on(desk: Desk) -> None:
    await desk.add("eve", "interieur")
    for _ in range(ACCOUNT_RATE.burst + 2):
        assert await ask(desk, desk.basic("ada")) == (207, None), "the right one is not counted"
    for _ in range(ACCOUNT_RATE.burst):
        assert (await ask(desk, guess("ada")))[0] == 401
    for authorization in (guess("ada"), guess("ADA"), desk.basic("ada")):
        assert await ask(desk, authorization) == (429, "60")
    assert (await ask(desk, desk.basic("ada"), ELSEWHERE))[0] == 429, "whoever guesses from many addresses guesses at one account"
    assert (await ask(desk, guess("nobody")))[0] == 401, "the address has some left"


async def test_an_address_that_guesses_is_slowed_and_the_right_one_comes_in_from_elsewhere(desk: Desk) -> None:
    for _ in range(ADDRESS_RATE.burst + 2):
        assert await ask(desk, desk.basic("ada")) == (207, None)
    for number in range(ADDRESS_RATE.burst):
        assert (await ask(desk, guess(f"agent{number}")))[0] == 401
    assert await ask(desk, guess("another")) == await ask(desk, desk.basic("ada")) == (429, "2")
    assert await ask(desk, desk.basic("ada"), ELSEWHERE) == (207, None)
