"""Who is at the other end of the line: proxies are believed only where the operator says that they are ours."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

from parvis_kit.settings import SettingsRefused

Networks = tuple[IPv4Network | IPv6Network, ...]

TRUSTED: web.AppKey[Networks] = web.AppKey("TRUSTED")
HOPS_MAX = 20
"""More proxies than anyone has; beyond them X-Forwarded-For is not read."""
HOUSEHOLD_BITS = 64
"""One subscriber holds a /64 of IPv6: limits count it as one."""


def networks_of(texts: Iterable[str]) -> Networks:
    """Raises SettingsRefused."""
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise SettingsRefused(f"PARVIS_TRUSTED_PROXIES: {error}; write networks, as 10.0.0.0/8") from None


def client_address(request: web.BaseRequest, trusted: Networks | None = None) -> str:
    """The address of the right-most hop that is not a proxy of ours; empty when the transport has none."""
    networks = request.app[TRUSTED] if trusted is None and isinstance(request, web.Request) else trusted or ()
    peer = request.remote or ""
    if not networks or not _is_trusted(peer, networks):
        return peer
    hops = [hop.strip() for line in request.headers.getall("X-Forwarded-For", ()) for hop in line.split(",")]
    client = peer
    for hop in reversed(hops[-HOPS_MAX:]):
        address = read_address(hop)
        if address is None:
            break
        client = str(address)
        if not _is_trusted(client, networks):
            break
    return client


def client_key(request: web.Request) -> str:
    """What a limit counts by: the client's address, or the network that its household holds."""
    address = read_address(client_address(request))
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, HOUSEHOLD_BITS), strict=False))
    return str(address)


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it, with or without brackets and port; None when it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


@lru_cache(1024)
def _is_trusted(text: str, networks: Networks) -> bool:
    address = read_address(text)
    return address is not None and any(address in network for network in networks)
