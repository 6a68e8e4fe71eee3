"""What CalDAV's doors cost on PostgreSQL, in an agenda of 5,000 events: CPU of our process, beside the least that an answer takes."""

import asyncio
import json
import os
import statistics
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("services", "infra", "calendar")] + [str(Path(__file__).parent)]

from _bars import exit_status, verdict  # noqa: E402
from aiohttp import web  # noqa: E402
from bench_directory import postgres  # noqa: E402
from bench_http import CONNECTIONS, Server, on_cpu_nanoseconds  # noqa: E402
from parvis_calendar import actions, queries  # noqa: E402
from parvis_calendar.app import build  # noqa: E402
from parvis_calendar.rules.agendas import Asker  # noqa: E402
from parvis_contracts.directory import AgentState, CredentialState, SigningKeyState  # noqa: E402
from parvis_kit import access  # noqa: E402
from parvis_kit.clock import utc_now  # noqa: E402
from parvis_kit.http import mount  # noqa: E402
from parvis_kit.http.chain import LIMITS  # noqa: E402
from parvis_kit.serve import run, runner_options  # noqa: E402
from parvis_kit.settings import Platform  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402
from parvis_suite.assembly import migrate  # noqa: E402
from pydantic import SecretStr  # noqa: E402

ROUNDS, TURNS = 7, 3
SINGLE, WEEKLY, AT_ONCE = 4_980, 20, 250
"""Events that take place once, spread over four years, and those of every week."""
BARS = {"put": 3.0, "week": 25.0, "week expanded": 25.0, "sync": 3.0, "poll": 2.0, "multiget 100": 6.0, "free-busy": 5.0, "home": 1.5}
NAMESPACES = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:CS="http://calendarserver.org/ns/"'
HOME_PROPERTIES = (
    "D:resourcetype", "D:displayname", "D:sync-token", "D:current-user-privilege-set", "D:owner", "CS:getctag",
    "C:supported-calendar-component-set", "C:calendar-description", "C:schedule-calendar-transp",
)  # fmt: skip


def octets(number: int, monday: datetime) -> bytes:
    """With what clients put into every event."""
    start = (
        monday + timedelta(hours=number * 7 % (4 * 365 * 24) - 2 * 365 * 24)
        if not SINGLE <= number < SINGLE + WEEKLY
        else monday + timedelta(hours=number % 100)
    )
    end, rule = start + timedelta(minutes=45), ["RRULE:FREQ=WEEKLY"] if SINGLE <= number < SINGLE + WEEKLY else []
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Mozilla.org/NONSGML Mozilla Calendar V1.1//EN", "BEGIN:VEVENT",
        "CREATED:20261101T080000Z", "LAST-MODIFIED:20261101T080000Z", "DTSTAMP:20261101T080000Z", f"UID:{number}@bench.example.org",
        f"SUMMARY:Point hebdomadaire numéro {number}", *rule, f"DTSTART;TZID=Europe/Paris:{start:%Y%m%dT%H%M%S}",
        f"DTEND;TZID=Europe/Paris:{end:%Y%m%dT%H%M%S}", "LOCATION:Salle 3042", "DESCRIPTION:Ordre du jour à venir.", "BEGIN:VALARM",
        "ACTION:DISPLAY", "TRIGGER:-PT15M", "DESCRIPTION:Rappel", "END:VALARM", "END:VEVENT", "END:VCALENDAR", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def this_monday() -> datetime:
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=today.weekday())


async def serve() -> None:
    platform = Platform(database_url=SecretStr(os.environ["BENCH_DATABASE_URL"]), access_log=False)
    calendar = build(platform, utc_now)
    await migrate([calendar], platform)
    ada, ministry, key = uuid4(), uuid4(), access.make_key()
    password = await copy_directory(calendar, ada, ministry, key)
    if "BENCH_CALENDAR_EMPTY" not in os.environ:
        await fill(calendar, ada, ministry)
    app = web.Application(client_max_size=LIMITS.body_bytes)
    mount(app, calendar, platform)
    app.router.add_route("PROPFIND", "/floor", floor)
    runner = web.AppRunner(app, access_log=None, **runner_options(LIMITS))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    said = {"password": password, "agenda": f"/dav/calendars/{ada}/agenda/", "home": f"/dav/calendars/{ada}/", "ada": str(ada)}
    print(json.dumps({**said, "token": token_of(key, ada, ministry)}), flush=True)
    await asyncio.Event().wait()


async def floor(request: web.Request) -> web.Response:
    """Read and answered, and nothing done: what is below every figure."""
    await request.read()
    return web.Response(body=b"<x/>", status=207)


def token_of(key: Any, ada: UUID, ministry: UUID) -> str:
    """For the doors in JSON."""
    now = utc_now()
    claims = access.Claims(
        iss=access.issuer_of(""), aud="parvis", iat=int(now.timestamp()), exp=int((now + timedelta(hours=12)).timestamp()), sub=ada,
        sid=uuid4(), ministry=ministry, roles=("agent",), scope="calendar:read calendar:write",
    )  # fmt: skip
    return access.sign(claims, key)


async def copy_directory(calendar: Any, ada: UUID, ministry: UUID, key: Any) -> str:
    """As the roster's projection does."""
    password, credential = access.make_app_password(), uuid4()
    agent = AgentState(
        at=utc_now(), about=str(ada), agent_id=ada, ministry_id=ministry, kind="agent", state="active", email="ada@example.org",
        given_name="Ada", family_name="Martin", roles=("agent",),
    )  # fmt: skip
    known = CredentialState(
        at=utc_now(), about=str(credential), credential_id=credential, agent_id=ada, kind="app_password", state="active",
        prefix=password.prefix, digest=password.digest, scopes=("dav:calendars",),
    )  # fmt: skip
    kid, end = str(key.kid), utc_now() + timedelta(days=1)
    signing = SigningKeyState(at=utc_now(), about=kid, kid=kid, jwk=access.public_jwk(key), not_after=end)
    async with calendar.database.transaction() as tx:
        for fact in (agent, known, signing):
            await calendar.projections[0].on[type(fact)].handler(tx, [fact])
        await actions.open_home(tx, ada, ministry, now=utc_now())
    calendar.projections[0].reached_end()
    return str(password)


async def fill(calendar: Any, ada: UUID, ministry: UUID) -> None:
    monday, now = this_monday(), utc_now()
    for first in range(0, SINGLE + WEEKLY, AT_ONCE):
        async with calendar.database.transaction() as tx:
            agenda = await queries.agenda_for(tx, Asker(ada, ministry), ada, "agenda")
            for number in range(first, min(first + AT_ONCE, SINGLE + WEEKLY)):
                new = await actions.prepared(octets(number, monday), agenda, now)
                await actions.put_object(tx, agenda, f"{number}.ics", new, lambda _: None, "", None, now=now)
    async with calendar.database.transaction() as tx:
        for table in ("object", "instance", "busy_week", "agenda"):
            await tx.exec_driver_sql(f"ANALYZE calendar.{table}")


class CalendarServer(Server):
    """The service in a process of its own."""

    def __init__(self) -> None:
        super().__init__("serve", str(Path(__file__).with_name("bench_calendar.py")))
        assert self.process.stdout is not None
        self.said: dict[str, str] = json.loads(self.process.stdout.readline())
        self.basic = "Basic " + b64encode(f"ada@example.org:{self.said['password']}".encode()).decode()
        self.number = 10_000

    def request(self, method: str, path: str, body: bytes, **headers: str) -> bytes:
        kept = {"Host": "localhost", "Authorization": self.basic, "Content_Type": "application/xml", "Content_Length": str(len(body))}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in {**kept, **headers}.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body

    def asked(self, connection: Any, sent: bytes) -> bytes:
        connection.sendall(sent)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(262144)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int((head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) or 0)
        while len(body) < length:
            body += connection.recv(262144)
        assert head.startswith((b"HTTP/1.1 20",)), answer[:500]
        return body

    def cost(self, make: Callable[[], bytes], turns: int = TURNS, check: bytes = b"") -> float:
        """Milliseconds of CPU for each, several at work at once."""
        sent = [[make() for _ in self.connections] for _ in range(turns)]
        before = on_cpu_nanoseconds(self.process.pid)
        for requests in sent:
            for connection, one in zip(self.connections, requests, strict=True):
                assert check in self.asked(connection, one)
        return (on_cpu_nanoseconds(self.process.pid) - before) / 1e6 / (turns * CONNECTIONS)

    def put(self) -> bytes:
        self.number += 1
        return self.request(
            "PUT", f"{self.said['agenda']}{self.number}.ics", octets(self.number, this_monday()), Content_Type="text/calendar"
        )

    def report(self, root: str, inside: str) -> bytes:
        body = f'<?xml version="1.0" encoding="utf-8"?><{root} {NAMESPACES}>{inside}</{root}>'.encode()
        return self.request("REPORT", self.said["agenda"], body, Depth="1")

    def sync(self, token: str) -> bytes:
        inside = f"<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
        return self.report("D:sync-collection", inside)

    def token(self, since: str = "") -> str:
        body = self.asked(self.connections[0], self.sync(since))
        return body.rpartition(b"<D:sync-token>")[2].partition(b"<")[0].decode()

    def sync_after_change(self, token: str) -> tuple[float, str]:
        self.asked(self.connections[0], self.put())
        before = on_cpu_nanoseconds(self.process.pid)
        body = self.asked(self.connections[0], self.sync(token))
        spent = (on_cpu_nanoseconds(self.process.pid) - before) / 1e6
        assert body.count(b"<D:response>") == 1, body
        return spent, body.rpartition(b"<D:sync-token>")[2].partition(b"<")[0].decode()


def measure(server: CalendarServer) -> Iterator[tuple[str, float]]:
    """(what, milliseconds of CPU) again and again."""
    monday = this_monday()
    times = f'start="{monday:%Y%m%dT%H%M%SZ}" end="{monday + timedelta(days=7):%Y%m%dT%H%M%SZ}"'
    events = f'<C:comp-filter name="VEVENT"><C:time-range {times}/></C:comp-filter>'
    asked = f'<C:filter><C:comp-filter name="VCALENDAR">{events}</C:comp-filter></C:filter>'
    week = f"<D:prop><D:getetag/><C:calendar-data/></D:prop>{asked}"
    expanded = f"<D:prop><D:getetag/><C:calendar-data><C:expand {times}/></C:calendar-data></D:prop>{asked}"
    hrefs = "".join(f"<D:href>{server.said['agenda']}{number}.ics</D:href>" for number in range(100))
    many = f"<D:prop><D:getetag/><C:calendar-data/></D:prop>{hrefs}"
    body = f"<D:propfind {NAMESPACES}><D:prop>{''.join(f'<{one}/>' for one in HOME_PROPERTIES)}</D:prop></D:propfind>".encode()
    home = server.request("PROPFIND", server.said["home"], body, Depth="1")
    token = server.token()
    for _ in range(ROUNDS + 1):
        yield "floor", server.cost(lambda: server.request("PROPFIND", "/floor", body), 10)
        yield "put", server.cost(server.put)
        yield "week", server.cost(lambda: server.report("C:calendar-query", week), check=b"SUMMARY")
        yield "week expanded", server.cost(lambda: server.report("C:calendar-query", expanded), check=b"SUMMARY")
        yield "multiget 100", server.cost(lambda: server.report("C:calendar-multiget", many), check=b"SUMMARY")
        yield "free-busy", server.cost(lambda: server.report("C:free-busy-query", f"<C:time-range {times}/>"), check=b"FREEBUSY")
        yield "home", server.cost(lambda: home, check=b"getctag")
        token = server.token(token)
        yield "poll", server.cost(partial(server.sync, token), check=b"sync-token")
        for _ in range(TURNS * 3):
            spent, token = server.sync_after_change(token)
            yield "sync", spent


def main() -> int:
    found: dict[str, list[float]] = {}
    with postgres() as url:
        place = PostgresServer(url)
        database = place.create()
        os.environ["BENCH_DATABASE_URL"] = database
        try:
            server = CalendarServer()
            try:
                for name, figure in measure(server):
                    found.setdefault(name, []).append(figure)
            finally:
                server.stop()
        finally:
            place.drop(database)
    median = {name: statistics.median(figures[1:]) for name, figures in found.items()}  # the first is a warm-up
    print(f"{SINGLE + WEEKLY} events; read and answered, and nothing done: {median['floor']:.3f} ms of CPU")
    for what, bar in BARS.items():
        print(f"{verdict(median[what] <= bar)}{what:14}{median[what]:.3f} ms of CPU   bar: {bar} ms")
    return exit_status()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        run(serve())
    else:
        sys.exit(main())
