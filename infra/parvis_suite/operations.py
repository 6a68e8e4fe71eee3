"""What operators see and repair over HTTP, in each service alike: who lags, what is parked, what the doctor finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from aiohttp import web
from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.events import operate
from parvis_kit.events.operate import gauge
from parvis_kit.events.ports import Gone
from parvis_kit.events.running import Flow
from parvis_kit.http import Body, Request, Routes, client_address
from parvis_kit.problems import Conflict, Forbidden, NotFound, Unavailable
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_roster import AGENT
from pydantic import Field

from parvis_suite.assembly import flow_of, log_of
from parvis_suite.doctor import Finding, examine_service

LOOK_AGE_MAX = timedelta(seconds=45)
"""Of one that is shown. Each process takes one every 15 s; an older one says that something holds it up."""
PARKED_SHOWN_MAX = 100
"""The oldest; whoever has more to look at takes `parvis events parked`."""
Word = Annotated[str, Field(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Lane(Body):
    """A key of a topic, whose facts wait."""

    consumer: Word
    topic: Word
    key: Word


class DiscardedLane(Lane):
    reason: Annotated[Word, Field(description="For the record: why their effects may be missing.")]


@dataclass(slots=True)
class LagSeen:
    """How far a consumer is behind one publisher."""

    consumer: str
    publisher: str
    facts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Look:
    """How a service was, at a moment."""

    at: datetime
    lags: Sequence[LagSeen]
    findings: Sequence[Finding]


@dataclass(slots=True)
class Operated:
    """The service that these doors are of, and the last look at it: taken with the gauges', so that whoever asks again and again asks the
    database for little."""

    service: Service
    platform: Platform
    flow: Flow
    kept: Look | None = None
    acts: int = 0

    async def look(self, flow: Flow) -> Look:
        """Raises Gone."""
        lags = await gauge(flow)
        findings = [one async for one in examine_service(self.service, self.platform, lags)]
        return Look(flow.clock(), [LagSeen(one.consumer, one.publisher, one.facts, one.seconds) for one in lags], findings)

    async def keep_looking(self, flow: Flow) -> None:
        """Raises Gone."""
        acts = self.acts
        found = await self.look(flow)
        if acts == self.acts:  # or it is of before what an operator has done meanwhile
            self.kept = found

    async def last_look(self) -> Look:
        """The one that is kept, or one of now. Raises Gone."""
        if self.kept is not None and self.flow.clock() - self.kept.at <= LOOK_AGE_MAX:
            return self.kept
        return await self.look(self.flow)

    def has_acted(self) -> None:
        """Whoever looks next sees what came of it."""
        self.kept, self.acts = None, self.acts + 1


OPERATED = web.RequestKey("OPERATED", Operated)


@dataclass(slots=True)
class ParkedSeen:
    """A fact that waits; ids and reasons, no content."""

    consumer: str
    topic: str
    key: str
    type: str
    reason: str
    error: str
    attempts: int
    parked_at: datetime


@dataclass(slots=True)
class OperationsSeen:
    """How a service is: what is parked now, and the rest as it was at the last look, at most some seconds ago."""

    looked_at: datetime
    lag: list[LagSeen]
    parked: list[ParkedSeen]
    findings: list[Finding]


@dataclass(slots=True)
class Done:
    facts: int


def routes_of(name: str) -> Routes:
    """The doors of one service."""
    routes, at = Routes(name, "1"), f"/api/{name}/v1/operations"
    routes.get(at, scope=f"{name}:read", problems=(Unavailable,))(read_operations)
    routes.post(f"{at}/replay", scope=f"{name}:write", status=200, problems=(NotFound, Conflict))(replay_parked)
    routes.post(f"{at}/discard", scope=f"{name}:write", status=200, problems=(NotFound,))(discard_parked)
    return routes


def attach(services: Sequence[Service], platform: Platform) -> Sequence[Service]:
    """To those that know who asks."""
    for service in services:
        if service.authenticate is not None:
            service.routes = (*service.routes, routes_of(service.name))
            operated = Operated(service, platform, flow_of(service, log_of(platform)))
            service.handles = {**service.handles, OPERATED: operated}
            service.look = operated.keep_looking
    return services


def check_operator(request: Request) -> Operated:
    """Raises Forbidden."""
    if "operator" not in request[AGENT].roles:
        raise Forbidden("Operators of the suite may do this.")
    return request[OPERATED]


async def read_operations(request: Request) -> OperationsSeen:
    """Who lags, what is parked, and what the doctor finds; for operators."""
    operated = check_operator(request)
    try:
        look = await operated.last_look()
    except Gone as gone:
        raise Unavailable(f"The log cannot be read: {gone}") from None
    parked = await operate.parked(operated.flow.database, limit=PARKED_SHOWN_MAX)
    return OperationsSeen(
        look.at,
        list(look.lags),
        [ParkedSeen(one.consumer, *one.fact.lane, one.fact.type, one.reason, one.error, one.attempts, one.parked_at) for one in parked],
        list(look.findings),
    )


async def replay_parked(request: Request, body: Lane) -> Done:
    """Apply what waits under a key, in order, in one transaction; what still fails stays parked; for operators."""
    operated = check_operator(request)
    try:
        facts = await operate.replay_lane(operated.flow, body.consumer, (body.topic, body.key))
    except NotFound:
        raise
    except Exception as error:  # whatever the reaction raises is why it stays parked
        raise Conflict(f"It still fails, and stays parked: {type(error).__name__}: {error}"[:400]) from None
    operated.has_acted()
    if not facts:
        raise NotFound("Nothing is parked there any more.")
    return Done(facts)


async def discard_parked(request: Request, body: DiscardedLane) -> Done:
    """Throw away what waits under a key, unapplied; who, what and why is written down; for operators."""
    operated = check_operator(request)
    who, where = request[AGENT].id, client_address(request)

    async def note(tx: Tx) -> None:
        what = f"events.discard {body.consumer}"
        now = operated.flow.clock()
        await audit.record(tx, who=who, what=what, on=body.key, ministry=None, at=now, why=body.reason, where=where)

    gone = await operate.discard_lane(operated.flow, body.consumer, (body.topic, body.key), note)
    operated.has_acted()
    if not gone:
        raise NotFound("Nothing is parked there any more.")
    return Done(len(gone))
