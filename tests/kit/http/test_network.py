"""Whose address counts: a header is believed from our own proxies alone."""

import pytest
from parvis_kit.http import Request, Routes, client_address, client_key
from parvis_kit.settings import Platform, SettingsRefused

from .conftest import Knock, Open, Things


async def ask(open_house: Open, *trusted: str) -> Knock:
    routes = Routes("who", "1")

    @routes.get("/who")
    async def who(request: Request) -> list[str]:
        """Who asks."""
        return [client_address(request), client_key(request)]

    return await open_house(Things((routes,), "who"), platform=Platform(access_log=False, trusted_proxies=trusted))


async def test_a_spoofed_address_changes_nothing(open_house: Open) -> None:
    client = await ask(open_house)
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        assert await (await client.get("/who", headers={name: "198.51.100.9"})).json() == ["127.0.0.1", "127.0.0.1"]
    elsewhere = await ask(open_house, "10.0.0.0/8")
    assert (await (await elsewhere.get("/who", headers={"X-Forwarded-For": "198.51.100.9"})).json())[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "header, client_seen",
    [
        ("198.51.100.9", "198.51.100.9"),
        ("1.1.1.1, 198.51.100.9", "198.51.100.9"),
        ("1.1.1.1, 198.51.100.9, 10.1.2.3", "198.51.100.9"),
        ("10.9.9.9, 10.1.2.3", "10.9.9.9"),
        ("198.51.100.9:4711", "198.51.100.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:198.51.100.9", "198.51.100.9"),
        ("1.1.1.1, unknown, 10.1.2.3", "10.1.2.3"),
        ("nonsense", "127.0.0.1"),
        ("", "127.0.0.1"),
        (", ".join(["1.1.1.1"] * 30 + ["10.0.0.1"] * 40), "10.0.0.1"),
    ],
)
async def test_behind_our_proxies_the_right_most_stranger_is_the_client(open_house: Open, header: str, client_seen: str) -> None:
    client = await ask(open_house, "127.0.0.0/8", "10.0.0.0/8")
    assert (await (await client.get("/who", headers={"X-Forwarded-For": header})).json())[0] == client_seen


async def test_a_client_cannot_hide_its_address_in_a_second_header(open_house: Open) -> None:
    client = await ask(open_house, "127.0.0.0/8")
    headers = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "198.51.100.9")]
    assert (await (await client.get("/who", headers=headers)).json())[0] == "198.51.100.9"


async def test_a_household_of_ipv6_counts_as_one(open_house: Open) -> None:
    client = await ask(open_house, "127.0.0.0/8")
    keys = {
        (await (await client.get("/who", headers={"X-Forwarded-For": address})).json())[1]
        for address in ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1")
    }
    assert keys == {"2001:db8:0:1::/64", "2001:db8:0:2::/64"}


async def test_a_network_that_is_none_is_refused_at_start(open_house: Open) -> None:
    with pytest.raises(SettingsRefused, match="PARVIS_TRUSTED_PROXIES"):
        await ask(open_house, "10.0.0.0/99")
