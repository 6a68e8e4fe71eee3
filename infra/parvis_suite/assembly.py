"""Services put together: migrated, fed with each other's facts, served, and described to whoever starts the demonstration."""

import asyncio
import fcntl
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from parvis_kit.audit import keeping
from parvis_kit.db import database_errors, versions
from parvis_kit.events import upkeep
from parvis_kit.events.bell import Bell
from parvis_kit.events.facts import declared
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.log import Log
from parvis_kit.events.operate import lag
from parvis_kit.events.ports import Gone
from parvis_kit.events.running import Flow, tasks_of
from parvis_kit.events.sql_log import SqlLog
from parvis_kit.http import Check
from parvis_kit.problems import Unavailable
from parvis_kit.serve import Addresses, Serving, serve
from parvis_kit.service import Doors, Service
from parvis_kit.settings import Platform, role_of

from parvis_suite.services import BUILDERS

if TYPE_CHECKING:
    from parvis_kit.db.migrations import Tree

DEMO_FILE = "demo.json"
SETTLE_SECONDS_MAX = 30.0
"""A demonstration's thousand facts take a second or two."""
SETTLE_LOOK_SECONDS = 0.05

log = logging.getLogger(__name__)

Told = Callable[[str, str], None]
"""Told of each migration: the service, and what it does."""
Seed = Callable[[Sequence[Service], Addresses], Awaitable[dict[str, Any]]]


class CannotStart(Exception):
    """Something has to be done first; the message says what."""


class LogAway(CannotStart):
    """Whoever serves can go on without: facts wait in their outboxes."""


def log_of(platform: Platform) -> Log:
    """The log of this process: Kafka where one is named, and otherwise the database's own."""
    if not platform.is_kafka:
        return SqlLog(platform.database_url_of, Bell())
    from parvis_kit.events.kafka.log import KafkaLog  # 6 MB and 0.1 s that an installation without Kafka does without

    return KafkaLog(platform, platform.database_url_of, Bell())


def flow_of(service: Service, log: Log) -> Flow:
    """The facts of a service, as the kit runs them."""
    return Flow(service.database, service.clock, log, service.reactions, service.projections)


def tree_of(service: Service, platform: Platform) -> "Tree":
    """The migrations of a service: on PostgreSQL made by the administrator for the service's role."""
    from parvis_kit.db.migrations import Tree  # 10 MB and 0.2 s that a process which only serves does without

    if platform.is_sqlite:
        return Tree(service.name, platform.database_url_of(service.name), service.metadata, service.migrations)
    return Tree(service.name, platform.admin_url, service.metadata, service.migrations, role_of(service.name))


async def migrate(services: Sequence[Service], platform: Platform, told: Told = lambda service, step: None) -> None:
    """Roles and schemas, each service's tables, and who may read whose log. Done twice, it is done once."""
    try:
        if not platform.is_sqlite:
            from parvis_kit.db.roles import grant_logs, make_observer, make_roles, revoke_logs

            await make_roles(platform.admin_url, list(BUILDERS), platform.password)
            if password := platform.metrics_password:
                await make_observer(platform.admin_url, password)
        for service in services:
            if not await is_current(service):
                await _upgrade(service, platform, told)
        if not platform.is_sqlite:
            await (revoke_logs if platform.is_kafka else grant_logs)(platform.admin_url, list(BUILDERS))
        if platform.is_kafka:
            await _make_topics(platform, told)
    except Unavailable as error:
        raise _refused(platform, error) from error
    except database_errors() as error:
        raise _refused(platform, error) from error


def _refused(platform: Platform, error: BaseException) -> CannotStart:
    where = f"{platform.data} (PARVIS_DATA)" if platform.is_sqlite else "PARVIS_DATABASE_ADMIN_URL, or PARVIS_DATABASE_URL without it"
    return CannotStart(f"the database refuses to be migrated: {_first_line(error)}. It was reached by {where}")


async def _make_topics(platform: Platform, told: Told) -> None:
    from parvis_kit.events.kafka import topics

    try:
        for topic in await topics.make(platform, topics_of_all()):
            told("kafka", f"topic {topic}")
    except (topics.CannotMake, Gone) as error:
        raise CannotStart(f"{error}. See the settings PARVIS_KAFKA_…") from error
    await refuse_wrong_topics(platform)


def topics_of_all() -> list[str]:
    """What the services of the suite say, each family of facts a topic."""
    return sorted({kind.topic() for kind in declared().values() if kind.service() in BUILDERS})


async def refuse_wrong_topics(platform: Platform) -> None:
    """Raises CannotStart when a topic is missing, or not as the settings say, and LogAway when Kafka does not tell."""
    from parvis_kit.events.kafka import topics

    try:
        wrong = await topics.wrong(platform, topics_of_all())
    except Gone as gone:
        raise LogAway(f"{gone}. See the settings PARVIS_KAFKA_…") from gone
    if wrong:
        raise CannotStart("; ".join(wrong))


async def _upgrade(service: Service, platform: Platform, told: Told) -> None:
    from alembic.util import CommandError
    from parvis_kit.db import migrations

    try:
        await migrations.upgrade(tree_of(service, platform), lambda revision, caption: told(service.name, caption or revision))
    except CommandError as error:
        raise CannotStart(f"the tables of {service.name} are of another version of Parvis, perhaps a newer one: {error}") from error


def _first_line(error: BaseException) -> str:
    """What the database said, without the statement."""
    return str(getattr(error, "orig", None) or error.__cause__ or error or type(error).__name__).partition("\n")[0]


async def is_current(service: Service) -> bool:
    """Whether its tables are those that this version expects."""
    async with service.database.read() as conn:
        return versions.is_head(service.migrations, await conn.run_sync(partial(versions.version_in, service.name)))


async def serves(service: Service) -> bool:
    """Whether this version can work on its tables: they are those that it expects, or a newer one has added to them."""
    async with service.database.read() as conn:
        return versions.serves(service.migrations, await conn.run_sync(partial(versions.version_in, service.name)))


async def refuse_behind_head(services: Sequence[Service]) -> None:
    """Raises CannotStart when the tables are not those that this version expects."""
    for service in services:
        try:
            behind = not await serves(service)
        except sa.exc.DBAPIError as error:
            raise CannotStart(f"the database does not let {service.name} in: {_first_line(error)}. Has `parvis migrate` run?") from error
        if behind:
            raise CannotStart(f"the tables of {service.name} are behind this version of Parvis: run `parvis migrate` first")


def background_of(services: Sequence[Service], platform: Platform) -> dict[str, Callable[[], Awaitable[None]]]:
    """Relays, consumers and the upkeep of each service's log, over one log; and the chain of its audit."""
    anchoring = anchoring_of(platform)
    log = log_of(platform)
    work: dict[str, Callable[[], Awaitable[None]]] = {}
    for service in services:
        flow = flow_of(service, log)
        work |= tasks_of(flow)
        work[f"{service.name}.upkeep"] = partial(upkeep.keep, flow, service.look)
        work[f"{service.name}.audit"] = partial(keeping.keep, service.database, service.clock, anchoring)
    if not platform.is_sqlite and services:
        from parvis_kit.events.postgres_bell import bridge

        work[f"{services[0].name}.bell"] = partial(bridge, log.bell, platform.database_url_of(services[0].name))
    return work


def anchoring_of(platform: Platform) -> keeping.Anchoring:
    """Our own folder is made when it is not there; a place of others that is away stays away, or we would write beside it."""
    if platform.audit_anchors is None:
        platform.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return keeping.Anchoring(platform.anchors, timedelta(minutes=platform.audit_anchor_minutes))


def checks_of(services: Sequence[Service]) -> Mapping[str, Check]:
    """For /readyz: the tables are those that this version expects."""

    def at_head(service: Service) -> Check:
        async def check() -> str:
            return "" if await serves(service) else "behind this version: run `parvis migrate`"

        return check

    return {f"{service.name}.migrations": at_head(service) for service in services}


async def up(
    services: Sequence[Service],
    platform: Platform,
    *,
    doors: Sequence[Doors] = (),
    seed: Seed | None = None,
    told: Told = lambda service, step: None,
) -> None:
    """All services in this process, until SIGTERM. With `seed`, demo.json is written last: when it is there, everything is."""
    demo = platform.data / DEMO_FILE
    demo.unlink(missing_ok=True)
    await migrate(services, platform, told)

    async def ready(addresses: Addresses) -> None:
        if seed is not None:
            content = await seed(services, addresses)
            await settled(services, platform)
            write_private(demo, content)

    try:
        await serve(serving(services, platform, ready, doors=doors))
    finally:
        demo.unlink(missing_ok=True)


async def settled(services: Sequence[Service], platform: Platform, *, are_here: bool = True) -> None:
    """Until every service knows all that the others have said, or for as long as a demonstration may take. `are_here`: they run in this
    process, and not in others that were ready before."""
    flows = [flow_of(service, log_of(platform)) for service in services]
    until = asyncio.get_running_loop().time() + SETTLE_SECONDS_MAX
    while asyncio.get_running_loop().time() < until:
        waiting = 0
        for flow in flows:
            outbox = tables_of(flow.service)["outbox"]
            async with flow.database.read() as conn:
                waiting += (await conn.execute(sa.select(sa.func.count()).select_from(outbox))).scalar_one()
            waiting += sum(one.facts for one in await lag(flow))
        if not waiting and (not are_here or all(service.is_fresh() for service in services)):
            return
        await asyncio.sleep(SETTLE_LOOK_SECONDS)
    log.warning("some facts of the demonstration still wait for their effects: `parvis doctor` tells which")


def serving(
    services: Sequence[Service],
    platform: Platform,
    ready: Callable[[Addresses], Awaitable[None]],
    *,
    doors: Sequence[Doors] = (),
    shared: bool = False,
) -> Serving:
    """What a process serves: services, and doors that keep nothing; `shared` when others of its kind listen on the same port."""
    return Serving(
        services=[*services, *doors],
        platform=platform,
        background=background_of(services, platform),
        checks=checks_of(services),
        ready=ready,
        reuse_port=shared,
    )


def write_private(path: Path, content: Mapping[str, Any]) -> None:
    """For its owner alone, and whole or not at all."""
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


@contextmanager
def own(folder: Path) -> Iterator[None]:
    """The data folder, for this process alone. Raises CannotStart when another one works in it, or it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = open(folder / "lock", "a+")
    except OSError as error:
        raise CannotStart(f"{folder} cannot be written: {error.strerror}; PARVIS_DATA names another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = lock.read().strip() or "unknown"
            raise CannotStart(f"another Parvis (process {other}) is at work in {folder}: stop it, or set PARVIS_DATA") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
