"""How Parvis speaks to a Kafka: who it is, what it trusts, what counts as away, and how its library may complain."""

import asyncio
import logging
import ssl
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka.errors import KafkaError

from parvis_kit.events.ports import Gone
from parvis_kit.settings import Kafka, SettingsRefused

REQUEST_MILLISECONDS_MAX = 5_000
METADATA_MILLISECONDS = 60_000
CLOSE_SECONDS_MAX = 5.0
"""Of a connection that is given up: the next one is opened meanwhile by nobody."""
SAY_AGAIN_SECONDS = 30.0
"""A client that tries to connect says so several times a second."""


def options(kafka: Kafka, name: str) -> dict[str, Any]:
    """For every kind of client. Raises SettingsRefused when a password or a certificate cannot be read."""
    hush()
    return {
        "bootstrap_servers": [one.strip() for one in kafka.kafka_bootstrap_servers.split(",")],
        "client_id": f"parvis-{name}",
        "request_timeout_ms": REQUEST_MILLISECONDS_MAX,
        "metadata_max_age_ms": METADATA_MILLISECONDS,
        "security_protocol": kafka.kafka_security_protocol,
        "ssl_context": _trust(kafka) if kafka.kafka_security_protocol.endswith("SSL") else None,
        "sasl_mechanism": kafka.kafka_sasl_mechanism,
        "sasl_plain_username": kafka.kafka_username or None,
        "sasl_plain_password": kafka.kafka_password or None,
    }


def _trust(kafka: Kafka) -> ssl.SSLContext:
    """Whom we believe, and what we show of ourselves."""
    try:
        made = ssl.create_default_context(cafile=kafka.kafka_ca_file)
    except OSError as error:
        raise SettingsRefused(f"PARVIS_KAFKA_CA_FILE: {kafka.kafka_ca_file} holds no certificates that can be read: {error}") from None
    if kafka.kafka_certificate_file is not None:
        try:
            # The empty password is never asked for: a key that needs one is refused, where a terminal would be asked and wait for ever.
            made.load_cert_chain(kafka.kafka_certificate_file, kafka.kafka_key_file, password="")
        except OSError as error:
            what = f"PARVIS_KAFKA_CERTIFICATE_FILE, PARVIS_KAFKA_KEY_FILE: {kafka.kafka_certificate_file}, {kafka.kafka_key_file}"
            raise SettingsRefused(f"{what} are no certificate and its key without a password: {error}") from None
    return made


@contextmanager
def gone_when_away(doing: str) -> Iterator[None]:
    """Whatever Kafka or the line to it says may be tried again."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise Gone(f"{doing}: {str(error) or type(error).__name__}") from error


async def give_up(closing: Coroutine[Any, Any, object]) -> None:
    """Close what is no longer wanted, for a while at most and whatever it says.

    In a task of its own: aiokafka's consumer raises the cancellations of its own tasks when it stops in a bad moment, and whoever
    awaited it would take them for theirs and die.
    """
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.wait({task}, timeout=CLOSE_SECONDS_MAX)
    finally:
        task.cancel()
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


class OnceInAWhile(logging.Filter):
    """The same complaint of the same part is said again after half a minute, with how often it came meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return False
        complaint = record.name, str(record.msg)  # its template: what stands in it varies with the attempt
        now = time.monotonic()
        last, since = self.said.get(complaint, (float("-inf"), 0))
        if now - last < SAY_AGAIN_SECONDS:
            self.said[complaint] = last, since + 1
            return False
        self.said[complaint] = now, 0
        if since:
            record.msg, record.args = f"{record.getMessage()} (and {since} times more)", ()
        record.exc_info = None  # its own frames help nobody who runs Parvis
        return True


ONCE = OnceInAWhile()


def hush() -> None:
    """Let what aiokafka says be readable. A logger's filter does not hold for those below it, so each gets it."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "aiokafka":
            logging.getLogger(name).addFilter(ONCE)  # the same filter twice is one
