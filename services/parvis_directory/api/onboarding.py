"""A ministry's file: sent, looked at, confirmed, and watched to its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from aiohttp import web
from parvis_kit.http import CLOCK, DB, LOCATION, Body, Content, IdempotencyKey, Incoming, Page, Query, Reply, Request, Routes
from parvis_kit.http.answers import GUARD
from parvis_kit.idempotency import Kept, once
from parvis_kit.problems import Conflict, NotFound, Unavailable
from pydantic import Field, TypeAdapter

from parvis_directory import actions, queries, rules
from parvis_directory.api.agents import ZONE
from parvis_directory.api.common import Paging, asked, asker_of
from parvis_directory.rules.onboarding import JobState, Onboarding, Step, Verdict, guard_rails
from parvis_directory.rules.reasons import said
from parvis_directory.rules.roster import FILE_BYTES_MAX

ROUTES = Routes("directory", "1")
UPLOAD_SECONDS_MAX = 60.0
"""16 MiB at 280 kB/s."""
FILES_AT_ONCE_MAX = 2
"""A file of a hundred thousand lines takes 200 MB while it is judged."""
LINES_MAX = 500
File = Annotated[Incoming, Content(("text/csv",), bytes_max=FILE_BYTES_MAX, seconds_max=UPLOAD_SECONDS_MAX)]


class Reading:
    """How many files this process reads now."""

    def __init__(self) -> None:
        self.files = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Raises Unavailable."""
        if self.files >= FILES_AT_ONCE_MAX:
            raise Unavailable("Other files are being read here: send yours again in a moment.", retry_after_seconds=5)
        self.files += 1
        try:
            yield
        finally:
            self.files -= 1


READING = web.RequestKey("reading", Reading)


class SendRoster(Query):
    complete: Annotated[
        bool, Field(description="The file holds everybody: who is not in it has left. With false it only adds and changes.")
    ] = True


class SentFile(Body):
    """What makes two uploads one, for the Idempotency-Key."""

    digest: str


class Confirmation(Body):
    accept_deactivations: Annotated[bool, Field(description="Needed when the dry run closes many accounts; with their number.")] = False
    deactivations: Annotated[int | None, Field(ge=0, description="How many accounts you agree to close: `closings` of the dry run.")] = None


class ListLines(Query):
    limit: Annotated[int, Field(ge=1, le=LINES_MAX)] = 100
    after: Annotated[int, Field(ge=0, le=2**31 - 1, description="`next` of the page before.")] = 0
    verdict: Annotated[Verdict | None, Field(description="Only lines that ended so, or would.")] = None
    language: Annotated[Literal["fr", "en"], Field(description="Of the reasons.")] = "en"


class Rejects(Query):
    language: Annotated[Literal["fr", "en"], Field(description="Of the reasons.")] = "fr"


@dataclass(slots=True)
class OnboardingJob:
    """A file of a ministry, from its dry run to its end."""

    id: UUID
    ministry_id: UUID
    state: JobState
    complete: bool
    created_by: UUID
    created_at: datetime
    confirmed_by: UUID | None
    confirmed_at: datetime | None
    finished_at: datetime | None
    encoding: str
    separator: str
    ignored_columns: list[str]
    new_directorates: list[str]
    people: int
    active_agents: int
    plan: dict[Verdict, int]
    closings: int
    """Accounts that it closes, or whose end it brings within 31 days: what a confirmation names."""
    guard_rails: list[str]
    """Why its confirmation must name the accounts that it closes; empty when it need not."""
    steps: int
    done_steps: int
    done: dict[Verdict, int]
    failed_why: str | None
    """Why it ended before its end; then it can be discarded, or the file sent again."""


@dataclass(slots=True)
class RosterLine:
    """A line of the file, or (without a number) an agent who is not in it any more."""

    step: int
    line: int | None
    verdict: Verdict
    outcome: Verdict | None
    """What became of it; null before it is done."""
    code: str
    reason: str
    external_id: str | None
    agent_id: UUID | None


KEPT = Kept(TypeAdapter(Onboarding))


def shown(job: Onboarding) -> OnboardingJob:
    values: dict[str, Any] = {name: getattr(job, name) for name in OnboardingJob.__slots__ if name != "guard_rails"}
    return OnboardingJob(**values, guard_rails=guard_rails(job))


def shown_line(step: Step, language: str) -> RosterLine:
    reason = said(step.code, step.about, language)
    return RosterLine(step.step, step.line, step.verdict, step.outcome, step.code, reason, step.external_id, step.agent_id)


@ROUTES.post(
    "/api/directory/v1/ministries/{ministry_id}/onboardings", scope="directory:write", problems=(NotFound, Conflict), headers=LOCATION
)
async def send_roster(request: Request, ministry_id: UUID, query: SendRoster, file: File, key: IdempotencyKey) -> Reply[OnboardingJob]:
    """A dry run of the ministry's file of agents, as Excel writes CSV: what it would do, line by line. Nothing is done yet."""
    asker, now, database = asker_of(request), request[CLOCK](), request[DB]
    async with database.read() as conn:
        await queries.ministry_for(conn, asker, ministry_id)
    rules.check_may_change(asker, ministry_id)
    with request[READING].one_more():
        raw = await file.read()
        plan = await actions.plan_onboarding(database, asker, ministry_id, raw, complete=query.complete, zone=request[ZONE], now=now)
        async with database.transaction() as tx:
            act = asked(request, key, f"send_roster {ministry_id}", SentFile(digest=plan.digest))
            job = await once(tx, act, KEPT, lambda: actions.keep_plan(tx, asker, plan, now=now))
    return Reply(shown(job), {"Location": f"/api/directory/v1/onboardings/{job.id}"})


@ROUTES.get("/api/directory/v1/ministries/{ministry_id}/onboardings", scope="directory:read", problems=(NotFound,))
async def list_onboardings(request: Request, ministry_id: UUID, query: Paging) -> Page[OnboardingJob]:
    """The ministry's files, the newest first."""
    async with request[DB].read() as conn:
        page = await queries.onboardings_for(conn, asker_of(request), ministry_id, query.after, query.limit)
    return Page([shown(job) for job in page.items], page.next)


@ROUTES.get("/api/directory/v1/onboardings/{onboarding_id}", scope="directory:read", problems=(NotFound,))
async def get_onboarding(request: Request, onboarding_id: UUID) -> OnboardingJob:
    """What the file would do, what it has done, and how far it is: `done_steps` of `steps`."""
    async with request[DB].read() as conn:
        return shown(await queries.onboarding_for(conn, asker_of(request), onboarding_id))


@ROUTES.get("/api/directory/v1/onboardings/{onboarding_id}/lines", scope="directory:read", problems=(NotFound,))
async def list_roster_lines(request: Request, onboarding_id: UUID, query: ListLines) -> Page[RosterLine]:
    """Each line's verdict and its reason; they are kept for 30 days after the end."""
    async with request[DB].read() as conn:
        page = await queries.steps_for(conn, asker_of(request), onboarding_id, query.after, query.limit, query.verdict)
    return Page([shown_line(step, query.language) for step in page.items], page.next)


@ROUTES.get("/api/directory/v1/onboardings/{onboarding_id}/rejects", scope="directory:read", problems=(NotFound,))
async def get_rejects(request: Request, onboarding_id: UUID, query: Rejects) -> web.StreamResponse:
    """The refused lines as a CSV file that Excel opens: the columns as they came, the line's number, the reason."""
    async with request[DB].read() as conn:
        job = await queries.onboarding_for(conn, asker_of(request), onboarding_id)
        disposition = f'attachment; filename="rejets-{job.created_at:%Y-%m-%d}.csv"'
        answer = web.StreamResponse(headers={**GUARD, "Content-Type": "text/csv; charset=utf-8", "Content-Disposition": disposition})
        await answer.prepare(request)
        async for part in queries.rejects_of(conn, job, query.language):
            await answer.write(part.encode())
        await answer.write_eof()
    return answer


@ROUTES.post("/api/directory/v1/onboardings/{onboarding_id}/confirm", scope="directory:write", status=202, problems=(NotFound, Conflict))
async def confirm_onboarding(request: Request, onboarding_id: UUID, body: Confirmation) -> OnboardingJob:
    """Do what the dry run showed; it is worked through beside, and each line is judged once more when its turn comes."""
    async with request[DB].transaction() as tx:
        job = await actions.confirm_onboarding(
            tx, asker_of(request), onboarding_id, accept_deactivations=body.accept_deactivations, deactivations=body.deactivations,
            now=request[CLOCK](),
        )  # fmt: skip
    return shown(job)


@ROUTES.delete("/api/directory/v1/onboardings/{onboarding_id}", scope="directory:write", problems=(NotFound, Conflict))
async def discard_onboarding(request: Request, onboarding_id: UUID) -> None:
    """Throw a dry run away, or a file that failed."""
    async with request[DB].transaction() as tx:
        await actions.discard_onboarding(tx, asker_of(request), onboarding_id, now=request[CLOCK]())
