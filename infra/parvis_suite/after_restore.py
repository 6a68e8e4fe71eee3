"""What has to be looked at, and put right, once databases were restored to a moment: each thing said, and a verdict."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from parvis_kit import audit
from parvis_kit.audit import anchors
from parvis_kit.audit.rows import tables_of as audit_tables_of
from parvis_kit.db import Database
from parvis_kit.db.engines import sqlite_path
from parvis_kit.events.facts import is_state
from parvis_kit.events.ledger import SqlLedger, stands_of
from parvis_kit.events.operate import tables_by_consumer
from parvis_kit.events.ports import Gone
from parvis_kit.events.reactions import topics_of
from parvis_kit.problems import Unavailable
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from sqlalchemy.exc import DBAPIError

from parvis_suite.assembly import flow_of, is_current, log_of
from parvis_suite.doctor import Finding

if TYPE_CHECKING:
    from parvis_kit.events.kafka.undone import Undone

RENEWED = "restore.renewed"
PASSED_OVER = "restore.passed_over"
KEYS_SHOWN_MAX = 20
"""Of what has to be done again by hand: more is read in the old log."""
REPAIR = "run it again with --repair"
AGAIN = ("directory.agent.left.", "directory.agent.suspended.", "directory.credential.revoked.")
"""What was taken from somebody and is theirs again."""

Lost = Mapping[str, "Sequence[Undone]"]
"""What each publisher has undone."""


async def examine(services: Sequence[Service], platform: Platform, moment: datetime, *, repair: bool, who: str) -> AsyncIterator[Finding]:
    """Ends early where the rest would be guesswork. Closes the services' databases."""
    try:
        well = True
        for service in services:
            finding = await _examine_database(service)
            yield finding
            well &= finding.well
        if well:
            async for finding in _examine_all(services, platform, moment, repair, who):
                yield finding
    finally:
        for service in services:
            for run in service.after:
                await run()
            await service.database.close()


async def _examine_all(services: Sequence[Service], platform: Platform, moment: datetime, repair: bool, who: str) -> AsyncIterator[Finding]:
    if platform.is_kafka:
        async for finding in _examine_log(services, platform, moment, repair, who):
            yield finding
    for service in services:
        for finding in await _renew(service, moment, repair, who):
            yield finding
        for name, compare in service.compare.items():
            words = await compare()
            yield Finding(f"{service.name}: {name} and database agree", not words, words)
        yield await _examine_positions(service, platform)
        yield await _examine_anchors(service, platform)


async def _examine_database(service: Service) -> Finding:
    """It answers, takes writes, has the tables of this version, and nobody runs the service meanwhile."""
    what = f"{service.name}: its database is back, and nobody is at work in it"
    database = service.database
    if database.is_sqlite and not sqlite_path(database.url).exists():
        return Finding(what, False, f"{sqlite_path(database.url)} is not there: put the backup's file in its place")
    try:
        if not await is_current(service):
            return Finding(what, False, "its tables are of another version: run `parvis migrate`, then this again")
        if database.is_sqlite:
            return Finding(what, True)
        async with database.read() as conn:
            is_recovering = (await conn.execute(sa.text("SELECT pg_is_in_recovery()"))).scalar_one()
            running = (await conn.execute(RUNNING, {"name": f"parvis-relay-{service.name}"})).scalar_one()
    except (Unavailable, DBAPIError) as away:
        why = str(getattr(away, "orig", None) or away.__cause__ or away).partition("\n")[0]
        return Finding(what, False, f"{why}; see PARVIS_DATABASE_URL and PARVIS_DATABASE_PASSWORD_FILE")
    if is_recovering:
        return Finding(what, False, "it is still recovering: wait, or `SELECT pg_wal_replay_resume()` where it has paused at its target")
    return Finding(what, not running, f"stop `parvis serve {service.name}` everywhere: what it does now rests on what may be wrong")


RUNNING = sa.text("SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND application_name = :name")
"""Whoever runs a service leads its relay, or stands by."""


# what clients remember


async def _renew(service: Service, moment: datetime, repair: bool, who: str) -> list[Finding]:
    if not service.renew:
        return []
    database, counts = service.database, dict[str, int]()
    if not await _was_done(database, RENEWED, moment):
        if not repair:
            return [Finding(f"{service.name}: {name} are of after the restore", False, REPAIR) for name in service.renew]
        async with database.transaction() as tx:
            now = service.clock()
            for name, renew in service.renew.items():
                counts[name] = await renew(tx, now)
            await audit.record(tx, who=who, what=RENEWED, on=moment.isoformat(), ministry=None, at=now)
    done = {name: f" (renewed now: {number})" for name, number in counts.items()}
    return [Finding(f"{service.name}: {name} are of after the restore{done.get(name, '')}", True) for name in service.renew]


async def _was_done(database: Database, what: str, moment: datetime) -> bool:
    """The act of an earlier run for this very moment; a database that is restored once more has forgotten it."""
    row = audit_tables_of(database.service)["audit"].c
    async with database.read() as conn:
        found = sa.select(sa.func.count()).where(row.what == what, row.about == moment.isoformat())
        return bool((await conn.execute(found)).scalar_one())


# a log that is ahead


async def _examine_log(services: Sequence[Service], platform: Platform, moment: datetime, repair: bool, who: str) -> AsyncIterator[Finding]:
    """Kafka was not restored: what it tells of the time that is lost must have no effect on anybody, nor be believed later."""
    from parvis_kit.events.kafka import undone

    lost: dict[str, Sequence[Undone]] = {}
    ends: dict[str, Mapping[str, int]] = {}
    try:
        for service in services:
            lost[service.name], ends[service.name] = await undone.find(platform, service.database)
    except (Gone, undone.TooMuchUndone) as error:
        yield Finding("the log can be compared with the databases", False, str(error))
        return
    for service in services:
        for finding in _told(service, lost[service.name], repair):
            yield finding
    for service in services:
        for finding in await _examine_consumers(service, platform, lost, repair):
            yield finding
    if repair:  # at last: from then on none of them is found again
        for service in services:
            await _settle(service, lost[service.name], ends[service.name], moment, who)


def _told(service: Service, lost: "Sequence[Undone]", repair: bool) -> list[Finding]:
    counts = Counter(one.type for one in lost)
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    what = f"{service.name}: the log tells of {len(lost)} facts that are lost with the time after the restored moment"
    done = f" ({kinds}); they are passed over now" if lost and repair else ""
    findings = [Finding(what + done, not lost or repair, f"{kinds}; {REPAIR}")]
    again = [one for one in lost if one.type.startswith(AGAIN)]
    if again:
        shown = ", ".join(f"{one.type.rsplit('.', 1)[0]} {one.key}" for one in again[:KEYS_SHOWN_MAX])
        more = f", and {len(again) - KEYS_SHOWN_MAX} more" if len(again) > KEYS_SHOWN_MAX else ""
        findings.append(Finding(f"{service.name}: TO DO AGAIN, since it is undone: {shown}{more}", True))
    return findings


async def _examine_consumers(service: Service, platform: Platform, lost: Lost, repair: bool) -> list[Finding]:
    from parvis_kit.events.kafka import undone

    flow, findings = flow_of(service, log_of(platform)), []
    for consumer, table in tables_by_consumer(flow).items():
        topics = {topic for mine in topics_of(table).values() for topic in mine}
        mine = [one for each in lost.values() for one in each if one.topic in topics]
        if not mine:
            continue
        number = await undone.handled(service.database, consumer, mine)
        why = f"{number} of {len(mine)} have: its database is of a later moment, or it has run since"
        todo = f"{why}. --repair puts right what it keeps of states; look at what else it has made of them"
        findings.append(Finding(f"{consumer}: none of them has had effects", not number, todo))
        if repair:
            ledger = SqlLedger(service.database, consumer, service.clock)
            async with ledger.transaction() as tx:
                await undone.pass_over(ledger, tx, mine)
    return findings


async def _settle(service: Service, lost: "Sequence[Undone]", ends: Mapping[str, int], moment: datetime, who: str) -> None:
    """States are said again as they stand: whoever reads their topics from the beginning, later, ends with what is true."""
    from parvis_kit.events.kafka import undone

    if not lost:
        return
    states: dict[str, set[str]] = {}
    for one in lost:
        if is_state(one.topic):
            states.setdefault(one.topic, set()).add(one.key)
    async with service.database.transaction() as tx:
        now = service.clock()
        for topic, keys in sorted(states.items()):
            if service.say_again is not None:
                await service.say_again(tx, topic, sorted(keys), now)
        await undone.take_as_read(tx, ends)
        await audit.record(tx, who=who, what=PASSED_OVER, on=moment.isoformat(), ministry=None, at=now, why=f"{len(lost)} facts")


async def _examine_positions(service: Service, platform: Platform) -> Finding:
    """A log that is behind: it was restored too, or lost what a consumer has had."""
    what, flow = f"{service.name}: the log holds what it needs next", flow_of(service, log_of(platform))
    lost = []
    try:
        for consumer, table in tables_by_consumer(flow).items():
            stands = await stands_of(flow.database, consumer)
            async with flow.log.reading(flow.database, topics_of(table)) as reading:
                if await reading.lost(stands):
                    lost.append(consumer)
    except Gone as gone:
        return Finding(what, False, str(gone))
    return Finding(what, not lost, f"`parvis events accept-loss` for {', '.join(lost)}; projections begin again by themselves")


async def _examine_anchors(service: Service, platform: Platform) -> Finding:
    """Anchors are not restored, and must not be: they tell how far the chains went."""
    place = platform.anchors
    what = f"{service.name}: no chain of the audit is anchored beyond its end"
    try:
        known = [one for one in (anchors.read(place) if place.exists() else []) if one.service == service.name]
    except (anchors.NoAnchor, OSError) as error:
        return Finding(what, False, str(error))
    head = audit_tables_of(service.name)["audit_head"].c
    async with service.database.read() as conn:
        ends: dict[str, int] = {row[0]: row[1] for row in await conn.execute(sa.select(head.ministry, head.position))}
    beyond = [one for one in known if one.position > ends.get(one.ministry, 0)]
    todo = f"{len(beyond)} anchors are: the acts are lost, and they are the proof. Move {place} aside, to where the restore is filed"
    return Finding(what, not beyond, todo)
