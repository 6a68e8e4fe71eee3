"""What reading and expanding an object costs, beside a full parser; and what the availability of two hundred people does, on PostgreSQL."""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("services", "infra", "calendar")] + [str(Path(__file__).parent)]

import asyncpg  # noqa: E402
import icalendar  # noqa: E402
from _bars import exit_status, verdict  # noqa: E402
from aiohttp import web  # noqa: E402
from bench_directory import postgres, request  # noqa: E402
from bench_http import Server, on_cpu_nanoseconds  # noqa: E402
from parvis_calendar.app import build  # noqa: E402
from parvis_calendar.rules.composing import vtimezone  # noqa: E402
from parvis_calendar.rules.instances import instances  # noqa: E402
from parvis_calendar.rules.reading import read_object  # noqa: E402
from parvis_calendar.rules.windows import HORIZON_AHEAD, HORIZON_BACK, epoch, packed, week_begins, week_of  # noqa: E402
from parvis_contracts.directory import AgentState, SigningKeyState  # noqa: E402
from parvis_kit import access  # noqa: E402
from parvis_kit.clock import utc_now  # noqa: E402
from parvis_kit.http import mount  # noqa: E402
from parvis_kit.http.chain import LIMITS  # noqa: E402
from parvis_kit.memory import keep_loaded  # noqa: E402
from parvis_kit.serve import run, runner_options  # noqa: E402
from parvis_kit.settings import Platform  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402
from parvis_suite.assembly import migrate  # noqa: E402
from pydantic import SecretStr  # noqa: E402

PEOPLE, ROUNDS, TURNS = 200, 9, 10
READ_US, EXPAND_MS, AVAILABILITY_MS = 100.0, 3.0, 20.0
FIELDS = ("LOCATION:Salle 3", "SEQUENCE:2", "RRULE:FREQ=WEEKLY;BYDAY=MO,WE", 'ORGANIZER;CN="Ada Martin":mailto:ada@example.org')
PEOPLE_OF = [f'ATTENDEE;CN="Agent {one}";PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:agent{one}@example.org' for one in range(3)]
ALARM = ("BEGIN:VALARM", "TRIGGER:-PT15M", "ACTION:DISPLAY", "DESCRIPTION:x", "END:VALARM")
TIMES = ("DTSTART;TZID=Europe/Paris:20260105T090000", "DTEND;TZID=Europe/Paris:20260105T100000")
EVENT = [
    "BEGIN:VEVENT",
    "UID:a@example.org",
    "DTSTAMP:20260101T100000Z",
    *TIMES,
    "SUMMARY:Réunion",
    *FIELDS,
    *PEOPLE_OF,
    *ALARM,
    "END:VEVENT",
]
LINES = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//y", *vtimezone("Europe/Paris", 2026), *EVENT, "END:VCALENDAR", ""]
OCTETS = "\r\n".join(LINES).encode()


async def serve() -> None:
    platform = Platform(database_url=SecretStr(os.environ["BENCH_DATABASE_URL"]), access_log=False)
    calendar = build(platform, utc_now)
    await migrate([calendar], platform)
    key, people, ministry = access.make_key(), [uuid4() for _ in range(PEOPLE)], uuid4()
    await copy_directory(calendar, key, people, ministry)
    await fill(platform.database_url.get_secret_value(), people)
    app = web.Application(client_max_size=LIMITS.body_bytes)
    mount(app, calendar, platform)
    runner = web.AppRunner(app, access_log=None, **runner_options(LIMITS))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    keep_loaded()  # as every server does
    print(runner.addresses[0][1], flush=True)
    print(json.dumps({"token": token_of(key, people[0], ministry), "people": [str(one) for one in people]}), flush=True)
    await asyncio.Event().wait()


async def copy_directory(calendar: Any, key: Any, people: list[UUID], ministry: UUID) -> None:
    """As the roster's projection does."""
    kid, end, roster = str(key.kid), utc_now() + timedelta(days=1), calendar.projections[0]
    states = [
        AgentState(
            at=utc_now(), about=str(one), agent_id=one, ministry_id=ministry, kind="agent", state="active",
            email=f"agent{number}@example.org", given_name="Agent", family_name=str(number), roles=("agent",),
        )
        for number, one in enumerate(people)
    ]  # fmt: skip
    async with calendar.database.transaction() as tx:
        await roster.on[AgentState].handler(tx, states)
        signing = SigningKeyState(at=utc_now(), about=kid, kid=kid, jwk=access.public_jwk(key), not_after=end)
        await roster.on[SigningKeyState].handler(tx, [signing])
    roster.reached_end()


async def fill(url: str, people: list[UUID]) -> None:
    """A year of weeks for each, six meetings a day."""
    random, this_week = Random(1), week_of(epoch(utc_now()))
    rows = []
    for one in people:
        for week in range(this_week - 4, this_week + 48):
            begins = week_begins(week)
            starts = [begins + day * 86_400 + 8 * 3600 + random.randrange(40) * 900 for day in range(5) for _ in range(6)]
            rows.append((one, week, packed(week, [(at, at + 1800, 1) for at in starts])))
    conn = await asyncpg.connect(url)
    await conn.copy_records_to_table("busy_week", records=rows, columns=("owner_id", "week", "spans"), schema_name="calendar")
    await conn.execute("ANALYZE calendar.busy_week")
    await conn.close()


def token_of(key: Any, agent_id: UUID, ministry_id: UUID) -> str:
    now = utc_now()
    claims = access.Claims(
        iss=access.issuer_of(""), aud="parvis", iat=int(now.timestamp()), exp=int((now + timedelta(hours=12)).timestamp()), sub=agent_id,
        sid=uuid4(), ministry=ministry_id, roles=("agent",), scope="calendar:read calendar:write",
    )  # fmt: skip
    return access.sign(claims, key)


class CalendarServer(Server):
    """The service in a process of its own."""

    def __init__(self) -> None:
        super().__init__("serve", __file__)
        assert self.process.stdout is not None
        self.said: dict[str, Any] = json.loads(self.process.stdout.readline())

    def asked(self, people: int, slots: int) -> bytes:
        start = datetime.fromtimestamp(week_begins(week_of(epoch(utc_now())) + 1), UTC)
        body = {"agents": self.said["people"][:people], "starts_at": f"{start:%Y-%m-%dT%H:%M:%SZ}", "slots": slots}
        body["ends_at"] = f"{start + timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}"
        return request("POST", "/api/calendar/v1/availability", self.said["token"], json.dumps(body).encode())

    def milliseconds(self, sent: bytes) -> float:
        """Of CPU in the server, for each request, one after the other."""
        before, connection = on_cpu_nanoseconds(self.process.pid), self.connections[0]
        for _ in range(TURNS):
            connection.sendall(sent)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), answer[:900]
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65536)
        return (on_cpu_nanoseconds(self.process.pid) - before) / 1e6 / TURNS


def alone(act: Callable[[], object], turns: int) -> float:
    """Microseconds of this process's CPU."""
    began = time.process_time()
    for _ in range(turns):
        act()
    return (time.process_time() - began) / turns * 1e6


def measure(server: CalendarServer) -> Iterator[tuple[str, float]]:
    paris, now = ZoneInfo("Europe/Paris"), datetime(2026, 6, 1, tzinfo=UTC)
    first, last, what = epoch(now - HORIZON_BACK), epoch(now + HORIZON_AHEAD), read_object(OCTETS)
    many, one = server.asked(PEOPLE, 5), server.asked(1, 0)
    for _ in range(ROUNDS + 1):
        yield "read", alone(lambda: read_object(OCTETS), 300)
        yield "full parser", alone(lambda: icalendar.Calendar.from_ical(OCTETS), 10)
        yield "expand", alone(lambda: instances(what, first, last, paris), 30) / 1000
        yield "availability", server.milliseconds(many)
        yield "of one", server.milliseconds(one)


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
    for what, unit, bar, beside in (
        ("read", "µs", READ_US, f"a full parser {median['full parser']:.0f} µs"),
        ("expand", "ms", EXPAND_MS, "twice a week, thirty months"),
        ("availability", "ms", AVAILABILITY_MS, f"{PEOPLE} people, a week, slots; of one person without slots {median['of one']:.2f} ms"),
    ):
        print(f"{verdict(median[what] <= bar)}{what:14}{median[what]:.2f} {unit} of CPU, {beside}   bar: {bar} {unit}")
    return exit_status()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        run(serve())
    else:
        sys.exit(main())
