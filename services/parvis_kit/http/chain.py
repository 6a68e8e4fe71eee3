"""What every request goes through, in one wrapper a route: ids, a place among those at work, who asks, a time limit, figures, one line."""

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import randbytes
from time import monotonic
from typing import Any

from aiohttp import hdrs, web
from multidict import istr

from parvis_kit.context import CAUSE, TRACEPARENT, Cause
from parvis_kit.http.answers import GUARD, Answer, http_error_answer, problem_answer
from parvis_kit.http.meters import AT_WORK, AT_WORK_MAX, REFUSED, meter_of
from parvis_kit.http.network import client_address
from parvis_kit.logs import ACCESS, SERVICE
from parvis_kit.problems import Problem, Unavailable

Request = web.Request
Handler = Callable[[Request], Awaitable[web.StreamResponse]]
Authenticate = Callable[[Request, str], Awaitable[None]]
"""Sets who asks on the request. Raises Unauthorized for nobody known, Forbidden for somebody who lacks the scope."""

REQUEST_ID_HEADER, TRACEPARENT_HEADER = istr("X-Request-Id"), istr("traceparent")
LATE_HEADER = istr("Parvis-Late-Seconds")
LATE = web.RequestKey("LATE", int)
"""For how many seconds nothing of what other services say has come in, where that is worth telling: the answer carries it as a header."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,64}")
LOOK_SECONDS_MAX = 1.0
"""How late a request may be found late."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how large; the defaults suit a process behind a proxy or on a developer's machine."""

    handler_seconds: float = 30.0
    """A door that has not answered by then is given up: 503."""
    body_seconds: float = 15.0
    """A whole JSON body must have come by then (1 MiB at 70 kB/s): 408."""
    body_bytes: int = 2**20
    """Of a JSON body: 413. Uploads are streamed by raw doors, which count for themselves."""
    idle_seconds: float = 15.0
    """A connection that sends no whole head for this long is closed. Above a proxy's own limit it would be safer at 75."""
    linger_seconds: float = 2.0
    """What is still being sent after its refusal is read for this long, so that the refusal arrives."""
    drain_seconds: float = 1.0
    """From the order to stop until no new connection is taken: what a proxy needs to notice."""
    shutdown_seconds: float = 20.0
    """What requests at work have to finish, after that."""


LIMITS = Limits()


@dataclass(slots=True)
class Process:
    """What all the chains of a process share."""

    draining: bool = False


class AtWork:
    """The requests of one service being handled, each with its deadline. One timer for all: asyncio.timeout costs each 4 µs."""

    __slots__ = ("requests_max", "look_seconds", "deadlines", "late", "looking")

    def __init__(self, requests_max: int, handler_seconds: float) -> None:
        self.requests_max = requests_max
        self.look_seconds = min(LOOK_SECONDS_MAX, handler_seconds / 4)
        self.deadlines: dict[asyncio.Task[Any], float] = {}
        self.late: set[asyncio.Task[Any]] = set()
        self.looking = False

    def look_later(self) -> None:
        self.looking = True
        asyncio.get_running_loop().call_later(self.look_seconds, self.look)

    def look(self) -> None:
        """Cancel those whose time is over."""
        now = monotonic()
        for task, deadline in self.deadlines.items():
            if deadline < now:
                self.deadlines[task] = math.inf
                self.late.add(task)
                task.cancel()
        self.looking = False
        if self.deadlines:
            self.look_later()


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Of one service."""

    service: str
    process: Process
    at_work: AtWork
    handles: tuple[tuple[web.RequestKey[Any], Any], ...] = ()
    authenticate: Authenticate | None = None
    access_log: bool = False
    limits: Limits = LIMITS

    def around(self, method: str, route: str, door: Handler, *, scope: str | None = None, seconds_max: float = math.inf) -> Handler:
        """The door with everything before and behind it. `route` is its template, never a path."""
        meter, at_work, deadlines = meter_of(self.service, method, route), self.at_work, self.at_work.deadlines
        process, service, access_log, authenticate, handles = self.process, self.service, self.access_log, self.authenticate, self.handles
        if scope is not None and authenticate is None:
            raise ValueError(f"{method} {route} asks for the scope {scope}, and {service} has no `authenticate`")

        async def handle(request: Request) -> web.StreamResponse:
            began = monotonic()
            cause = cause_of(request.headers)
            CAUSE.set(cause)  # nothing resets them: aiohttp runs each request in a task, hence a context, of its own
            SERVICE.set(service)
            status = 499
            try:
                if len(deadlines) >= at_work.requests_max:
                    response = self.refuse("full", "Too many requests are at work here: ask again in a moment.")
                else:
                    task = asyncio.current_task()
                    assert task is not None  # noqa: S101 (a coroutine that runs has one)
                    deadlines[task] = began + seconds_max
                    if not at_work.looking:
                        at_work.look_later()
                    try:
                        for key, value in handles:
                            request[key] = value
                        if scope is not None:
                            await authenticate(request, scope)  # type: ignore[misc]
                        response = await door(request)
                    except asyncio.CancelledError:
                        if task not in at_work.late or task.uncancel() > 0:
                            raise
                        response = self.give_up(request, method, route)
                    except Problem as problem:
                        response = problem_answer(problem)
                    except web.HTTPException as error:
                        response = http_error_answer(error)
                    except ConnectionError:
                        raise  # the caller has gone: nobody to answer
                    except Exception:  # a bug; whatever it is, the caller gets an answer without its details
                        response = self.confess(request, method, route, cause.request_id)
                    finally:
                        del deadlines[task]
                        at_work.late.discard(task)
                status = response.status
                if type(response) is not Answer and not response.prepared:
                    for name, text in GUARD.items():
                        response.headers.setdefault(name, text)
                response.headers[REQUEST_ID_HEADER] = cause.request_id
                if LATE in request:
                    response.headers[LATE_HEADER] = str(request[LATE])
                if process.draining:
                    response.force_close()
                return response
            finally:
                seconds = monotonic() - began
                meter.observe(status, seconds)
                if access_log:
                    log_access(request, route, status, seconds)

        return handle

    def refuse(self, why: str, detail: str) -> web.StreamResponse:
        REFUSED.labels(self.service, why).inc()
        return problem_answer(Unavailable(detail))

    def give_up(self, request: Request, method: str, route: str) -> web.StreamResponse:
        log.error("%s %s took longer than %s s and was given up", method, route, self.limits.handler_seconds)
        _not_begun(request)
        return self.refuse("late", "This took too long and was given up: it may or may not have been done.")

    def confess(self, request: Request, method: str, route: str, request_id: str) -> web.StreamResponse:
        log.exception("%s %s failed", method, route)
        _not_begun(request)
        detail = "A fault of ours: if it stays, tell your administrator the request's id."
        return problem_answer(Problem(detail), instance=f"urn:parvis:request:{request_id}")


def _not_begun(request: Request) -> None:
    """Raises ConnectionError, which closes the connection, when a part of an answer is out already."""
    if request.writer.output_size:
        raise ConnectionError("the answer had begun")


def cause_of(headers: Mapping[str, str]) -> Cause:
    """The caller's request id and trace when they are sane, else new ones; the span is ours."""
    came, trace = headers.get(REQUEST_ID_HEADER), headers.get(TRACEPARENT_HEADER)
    fresh = randbytes(16).hex()  # noqa: S311 (to find lines by, no secret; os.urandom costs a system call)
    if came is None and trace is None:
        return Cause(fresh, f"00-{fresh}-{fresh[16:]}-01")
    found = TRACEPARENT.match(trace or "")
    trace_id, flags = (found[1], found[3]) if found else (fresh, "01")
    request_id = came if came is not None and REQUEST_ID.fullmatch(came) else trace_id
    return Cause(request_id, f"00-{trace_id}-{fresh[16:]}-{flags}")


def log_access(request: Request, route: str, status: int, seconds: float) -> None:
    """One line. The path without its query, which may hold what somebody searched for."""
    ACCESS.info(
        "",
        extra={
            "fields": {
                "method": request.method,
                "path": request.path,
                "route": route,
                "status": status,
                "ms": round(seconds * 1000, 2),
                "client": client_address(request),
            }
        },
    )


async def expect(request: Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue`; any other expectation cannot be met."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        return http_error_answer(web.HTTPExpectationFailed())
    if request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # an interim response is no answer begun
    return None


def meter_at_work(service: str, at_work: AtWork) -> None:
    AT_WORK.labels(service).set_function(lambda: len(at_work.deadlines))
    AT_WORK_MAX.labels(service).set(at_work.requests_max)


def meter_refusals(service: str) -> None:
    """From zero on: a figure that is not there yet cannot be told from one that is lost."""
    for why in ("full", "late"):
        REFUSED.labels(service, why)
