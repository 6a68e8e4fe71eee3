"""A ministry claims a mail domain and proves it by a record in the DNS; the proof is looked at again now and then."""

import logging
from collections.abc import Sequence
from datetime import datetime
from secrets import token_urlsafe
from uuid import UUID

from parvis_contracts.directory import DomainClaimed, DomainReleased
from parvis_kit import audit
from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx
from parvis_kit.events import publish
from parvis_kit.problems import Conflict, NotFound, TooManyRequests, Unavailable

from parvis_directory import queries, rules
from parvis_directory.actions.common import unless_taken
from parvis_directory.rules import Asker
from parvis_directory.rules.domains import DOMAINS_MAX, LOOK_AGAIN, MISSED_MAX, Domain, Resolve, folded_domain, is_proven, record_name, seen
from parvis_directory.rules.moves import check_open
from parvis_directory.store import domains

TAKEN = "Another ministry has proven this domain to be its own: ask an operator of the suite."

log = logging.getLogger(__name__)


async def claim_domain(tx: Tx, asker: Asker, ministry_id: UUID, text: str, *, now: datetime) -> Domain:
    """Said twice, it is said once, with the same record. Raises NotFound, Forbidden, Invalid, Conflict."""
    ministry = await queries.ministry_for(tx, asker, ministry_id, lock=True)
    rules.check_may_change(asker, ministry_id)
    check_open(ministry.closed_at)
    name = folded_domain(text)
    if await domains.owner_of(tx, name) not in (None, ministry_id):
        raise Conflict(TAKEN)
    if found := await domains.find_domain(tx, ministry_id, name):
        return found
    if len(await domains.domains_of(tx, ministry_id)) >= DOMAINS_MAX:
        raise Conflict(f"A ministry has at most {DOMAINS_MAX} domains: give one up first.")
    one = Domain(ministry_id, name, token_urlsafe(24), now, None, None, 0)
    await domains.add_domain(tx, one)
    await audit.record(tx, who=asker.who, what="domain.claim", on=name, ministry=ministry_id, at=now)
    return one


async def verify_domain(database: Database, resolve: Resolve, asker: Asker, ministry_id: UUID, text: str, *, clock: Clock) -> Domain:
    """Look for the record, in no transaction. Raises NotFound, Forbidden, TooManyRequests, Conflict when it is not there, Unavailable."""
    async with database.transaction() as tx:
        one = await _domain_for(tx, asker, ministry_id, text)
        now = clock()
        if one.checked_at is not None and now - one.checked_at < LOOK_AGAIN:
            seconds = str(int(LOOK_AGAIN.total_seconds()))
            raise TooManyRequests("It was looked for a moment ago: ask again a little later.", headers={"Retry-After": seconds})
        await domains.change_domain(tx, one, checked_at=now)
    proven = is_proven(one, await resolve(record_name(one.name)))
    async with database.transaction() as tx:
        one = await _domain_for(tx, asker, ministry_id, text)
        if one.claimed_at is None and proven:
            return await _claimed(tx, one, asker, clock())
    if not proven:
        shown = seen(one)
        raise Conflict(f"No TXT record {shown.record_value} at {shown.record_name} yet: a new one may take an hour to be seen.")
    return one


async def _claimed(tx: Tx, one: Domain, asker: Asker, now: datetime) -> Domain:
    claimed = await unless_taken(domains.change_domain(tx, one, claimed_at=now, checked_at=now, missed=0), TAKEN, "")
    await audit.record(tx, who=asker.who, what="domain.prove", on=one.name, ministry=one.ministry_id, at=now)
    publish(tx, DomainClaimed(at=now, about=one.name, name=one.name, ministry_id=one.ministry_id))
    return claimed


async def release_domain(tx: Tx, asker: Asker, ministry_id: UUID, text: str, *, now: datetime) -> None:
    """Raises NotFound, Forbidden."""
    one = await _domain_for(tx, asker, ministry_id, text)
    await domains.forget_domain(tx, one)
    await _released(tx, one, asker.id, "given up", now)


async def _domain_for(tx: Tx, asker: Asker, ministry_id: UUID, text: str) -> Domain:
    """Locked. Raises NotFound, Forbidden, Invalid."""
    await queries.ministry_for(tx, asker, ministry_id)
    rules.check_may_change(asker, ministry_id)
    name = folded_domain(text)
    found = await domains.find_domain(tx, ministry_id, name, lock=True)
    if found is None:
        raise NotFound(f"This ministry has not claimed {name}.")
    return found


async def _released(tx: Tx, one: Domain, who: object, why: str, now: datetime) -> None:
    await audit.record(tx, who=who, what="domain.release", on=one.name, ministry=one.ministry_id, at=now, why=why)
    if one.claimed_at is not None:
        publish(tx, DomainReleased(at=now, about=one.name, name=one.name, ministry_id=one.ministry_id))


async def recheck_domain(database: Database, resolve: Resolve, due: Domain, *, clock: Clock) -> None:
    """A proof that is gone for a week is no proof; name servers that do not answer prove nothing, either way."""
    texts: Sequence[str] | None = None
    try:
        texts = await resolve(record_name(due.name))
    except Unavailable as away:
        log.warning("the proof of %s was not looked at: %s", due.name, away.detail)
    async with database.transaction() as tx:
        one, now = await domains.find_domain(tx, due.ministry_id, due.name, lock=True), clock()
        if one is None or one.claimed_at is None or one.checked_at != due.checked_at:
            return
        missed = one.missed if texts is None else 0 if is_proven(one, texts) else one.missed + 1
        lost = missed >= MISSED_MAX
        await domains.change_domain(tx, one, checked_at=now, missed=missed, claimed_at=None if lost else one.claimed_at)
        if lost:
            await _released(tx, one, "directory", f"no proof for {missed} days", now)
