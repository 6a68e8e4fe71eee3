"""What becomes of each line of a ministry's file, when its confirmation must name what it closes, and how far a job is."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from uuid import UUID

from parvis_kit.problems import Conflict
from parvis_kit.text import fold

from parvis_directory.rules import Kind, Person
from parvis_directory.rules.domains import domain_of
from parvis_directory.rules.names import is_same_shouted, presentable
from parvis_directory.rules.roster import Entry, Header, Line

Verdict = Literal["create", "adopt", "update", "unchanged", "deactivate", "later", "repeated", "reject"]
JobState = Literal["draft", "running", "done", "failed", "discarded"]
VERDICTS: tuple[Verdict, ...] = ("create", "adopt", "update", "unchanged", "deactivate", "later", "repeated", "reject")
DRAFTS_MAX = 5
"""Of one ministry at a time: each holds up to a hundred thousand lines."""
DRAFT_LIFE = timedelta(days=7)
"""A plan that is older was made for another ministry, so to speak."""
LINES_LIFE = timedelta(days=30)
"""After the end of a job its lines, which are personal data, go; its counts stay."""
LEASE = timedelta(seconds=30)
"""A runner that is not heard of for this long has ended: another goes on. A piece takes a hundredth of it."""
FAILURES_MAX = 5
"""In a row, a lease apart: what fails for two minutes will fail tomorrow, and the ministry's next file waits for it."""
ENDS_SOON = timedelta(days=31)
"""An end that a file brings so near is a closing: at the next file it is too late to look."""
CLOSED_SHARE_MAX = 0.1
SHRUNK_SHARE_MIN = 0.5
JUDGED_BY_THE_DIRECTORY = frozenset({"email-taken", "email-other", "left", "self"})
NOT_YET_MADE = UUID(int=0)
"""Stands, in a dry run, for a directorate that its confirmation will make."""
DIRECTORATES_MAX = 500
"""Of one ministry: they travel in one fact, of at most 256 KiB."""


@dataclass(slots=True)
class Standing:
    """An agent as the directory knows them, when a line is judged."""

    person: Person
    external_id: str | None
    left_on: date | None = None
    """Whose departure is over: the day on which they left."""


@dataclass(slots=True)
class Judged:
    verdict: Verdict
    code: str = ""
    about: str = ""
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Step:
    """A line of the file, or an agent who is not in it any more: what the dry run says of it, and what became of it."""

    step: int
    line: int | None
    verdict: Verdict
    code: str
    about: str
    external_id: str | None
    agent_id: UUID | None
    cells: list[str] | None
    outcome: Verdict | None

    @property
    def can_be_judged_again(self) -> bool:
        """What the file says by itself stays; what depends on the directory is asked again when it is done."""
        return self.verdict != "repeated" and (self.verdict != "reject" or self.code in JUDGED_BY_THE_DIRECTORY)


@dataclass(slots=True)
class Onboarding:
    """A file of a ministry, from its dry run to its end."""

    id: UUID
    ministry_id: UUID
    state: JobState
    complete: bool
    """Whoever is not in the file has left; otherwise it only adds and changes."""
    created_by: UUID
    created_at: datetime
    confirmed_by: UUID | None
    confirmed_at: datetime | None
    finished_at: datetime | None
    encoding: str
    separator: str
    titles: list[str]
    ignored_columns: list[str]
    new_directorates: list[str]
    people: int
    """Lines of the file that stand for somebody."""
    previous_people: int | None
    """Those of the ministry's last complete file."""
    active_agents: int
    """Accounts of the ministry that were not closed, at the dry run."""
    steps: int
    """All there is to do: the lines of the file, and a step for each agent who is not in it any more."""
    done_steps: int
    plan: dict[str, int]
    """How many of each verdict the dry run gave."""
    done: dict[str, int]
    """How many of each there were in truth, so far."""
    failed_why: str | None = None
    """Why it ended before its end."""
    ends_soon: int | None = None
    """Accounts whose end it brings near, by the dry run."""

    @property
    def closings(self) -> int:
        """What its confirmation must name when they are many."""
        return self.plan.get("deactivate", 0) + (self.ends_soon or 0)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a ministry's file may not name, since it is another ministry's."""

    domains: frozenset[str] = frozenset()
    """Proven to be another's."""
    directorates: frozenset[str] = frozenset()
    """Folded names of those that have gone over to another."""


def judge(
    entry: Entry,
    mine: Standing | None,
    holder: Standing | None,
    ministry_id: UUID,
    units: Mapping[str, UUID | None],
    today: date,
    elsewhere: Elsewhere,
) -> Judged:
    """`mine` has the line's identifier in this ministry, `holder` its e-mail anywhere; `units` are directorates by their folded names."""
    if holder is not None and (mine is None or holder.person.id != mine.person.id):
        if holder.person.ministry_id != ministry_id:
            return Judged("reject", "email-taken")
        if mine is not None or holder.external_id is not None:
            return Judged("reject", "email-other", holder.external_id or str(holder.person.id))
    standing = mine or holder
    if entry.directorate and fold(entry.directorate) in elsewhere.directorates:
        return Judged("reject", "transferred", entry.directorate)
    if domain_of(entry.email) in elsewhere.domains and (standing is None or standing.person.email != entry.email):
        return Judged("reject", "email-taken")
    has_departed = entry.leaves_on is not None and entry.leaves_on < today
    if standing is None:
        if has_departed:
            return Judged("unchanged", "gone")
        if entry.arrives_on is not None and entry.arrives_on > today:
            return Judged("later", "later", entry.arrives_on.isoformat())
        return Judged("create")
    if standing.person.state == "left":
        return Judged("unchanged", "gone") if has_departed else Judged("reject", "left")
    if has_departed:
        return Judged("deactivate", "departed", str(entry.leaves_on))
    changes = changes_of(entry, standing.person, units)
    if standing.external_id is None:
        return Judged("adopt", changes=changes | {"external_id": entry.external_id})
    return Judged("update", changes=changes) if changes else Judged("unchanged")


def changes_of(entry: Entry, person: Person, units: Mapping[str, UUID | None]) -> dict[str, Any]:
    """What the file knows otherwise. A column that it lacks changes nothing; nor do capitals, where somebody has written the accents."""
    said: dict[str, Any] = {"email": entry.email}
    if entry.directorate is not None:
        said["directorate_id"] = units.get(fold(entry.directorate)) if entry.directorate else None
    if entry.kind is not None:
        said["kind"] = entry.kind
    if entry.leaves_on is not None or (entry.tells_departures and (entry.kind or person.kind) != "guest"):
        said["expires_at"] = end_of(entry)
    for name in ("given_name", "family_name"):
        written = getattr(entry, name)
        if not is_same_shouted(written, getattr(person, name)):
            said[name] = presentable(written)
    return {name: value for name, value in said.items() if value != getattr(person, name)}


def judge_all(
    entries: Iterable[Entry],
    standings: Iterable[Standing],
    ministry_id: UUID,
    units: Mapping[str, UUID | None],
    today: date,
    elsewhere: Elsewhere,
) -> list[tuple[Judged, Standing | None]]:
    """Each line's verdict, and the account that it is about."""
    by_id: dict[str, Standing] = {}
    by_email: dict[str, Standing] = {}
    for standing in standings:
        by_email[standing.person.email] = standing
        if standing.external_id is not None and standing.person.ministry_id == ministry_id:
            by_id[standing.external_id] = standing
    found = []
    for entry in entries:
        mine, holder = who_count(entry, by_id.get(entry.external_id), by_email.get(entry.email))
        judged = judge(entry, mine, holder, ministry_id, units, today, elsewhere)
        found.append((judged, None if judged.verdict == "reject" else mine or holder))
    return found


def who_count(entry: Entry, mine: Standing | None, holder: Standing | None) -> tuple[Standing | None, Standing | None]:
    """Without those whose departure is over, when the line is about somebody else by its words, or about a new contract by its arrival.

    An arrival is asked for since a file goes on naming, for weeks, people whose accounts were closed by hand.
    """
    if holder is not None and holder.left_on is not None:
        is_another_s = holder.external_id not in (None, entry.external_id) or (mine is not None and mine.left_on is None)
        holder = None if is_another_s or comes_back(entry, holder) else holder
    if mine is not None and mine.left_on is not None:
        has_account = holder is not None and holder.left_on is None
        mine = None if has_account or comes_back(entry, mine) else mine
    return mine, holder


def comes_back(entry: Entry, leaver: Standing) -> bool:
    return entry.arrives_on is not None and leaver.left_on is not None and entry.arrives_on > leaver.left_on


def judge_absent(standing: Standing | None, external_id: str, ministry_id: UUID) -> Judged:
    """Somebody whom the file does not mention, at the time of their closing: still the one whom the dry run showed?"""
    if standing is None or (standing.person.ministry_id, standing.external_id) != (ministry_id, external_id):
        return Judged("unchanged", "changed")
    return Judged("unchanged", "gone") if standing.person.state == "left" else Judged("deactivate", "missing")


def end_of(entry: Entry) -> datetime | None:
    """The last day is a whole one, wherever the agent works on it."""
    return None if entry.leaves_on is None else datetime.combine(entry.leaves_on + timedelta(days=1), time(12), UTC)


def spare_oneself(found: Judged, standing: Standing | None, who: Collection[UUID | None], line: int | None) -> Judged:
    """Nobody closes the account that they send or confirm the file by: a line is refused, who is missing stays."""
    if found.verdict != "deactivate" or standing is None or standing.person.id not in who:
        return found
    return Judged("reject" if line else "unchanged", "self")


def brings_end_near(found: Judged, standing: Standing | None, now: datetime) -> bool:
    end = found.changes.get("expires_at")
    before = standing.person.expires_at if standing else None
    return end is not None and end <= now + ENDS_SOON and (before is None or before > now + ENDS_SOON)


def newcomer(entry: Entry, agent_id: UUID, ministry_id: UUID, units: Mapping[str, UUID | None]) -> Person:
    kind: Kind = entry.kind or "agent"
    return Person(
        agent_id, ministry_id, units.get(fold(entry.directorate)) if entry.directorate else None, kind, "active", entry.email,
        presentable(entry.given_name), presentable(entry.family_name), entry.language or "fr", ["agent"], end_of(entry), 1,
    )  # fmt: skip


@dataclass(slots=True)
class Mentioned:
    """Whom a file mentions in any way: a line that is refused is no reason to close its account."""

    external_ids: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)
    names: set[tuple[str, str]] = field(default_factory=set)
    """Of lines without an identifier."""

    def holds(self, standing: Standing) -> bool:
        person = standing.person
        return (
            standing.external_id in self.external_ids
            or person.email in self.emails
            or (fold(person.given_name), fold(person.family_name)) in self.names
        )


def mentioned_in(header: Header, lines: Collection[Line]) -> Mentioned:
    """A line whose quotation marks do not match was cut at each separator: its identifier may still wear one."""
    found = Mentioned()
    for line in lines:
        external_id, email, given, family = (
            (header.cell(column, line.cells) or "").strip('"') for column in ("external_id", "email", "given_name", "family_name")
        )
        found.external_ids.add(external_id)
        found.emails.add(email.casefold())
        if not external_id and (given or family):
            found.names.add((fold(given), fold(family)))
    return found


def why_failed(job: Onboarding, error: Exception) -> str:
    """Without what the error says, which may name people."""
    return (
        f"It stopped behind step {job.done_steps} of {job.steps}, {FAILURES_MAX} times, by {type(error).__name__}. What is done stays. "
        "Operators read more in directory's log; then send the file again."
    )


def guard_rails(job: Onboarding) -> list[str]:
    """Why a confirmation must name the accounts that it closes; empty when it need not."""
    found = []
    if job.closings > CLOSED_SHARE_MAX * job.active_agents:
        soon = f", {job.ends_soon} of them within {ENDS_SOON.days} days" if job.ends_soon else ""
        found.append(f"it closes {job.closings} of the ministry's {job.active_agents} accounts{soon}")
    if job.complete and job.previous_people is not None and job.people < SHRUNK_SHARE_MIN * job.previous_people:
        found.append(f"the file has {job.people} people, and the last one had {job.previous_people}")
    return found


def check_confirmation(job: Onboarding, accept_deactivations: bool, deactivations: int | None, now: datetime) -> None:
    """Raises Conflict."""
    if job.state != "draft":
        raise Conflict(f"This file is {job.state}: only a draft is confirmed.")
    if now >= job.created_at + DRAFT_LIFE:
        raise Conflict(f"This dry run is more than {DRAFT_LIFE.days} days old: send the file again.")
    if (why := guard_rails(job)) and not (accept_deactivations and deactivations == job.closings):
        raise Conflict(
            f"Look again: {'; '.join(why)}. If that is right, confirm with "
            f"`accept_deactivations: true` and `deactivations: {job.closings}`."
        )


def counted(verdicts: Iterable[str], before: Mapping[str, int] | None = None) -> dict[str, int]:
    """How many there are of each, beside those of before."""
    return dict(Counter(before or {}) + Counter(verdicts))
