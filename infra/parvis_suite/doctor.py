"""What may be wrong with an installation, looked at one by one, each with what to do."""

import os
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPConnection, HTTPException

import sqlalchemy as sa
from parvis_kit import certificates
from parvis_kit.clock import utc_now
from parvis_kit.db import versions
from parvis_kit.db.engines import sqlite_path
from parvis_kit.events.operate import Lag, lag, outbox, parked_numbers
from parvis_kit.events.ports import Gone
from parvis_kit.problems import Unavailable
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from sqlalchemy.exc import DBAPIError

from parvis_suite.assembly import flow_of, log_of, topics_of_all

FREE_BYTES_MIN = 2**30
CLOCK_SECONDS_MAX = 2.0
LAG_SECONDS_MAX = 60.0
OUTBOX_SECONDS_MAX = 60.0
"""As long as before the alert OutboxOld: a relay takes what waits within a second."""
CERTIFICATE_LIFE_MIN = timedelta(days=14)
"""Time to renew it."""
ANSWER_BYTES_MAX = 2**20
"""Of whoever listens on our port."""


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    well: bool
    todo: str = ""


async def examine(services: Sequence[Service], platform: Platform) -> AsyncIterator[Finding]:
    """Ends early only for what is behind something that is wrong already. Closes the services' databases."""
    yield Finding("failpoints are off", not platform.fail, f"PARVIS_FAIL={platform.fail} is for tests alone: unset it")
    folder = next(place for place in (platform.data.absolute(), *platform.data.absolute().parents) if place.exists())
    yield Finding(f"{platform.data} can be written", os.access(folder, os.W_OK), "give it to whoever runs Parvis, or set PARVIS_DATA")
    free = shutil.disk_usage(folder).free
    yield Finding(f"{free / 2**30:.0f} GiB are free there", free >= FREE_BYTES_MIN, "make room: below 1 GiB uploads will soon be refused")
    metrics_port = platform.metrics_port if platform.metrics_port is not None else platform.port and platform.port + 1
    for name, port, path in (("PARVIS_PORT", platform.port, "/livez"), ("PARVIS_METRICS_PORT", metrics_port, "/metrics")):
        well = not port or _is_free(platform.host, port) or _is_ours(platform.host, port, path)
        yield Finding(f"{name} {port or '(any)'} is free, or Parvis is running there", well, "stop what listens there, or set another port")
    async for finding in _examine_certificates(platform):
        yield finding
    if platform.is_kafka:
        async for finding in _examine_kafka(platform):
            yield finding
    for service in services:
        async for finding in examine_service(service, platform):
            yield finding
        for run in service.after:
            await run()
        await service.database.close()


async def examine_service(service: Service, platform: Platform, lags: Sequence[Lag] | None = None) -> AsyncIterator[Finding]:
    """What is its own, and what it needs beside its database; nothing is closed. `lags`: of whoever has just asked each log."""
    async for finding in _examine(service, platform, lags):
        yield finding
    for name, check in service.outside.items():
        try:
            words = await check()
        except (Unavailable, DBAPIError) as away:  # it keeps what it needs to look in a database that is not there
            words = f"cannot be looked at: {_why(away)}"
        yield Finding(f"{service.name}: {name} are in order", not words, words)


async def _examine_certificates(platform: Platform) -> AsyncIterator[Finding]:
    try:
        found = await certificates.ends_of(platform)
    except (OSError, ValueError) as error:
        yield Finding(
            "certificates can be read", False, f"{error}; see PARVIS_PUBLIC_URL, PARVIS_KAFKA_CA_FILE and PARVIS_KAFKA_CERTIFICATE_FILE"
        )
        return
    for name, at in found.items():
        todo = "renew it: nobody who checks it will connect after that"
        yield Finding(f"the certificate {name} counts until {at:%Y-%m-%d}", at - utc_now() >= CERTIFICATE_LIFE_MIN, todo)


async def _examine_kafka(platform: Platform) -> AsyncIterator[Finding]:
    from parvis_kit.events.kafka import topics

    try:
        wrong = await topics.wrong(platform, topics_of_all())
    except Gone as gone:
        yield Finding("Kafka answers", False, f"{gone}; see the settings PARVIS_KAFKA_…")
        return
    yield Finding("Kafka answers", True)
    for one in wrong:
        what, _, todo = one.partition(": ")
        yield Finding(what, False, todo)
    if not wrong:
        yield Finding("its topics are as the settings say", True)


async def _examine(service: Service, platform: Platform, lags: Sequence[Lag] | None) -> AsyncIterator[Finding]:
    name = service.name
    if service.database.is_sqlite and not sqlite_path(service.database.url).exists():
        yield Finding(f"{name}: its file is there", False, "run `parvis migrate`; `parvis up` does it too")
        return
    try:
        async with service.database.read() as conn:
            now = (await conn.execute(sa.select(sa.func.now()))).scalar_one() if not service.database.is_sqlite else utc_now()
            version = await conn.run_sync(lambda sync: versions.version_in(name, sync))
    except (Unavailable, DBAPIError) as away:
        yield Finding(f"{name}: the database answers", False, f"{_why(away)}; see PARVIS_DATABASE_URL and PARVIS_DATABASE_PASSWORD_FILE")
        return
    yield Finding(f"{name}: the database answers", True)
    apart = abs((utc_now() - now).total_seconds())
    yield Finding(f"{name}: its clock agrees with ours", apart <= CLOCK_SECONDS_MAX, f"they are {apart:.1f} s apart: set both by NTP")
    at_head = versions.is_head(service.migrations, version)
    yield Finding(f"{name}: its tables are of this version", at_head, "run `parvis migrate`")
    if not at_head:
        return
    flow = flow_of(service, log_of(platform))
    if flow.has_outbox:
        waiting = await outbox(flow)
        what = f"{name}: {waiting.facts} facts wait in its outbox, the oldest {waiting.seconds:.0f} s old"
        todo = "no relay takes them to the log: is the service running, and the log there?"
        yield Finding(what, waiting.seconds <= OUTBOX_SECONDS_MAX, todo)
    try:
        lags = await lag(flow) if lags is None else lags
    except Gone as gone:
        yield Finding(f"{name}: the log can be read", False, f"{gone}; `parvis migrate` makes the grants")
        return
    for one in lags:
        what = f"{one.consumer}: {one.facts} facts of {one.publisher} to handle, the oldest {one.seconds:.0f} s old"
        yield Finding(what, one.seconds <= LAG_SECONDS_MAX, "if it does not shrink, look for `stands still` in the log")
    numbers = await parked_numbers(service.database)
    parked = sum(number.facts for number in numbers.values())
    yield Finding(f"{name}: {parked} facts are parked", not parked, "`parvis events parked` tells why")
    for consumer in sorted(consumer for consumer, number in numbers.items() if number.is_full):
        todo = f"mend what `parvis events parked {consumer}` tells, then `parvis events replay {consumer} --all`"
        yield Finding(f"{consumer}: as much is parked as may be, and it stands still", False, todo)


def _why(away: Exception) -> str:
    """What the database said, without the statement."""
    return str(getattr(away, "orig", None) or away.__cause__ or away).partition("\n")[0]


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _is_ours(host: str, port: int, path: str) -> bool:
    """Whether a Parvis that runs is what answers there."""
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        said = connection.getresponse().read(ANSWER_BYTES_MAX)
        return b'"alive":true' in said or b"parvis_" in said
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
