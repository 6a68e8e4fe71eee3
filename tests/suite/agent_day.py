"""The day of an agent ("journée d'agent"), played by many at once: a program of its own, so that what it costs itself is counted apart.

    python tests/suite/agent_day.py --base URL --agents FILE --seconds 600 [--days 1] [--idle] [--seed 1]

FILE: a JSON list of `{id, token, email, app_password, calendar, root}`. The working day is pressed into `--seconds`; `--idle` plays only
what clients do while nobody touches them. One line of JSON comes out: acts, failures, bytes, the generator's own CPU.
"""

import argparse
import asyncio
import base64
import json
import re
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import aiohttp
from yarl import URL

IDLE = {"calendar_poll": 96, "notices_poll": 32, "matrix_poll": 12}
"""140 polls: a DAV client every five minutes of eight hours, the portal's count of notices every quarter, Matrix coming to the front."""
ACTS = {"list": 6, "upload": 4, "download": 15, "calendar_write": 3, "availability": 2, "message": 5}
UPLOAD_BYTES = 200_000
COLLEAGUES_ASKED = 6
CONNECTIONS_MAX = 200
LATE = (429, 503)
"""Refused for now, with Retry-After: asked again, and counted."""
TRIES_MAX = 5
ROOM_LOOKS_MAX = 120
SYNC = (
    '<?xml version="1.0" encoding="utf-8"?><D:sync-collection xmlns:D="DAV:"><D:sync-token>{token}</D:sync-token>'
    "<D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>"
)
EVENT = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//Parvis//Agent day//FR\r
BEGIN:VEVENT\r
UID:{uid}\r
DTSTAMP:{now:%Y%m%dT%H%M%SZ}\r
DTSTART:{start:%Y%m%dT%H%M%SZ}\r
DTEND:{end:%Y%m%dT%H%M%SZ}\r
SUMMARY:Point d'équipe\r
{people}END:VEVENT\r
END:VCALENDAR\r
"""


@dataclass
class Tally:
    """What was asked of the suite, and what came of it."""

    acts: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    """HTTP octets of requests and answers, by act: without TCP and TLS."""
    failures: Counter[str] = field(default_factory=Counter)
    later: Counter[str] = field(default_factory=Counter)
    """What was put off, by act and by what was said."""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    behind_seconds_max: float = 0.0
    """How late an act began: above a second or so, the machine is full."""


def said_in(content: bytes) -> str:
    """A problem's own sentence (RFC 9457), or the beginning of whatever else was answered."""
    try:
        return str(json.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        return content[:80].decode(errors="replace")


class Refused(Exception):
    """The suite answered something that no agent should see."""


@dataclass
class Agent:
    """One of them, with what their clients remember."""

    known: dict[str, Any]
    others: list[dict[str, Any]]
    base: str
    session: aiohttp.ClientSession
    tally: Tally
    random: Random
    act: str = ""
    sync_token: str = ""
    since: str = ""
    room: str = ""
    matrix: str = ""
    files: list[str] = field(default_factory=list)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.known['token']}"}

    @property
    def basic(self) -> dict[str, str]:
        both = f"{self.known['email']}:{self.known['app_password']}"
        return {"Authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}

    async def ask(self, method: str, path: str | URL, headers: dict[str, str], body: bytes | None = None) -> bytes:
        """The body of an answer below 400. Raises Refused."""
        url = path if isinstance(path, URL) else URL(self.base + path, encoded=True)
        for _ in range(TRIES_MAX):
            async with self.session.request(method, url, data=body, headers=headers, allow_redirects=False) as answer:
                content = await answer.read()
                sent = sum(len(name) + len(value) + 4 for name, value in answer.request_info.headers.items())
                got = sum(len(name) + len(value) + 4 for name, value in answer.raw_headers)
                self.tally.bytes[self.act] += sent + got + len(str(url.relative())) + len(method) + 30 + len(body or b"") + len(content)
                if answer.status in LATE:
                    self.tally.later[f"{self.act}: {answer.status} {said_in(content)}"] += 1
                    await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
                    continue
                if answer.status >= 400:
                    raise Refused(f"{method} {url.path} {answer.status} {content[:200]!r}")
                return content
        raise Refused(f"{method} {url.path} was put off {TRIES_MAX} times")

    async def json(self, method: str, path: str, body: Any = None, *, key: bool = False) -> Any:
        headers = self.bearer | ({"Idempotency-Key": str(uuid4())} if key else {})
        if body is not None:
            headers["Content-Type"] = "application/json"
        found = await self.ask(method, path, headers, json.dumps(body).encode() if body is not None else None)
        return json.loads(found) if found else None

    async def begin(self) -> None:
        """What a client does once: the first sync, the login, the room in which the suite talks to its agent."""
        self.act = "begin"
        await self.calendar_poll()
        who = {"type": "m.id.user", "user": self.known["email"]}
        login = {"type": "m.login.password", "password": self.known["app_password"], "identifier": who}
        for looks in range(ROOM_LOOKS_MAX):
            try:
                said = await self.ask("POST", "/_matrix/client/v3/login", {"Content-Type": "application/json"}, json.dumps(login).encode())
                break
            except Refused:  # the account is on its way to the homeserver
                if looks == ROOM_LOOKS_MAX - 1:
                    raise
                await asyncio.sleep(1)
        self.matrix = json.loads(said)["access_token"]
        for _ in range(ROOM_LOOKS_MAX):
            rooms = (await self.matrix_poll()).get("rooms", {})
            for invited in rooms.get("invite", {}):
                path = f"/_matrix/client/v3/join/{URL.build(path=invited).raw_path}"
                await self.ask("POST", path, {"Authorization": f"Bearer {self.matrix}", "Content-Type": "application/json"}, b"{}")
            if there := [*rooms.get("join", {}), *rooms.get("invite", {})]:
                self.room = there[0]
                self.tally.acts["with_room"] += 1
                return
            await asyncio.sleep(1)  # the suite's welcome is on its way
        raise Refused("the suite has not written to this agent")

    async def calendar_poll(self) -> None:
        body = SYNC.format(token=self.sync_token).encode()
        answer = await self.ask("REPORT", self.known["calendar"], self.basic | {"Content-Type": "application/xml", "Depth": "0"}, body)
        found = re.search(rb"<D:sync-token>([^<]+)</D:sync-token>", answer)
        if found is None:
            raise Refused(f"no sync token in {answer[:200]!r}")
        self.sync_token = found[1].decode()

    async def notices_poll(self) -> None:
        await self.json("GET", "/api/messaging/v1/notices?limit=1")

    async def matrix_poll(self) -> Any:
        since = f"&since={self.since}" if self.since else ""
        answer = await self.ask("GET", f"/_matrix/client/v3/sync?timeout=0{since}", {"Authorization": f"Bearer {self.matrix}"})
        found = json.loads(answer)
        self.since = found["next_batch"]
        return found

    async def list(self) -> None:
        await self.json("GET", f"/api/files/v1/folders/{self.known['root']}/items")

    async def upload(self) -> None:
        content = self.random.randbytes(UPLOAD_BYTES)
        declared = {"name": f"Note {uuid4().hex[:8]}.pdf", "size_bytes": len(content), "sha256": sha256(content).hexdigest()}
        upload = await self.json("POST", f"/api/files/v1/folders/{self.known['root']}/uploads", declared, key=True)
        address = upload["put"]
        await self.ask(address["method"], URL(address["url"], encoded=True), address["headers"], content)
        done = await self.json("POST", f"/api/files/v1/uploads/{upload['id']}/complete", {})
        self.files.append(done["file_id"])

    async def download(self) -> None:
        if not self.files:  # nobody reads what they have not written: the first download of the day waits for the first upload
            await self.upload()
        found = await self.json("GET", f"/api/files/v1/files/{self.random.choice(self.files)}/download")
        await self.ask("GET", URL(found["url"], encoded=True), {})

    async def calendar_write(self) -> None:
        """One of three is a meeting."""
        now, uid = datetime.now(UTC), uuid4().hex
        start = (now + timedelta(days=self.random.randint(1, 20))).replace(minute=0, second=0, microsecond=0)
        people = ""
        if self.random.random() < 1 / 3:
            other = self.random.choice(self.others)
            people = f"ORGANIZER:mailto:{self.known['email']}\r\nATTENDEE;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:{other['email']}\r\n"
        octets = EVENT.format(uid=uid, now=now, start=start, end=start + timedelta(hours=1), people=people).encode()
        await self.ask(
            "PUT", f"{self.known['calendar']}{uid}.ics", self.basic | {"Content-Type": "text/calendar", "If-None-Match": "*"}, octets
        )

    async def availability(self) -> None:
        starts = (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        some = self.random.sample(self.others, min(COLLEAGUES_ASKED, len(self.others)))
        body = {
            "agents": [one["id"] for one in some], "starts_at": starts.isoformat(), "ends_at": (starts + timedelta(days=5)).isoformat(),
            "minutes": 60,
        }  # fmt: skip
        await self.json("POST", "/api/calendar/v1/availability", body)

    async def message(self) -> None:
        content = json.dumps({"msgtype": "m.text", "body": "Bien reçu, merci."}).encode()
        room = URL.build(path=self.room).raw_path
        path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{uuid4().hex}"
        await self.ask("PUT", path, {"Authorization": f"Bearer {self.matrix}", "Content-Type": "application/json"}, content)

    async def live(self, seconds: float, plan: dict[str, int]) -> None:
        """All of the day's acts, at moments of its own."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        moments = sorted((self.random.uniform(0, seconds), act) for act, times in plan.items() for _ in range(times))
        for at, act in moments:
            await asyncio.sleep(max(0.0, began + at - loop.time()))
            start = loop.time()
            self.tally.behind_seconds_max = max(self.tally.behind_seconds_max, start - began - at)
            await self.do(act, getattr(self, act))
            self.tally.seconds.setdefault(act, []).append(loop.time() - start)

    async def do(self, act: str, way: Callable[[], Awaitable[Any]]) -> None:
        self.act = act
        try:
            await way()
            self.tally.acts[act] += 1
        except (Refused, aiohttp.ClientError, TimeoutError, OSError) as error:
            self.tally.failures[f"{act}: {str(error)[:200] or type(error).__name__}"] += 1


@asynccontextmanager
async def sessions() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


async def play(base: str, everybody: list[dict[str, Any]], seconds: float, plan: dict[str, int], seed: int) -> dict[str, Any]:
    tally = Tally()
    async with sessions() as session:
        agents = [
            Agent(one, [other for other in everybody if other is not one], base, session, tally, Random(seed * 1_000_003 + number))
            for number, one in enumerate(everybody)
        ]
        gate = asyncio.Semaphore(20)

        async def begin(agent: Agent) -> None:
            async with gate:
                await agent.do("begin", agent.begin)

        await asyncio.gather(*map(begin, agents))
        print("begun", flush=True)  # whoever measures begins here
        own = time.process_time()
        began = time.monotonic()
        await asyncio.gather(*(agent.live(seconds, plan) for agent in agents))
        took = time.monotonic() - began
    del tally.bytes["begin"]
    latencies = {act: sorted(found) for act, found in tally.seconds.items()}
    return {
        "agents": len(agents), "seconds": took, "acts": dict(tally.acts), "failures": dict(tally.failures), "later": dict(tally.later),
        "bytes": dict(tally.bytes), "behind_seconds_max": tally.behind_seconds_max, "generator_cpu_seconds": time.process_time() - own,
        "p50_ms": {act: found[len(found) // 2] * 1e3 for act, found in latencies.items()},
        "p99_ms": {act: found[int(len(found) * 0.99)] * 1e3 for act, found in latencies.items()},
        "generator_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", required=True)
    parser.add_argument("--agents", required=True, type=Path)
    parser.add_argument("--seconds", type=float, default=600, help="of the day, pressed")
    parser.add_argument("--days", type=int, default=1, help="of work in that time, for each agent")
    parser.add_argument("--idle", action="store_true", help="only what clients do by themselves")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    everybody = json.loads(options.agents.read_text())
    plan = {act: times * options.days for act, times in (IDLE if options.idle else IDLE | ACTS).items()}
    print(json.dumps(asyncio.run(play(options.base, everybody, options.seconds, plan, options.seed))), flush=True)


if __name__ == "__main__":
    main()
