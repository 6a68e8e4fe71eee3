"""Answers that change nothing; each protected thing has one way to it, and that way asks who you are."""

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import date, datetime
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.http import Page
from parvis_kit.problems import NotFound, Unavailable
from parvis_kit.text import words_of

from parvis_directory import rules, store
from parvis_directory.rules import Asker, Directorate, KeptAppPassword, Ministry, Person, Team
from parvis_directory.rules.departures import DepartureSeen, Leaver, Leavers, Place, missing, read_place
from parvis_directory.rules.domains import Domain
from parvis_directory.rules.moves import PlannedMove, Transfer
from parvis_directory.rules.onboarding import Onboarding, Step
from parvis_directory.rules.rejects import rejects_head, rejects_line
from parvis_directory.store import departures, domains, figures, moves, people
from parvis_directory.store import onboardings as jobs

START = UUID(int=0)
REJECTS_PAGE = 500
"""Lines of a file for Excel that are read at once."""


def _paged(rows: list[Person] | list[Team] | list[Ministry], limit: int) -> str | None:
    return str(rows[-1].id) if len(rows) == limit else None


async def agent_for(conn: Connection, asker: Asker, agent_id: UUID, *, lock: bool = False) -> Person:
    """Raises NotFound: another ministry's agent gets the same answer as nobody."""
    found = await store.find_agent(conn, agent_id, lock=lock)
    if found is None or not (rules.may_see(asker, found.ministry_id) or found.id == asker.id):
        raise NotFound(f"There is no agent {agent_id}.")
    return found


async def agent_of_email_for(conn: Connection, asker: Asker, email: str, *, lock: bool = False) -> Person:
    """Raises NotFound, as `agent_for`; Invalid."""
    found = await people.find_password(conn, rules.folded_email(email), lock=lock)
    if found is None or not (rules.may_see(asker, found[0].ministry_id) or found[0].id == asker.id):
        raise NotFound(f"There is no agent {email}.")
    return found[0]


async def agents_for(conn: Connection, asker: Asker, after: UUID | None, limit: int, ministry_id: UUID | None) -> Page[Person]:
    """Of one's own ministry; operators name one, or see all."""
    whose = ministry_id if asker.is_operator else asker.ministry_id
    of = store.AGENTS if whose is None else store.AGENTS_OF
    found = [Person(*row) for row in await store.page(conn, of, after or START, limit, whose)]
    return Page(found, _paged(found, limit))


async def agents_found_for(conn: Connection, asker: Asker, begins: str, limit: int, ministry_id: UUID | None) -> Page[Person]:
    """As `agents_for`: those whose e-mail begins so, then those with such words in their names; who has left is not offered."""
    whose = ministry_id if asker.is_operator else asker.ministry_id
    found = [Person(*row) for row in await people.agents_whose_email_begins(conn, begins.strip().casefold(), whose, limit)]
    if len(found) < limit and (words := words_of(begins)):
        known = {one.id for one in found}
        found += [one for one in await people.agents_called(conn, words, whose, limit) if one.id not in known]
    return Page(found[:limit], None)


async def team_for(conn: Connection, asker: Asker, team_id: UUID, *, lock: bool = False) -> Team:
    """Raises NotFound."""
    found = await store.find_team(conn, team_id, lock=lock)
    if found is None or not rules.may_see(asker, found.ministry_id):
        raise NotFound(f"There is no team {team_id}.")
    return found


async def members_for(conn: Connection, asker: Asker, team_id: UUID) -> tuple[Team, list[UUID]]:
    found = await team_for(conn, asker, team_id)
    return found, await store.members_of(conn, team_id)


async def teams_for(conn: Connection, asker: Asker, after: UUID | None, limit: int) -> Page[Team]:
    of, whose = (store.TEAMS, None) if asker.is_operator else (store.TEAMS_OF, asker.ministry_id)
    found = [Team(*row) for row in await store.page(conn, of, after or START, limit, whose)]
    return Page(found, _paged(found, limit))


async def ministry_for(conn: Connection, asker: Asker, ministry_id: UUID, *, lock: bool = False) -> Ministry:
    """Raises NotFound."""
    found = await store.find_ministry(conn, ministry_id, lock=lock)
    if found is None or not rules.may_see(asker, found.id):
        raise NotFound(f"There is no ministry {ministry_id}.")
    return found


async def ministries_for(conn: Connection, asker: Asker, after: UUID | None, limit: int) -> Page[Ministry]:
    if asker.is_operator:
        found = [Ministry(*row) for row in await store.page(conn, store.MINISTRIES, after or START, limit)]
        return Page(found, _paged(found, limit))
    mine = await store.find_ministry(conn, asker.ministry_id)
    return Page([mine] if mine and (after is None or mine.id > after) else [])


async def directorates_for(conn: Connection, asker: Asker, ministry_id: UUID) -> list[Directorate]:
    await ministry_for(conn, asker, ministry_id)
    return await store.directorates_of(conn, ministry_id)


async def app_passwords_for(conn: Connection, asker: Asker) -> list[KeptAppPassword]:
    """One's own, and nobody else's."""
    return await store.app_passwords_of(conn, asker.id)


async def ministries_without_app_passwords(conn: Connection) -> list[UUID]:
    return await store.ministries_without_app_passwords(conn)


async def public_keys(conn: Connection, now: datetime) -> list[Mapping[str, str]]:
    """The JSON Web Keys by which tokens can be checked."""
    return [row.jwk for row in await store.signing_keys(conn, now)]


async def key_that_signs(conn: Connection, now: datetime) -> tuple[str, str]:
    """(kid, PEM) of the private key that signs now. Raises Unavailable before the first one is made."""
    for row in await store.signing_keys(conn, now):
        if row.signs_from <= now:
            return row.kid, row.pem
    raise Unavailable("The first signing key is being made: ask again in a moment.")


async def departure_for(conn: Connection, asker: Asker, agent_id: UUID, services: Collection[str]) -> DepartureSeen:
    """Raises NotFound, Forbidden."""
    person = await agent_for(conn, asker, agent_id)
    rules.check_may_change(asker, person.ministry_id)
    found = await departures.find_departure(conn, agent_id)
    if found is None:
        raise NotFound(f"Agent {agent_id} has not left.")
    steps = await departures.steps_of(conn, agent_id)
    return DepartureSeen(agent_id, found.left_at, found.settled_at, steps, [] if found.settled_at else missing(steps, services))


async def departures_for(
    conn: Connection, asker: Asker, ministry_id: UUID, after: str | None, limit: int, services: Collection[str]
) -> Leavers:
    """Those that are open, then those that are over. Raises NotFound, Forbidden, Invalid for a cursor of another making."""
    await ministry_for(conn, asker, ministry_id)
    rules.check_may_change(asker, ministry_id)
    found = await departures.departures_of(conn, ministry_id, read_place(after) if after else None, limit)
    steps = await departures.steps_of_all(conn, [one.agent_id for *_, one in found])
    leavers = []
    for given, family, email, one in found:
        done = steps.get(one.agent_id, [])
        lacks = [] if one.settled_at else missing(done, services)
        leavers.append(Leaver(given, family, email, DepartureSeen(one.agent_id, one.left_at, one.settled_at, done, lacks)))
    last = found[-1][-1] if len(found) == limit else None
    place = Place(last.settled_at is not None, last.left_at, last.agent_id) if last else None
    return Leavers(leavers, str(place) if place else None, await departures.count_open(conn, ministry_id))


async def departures_to_settle(conn: Connection, services: Collection[str]) -> list[UUID]:
    """Whose departures lack nothing any more."""
    return await departures.departures_complete(conn, services)


async def planned_move_for(conn: Connection, asker: Asker, agent_id: UUID) -> PlannedMove:
    """Raises NotFound, Forbidden."""
    person = await agent_for(conn, asker, agent_id)
    rules.check_may_change(asker, person.ministry_id)
    found = await moves.find_move(conn, agent_id)
    if found is None:
        raise NotFound(f"No move of agent {agent_id} is planned.")
    return found


async def moves_due(conn: Connection, day: date) -> list[UUID]:
    """Who is to move by this day."""
    return await moves.moves_due(conn, day)


async def transfers_for(conn: Connection, asker: Asker, ministry_id: UUID) -> list[Transfer]:
    """Raises NotFound."""
    await ministry_for(conn, asker, ministry_id)
    return await moves.transfers_of(conn, ministry_id)


async def transfers_due(conn: Connection, day: date, done_since: datetime) -> list[UUID]:
    """What is to begin by this day, or goes on, or has just ended."""
    return await moves.transfers_due(conn, day, done_since)


async def domains_for(conn: Connection, asker: Asker, ministry_id: UUID) -> list[Domain]:
    """Raises NotFound, Forbidden."""
    await ministry_for(conn, asker, ministry_id)
    rules.check_may_change(asker, ministry_id)
    return await domains.domains_of(conn, ministry_id)


async def domains_to_recheck(conn: Connection, before: datetime) -> list[Domain]:
    """Whose proof was not looked at since."""
    return await domains.domains_to_recheck(conn, before)


async def guests_to_end(conn: Connection, now: datetime) -> list[UUID]:
    """Whose accounts have expired."""
    return await people.agents_expired(conn, now)


async def onboarding_for(conn: Connection, asker: Asker, onboarding_id: UUID, *, lock: bool = False) -> Onboarding:
    """For the ministry's administrators and operators. Raises NotFound (another ministry's is answered like none), Forbidden."""
    found = await jobs.find_job(conn, onboarding_id, lock=lock)
    if found is None or not rules.may_see(asker, found.ministry_id):
        raise NotFound(f"There is no onboarding {onboarding_id}.")
    rules.check_may_change(asker, found.ministry_id)
    return found


async def onboardings_for(conn: Connection, asker: Asker, ministry_id: UUID, before: UUID | None, limit: int) -> Page[Onboarding]:
    """A ministry's, the newest first. Raises NotFound, Forbidden."""
    await ministry_for(conn, asker, ministry_id)
    rules.check_may_change(asker, ministry_id)
    found = await jobs.jobs_of(conn, ministry_id, before, limit)
    return Page(found, str(found[-1].id) if len(found) == limit else None)


async def running_onboarding(conn: Connection, ministry_id: UUID) -> tuple[UUID, str] | None:
    """(id, digest of its file) of the one that is being worked through."""
    return next(iter(await jobs.jobs_in(conn, "running", ministry_id)), None)


async def steps_for(conn: Connection, asker: Asker, onboarding_id: UUID, after: int, limit: int, verdict: str | None) -> Page[Step]:
    """Raises NotFound, Forbidden."""
    await onboarding_for(conn, asker, onboarding_id)
    found = await jobs.steps_after(conn, onboarding_id, after, limit, verdict)
    return Page(found, str(found[-1].step) if len(found) == limit else None)


async def rejects_of(conn: Connection, job: Onboarding, language: str) -> AsyncIterator[str]:
    """The refused lines as a file for Excel, in parts."""
    yield rejects_head(job.titles, language)
    after = 0
    while page := await jobs.steps_after(conn, job.id, after, REJECTS_PAGE, "reject"):
        yield "".join(rejects_line(job.titles, step, language) for step in page)
        after = page[-1].step


async def agents_by_state(conn: Connection) -> Mapping[tuple[str, str], int]:
    """(kind, state) → how many; for the gauges."""
    return await figures.agents_by_state(conn)


async def departures_open(conn: Connection, now: datetime) -> tuple[int, float]:
    """How many are not settled, and for how many seconds the oldest is not; for the gauges."""
    count, oldest = await figures.departures_open(conn)
    return count, max(0.0, (now - oldest).total_seconds()) if oldest else 0.0


async def signing_key_ends(conn: Connection, now: datetime) -> datetime | None:
    """When the last key that is known stops counting; for the gauges."""
    return max((one.not_after for one in await store.signing_keys(conn, now)), default=None)
