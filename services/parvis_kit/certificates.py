"""When the certificates end that others check: the front door's, those by which Kafka's own is checked, and ours for Kafka."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from prometheus_client import Gauge

from parvis_kit.settings import Platform

LOOK_SECONDS = 3600.0
ANSWER_SECONDS_MAX = 5.0
ENDS = Gauge(
    "parvis_certificate_expires_timestamp_seconds",
    "When a certificate ends: `public`, of PARVIS_PUBLIC_URL; `kafka-ca`, the nearest in PARVIS_KAFKA_CA_FILE; "
    "`kafka-client`, in PARVIS_KAFKA_CERTIFICATE_FILE.",
    ["name"],
)


async def ends_of(platform: Platform) -> dict[str, datetime]:
    """By name, of those that there are. Raises OSError or ValueError for one that cannot be read."""
    found = {}
    for name, file in (("kafka-ca", platform.kafka_ca_file), ("kafka-client", platform.kafka_certificate_file)):
        if file is not None:
            pem = await asyncio.to_thread(file.read_bytes)
            found[name] = min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(pem))
    door = urlsplit(platform.public_url)
    if door.scheme == "https" and door.hostname:
        address = (door.hostname, door.port or 443)
        shown = await asyncio.to_thread(ssl.get_server_certificate, address, timeout=ANSWER_SECONDS_MAX)
        found["public"] = x509.load_pem_x509_certificate(shown.encode()).not_valid_after_utc
    return found


async def watch(platform: Platform, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Tell, for as long as it runs. A door that does not answer is looked at again: others tell that it is shut."""
    while True:
        try:
            for name, at in (await ends_of(platform)).items():
                ENDS.labels(name).set(at.timestamp())
        except (OSError, ValueError):
            pass
        await sleep(LOOK_SECONDS)
