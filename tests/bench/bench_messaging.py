"""What messaging costs on PostgreSQL: a message sent, a sync after one change, notices read, and a fact on its way to a room."""

import asyncio
import itertools
import json
import os
import statistics
import sys
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("services", "infra", "files", "messaging")] + [str(Path(__file__).parent)]

import asyncpg  # noqa: E402
import orjson  # noqa: E402
import sqlalchemy as sa  # noqa: E402
from _bars import exit_status, say  # noqa: E402
from aiohttp import web  # noqa: E402
from bench_directory import postgres, request, with_json  # noqa: E402
from bench_http import Server, on_cpu_nanoseconds  # noqa: E402
from parvis_contracts.directory import AgentState, CredentialState, SigningKeyState  # noqa: E402
from parvis_contracts.files import FileShared  # noqa: E402
from parvis_kit import access  # noqa: E402
from parvis_kit.background import Background, sweeps_of  # noqa: E402
from parvis_kit.clock import utc_now  # noqa: E402
from parvis_kit.events import publish  # noqa: E402
from parvis_kit.events.running import Flow, tasks_of  # noqa: E402
from parvis_kit.http import mount  # noqa: E402
from parvis_kit.http.chain import LIMITS  # noqa: E402
from parvis_kit.serve import run, runner_options  # noqa: E402
from parvis_kit.settings import Platform  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402
from parvis_messaging import actions  # noqa: E402
from parvis_messaging.api.matrix_common import HOME  # noqa: E402
from parvis_messaging.store import accounts, event, events  # noqa: E402
from parvis_suite.assembly import flow_of, log_of, migrate  # noqa: E402
from parvis_suite.services import build  # noqa: E402
from pydantic import SecretStr  # noqa: E402

ROUNDS, TURNS = 5, 10
ALONE, TOGETHER = 30, 200
"""Facts told one at a time, for how long it takes; and at once, for what it costs."""
NOTICES_BARS_MS = {1: 1.8, 20: 2.5}
"""What every page of the portal asks for, and the list itself."""
CLIENT = "/_matrix/client/v3"
WHO = """SELECT device.user_id FROM messaging.device JOIN messaging.roster_credential credential ON credential.id = device.credential_id
JOIN messaging.roster_agent agent ON agent.id = device.agent_id
WHERE device.token_digest = $1 AND credential.state = 'active' AND agent.state = 'active'"""
MEMBER = "SELECT membership FROM messaging.member WHERE room_id = $1 AND user_id = $2"
TAKE = "UPDATE messaging.stream_head SET position = position + 1 RETURNING position"
INSERT = """INSERT INTO messaging.event (stream, event_id, room_id, type, sender, content, at_ms)
VALUES ($1, $2, $3, 'm.room.message', $4, $5, 0)"""
SINCE = "SELECT * FROM messaging.event WHERE room_id = $1 AND stream > $2 ORDER BY stream LIMIT 20"


class ByHand:
    """The token, one row or one question: what the database costs by itself."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def who(self, conn: Any, asked: web.Request) -> str:
        user_id: str = await conn.fetchval(WHO, sha256(asked.headers["Authorization"][7:].encode()).hexdigest())
        assert await conn.fetchval(MEMBER, asked.match_info["room_id"], user_id) == "join"
        return user_id

    async def send(self, asked: web.Request) -> web.Response:
        body, event_id = orjson.loads(await asked.read()), f"${uuid4().hex}"
        async with self.pool.acquire() as conn, conn.transaction():
            user_id = await self.who(conn, asked)
            await conn.execute(INSERT, await conn.fetchval(TAKE), event_id, asked.match_info["room_id"], user_id, body)
        return web.Response(body=orjson.dumps({"event_id": event_id}), content_type="application/json")

    async def sync(self, asked: web.Request) -> web.Response:
        async with self.pool.acquire() as conn:
            await self.who(conn, asked)
            rows = await conn.fetch(SINCE, asked.match_info["room_id"], int(asked.query["since"]))
        return web.Response(body=orjson.dumps([dict(row) for row in rows], default=str), content_type="application/json")


async def serve() -> None:
    url = os.environ["BENCH_DATABASE_URL"]
    platform = Platform(database_url=SecretStr(url), access_log=False)
    messaging, files = build("messaging", platform), build("files", platform)
    await migrate([messaging, files, build("directory", platform), build("calendar", platform)], platform)
    for before in messaging.before:
        await before()
    said = await people(messaging)
    log = log_of(platform)
    background = Background()
    work = {**tasks_of(flow_of(messaging, log)), **tasks_of(Flow(files.database, utc_now, log, {})), **sweeps_of(messaging)}
    background.start({name: one for name, one in work.items() if "roster" not in name})
    messaging.projections[0].reached_end()
    app = web.Application(client_max_size=LIMITS.body_bytes)
    mount(app, messaging, platform)
    pool = await asyncpg.create_pool(platform.database_url.get_secret_value(), min_size=1, max_size=10, init=with_json)
    by_hand = ByHand(pool)
    app.router.add_put("/hand/{room_id}/{txn}", by_hand.send)
    app.router.add_get("/hand/{room_id}", by_hand.sync)
    app.router.add_post("/tell/{way}", Teller(messaging, files, said).tell)
    runner = web.AppRunner(app, access_log=None, **runner_options(LIMITS) | {"keepalive_timeout": 600})
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    print(json.dumps(said), flush=True)
    await asyncio.Event().wait()


async def people(messaging: Any) -> dict[str, Any]:
    """Two agents whom the roster knows, a room that they talk in, and the token of one."""
    home, now, ministry, roster = messaging.handles[HOME], utc_now(), uuid4(), messaging.projections[0].on
    ids = {name: uuid4() for name in ("ada", "bob")}
    credential, password, key = uuid4(), access.make_app_password(), access.make_key()
    async with messaging.database.transaction() as tx:
        for name, one in ids.items():
            state = AgentState(
                at=now, about=str(one), agent_id=one, ministry_id=ministry, kind="agent", state="active", email=f"{name}@example.org",
                given_name=name, family_name="Martin",
            )  # fmt: skip
            await roster[AgentState].handler(tx, [state])
            await messaging.reactions[AgentState](tx, state)
        kept = CredentialState(
            at=now, about=str(credential), credential_id=credential, agent_id=ids["ada"], kind="app_password", state="active",
            prefix=password.prefix, digest=password.digest, scopes=("matrix",), expires_at=now + timedelta(days=1),
        )  # fmt: skip
        await roster[CredentialState].handler(tx, [kept])
        public = SigningKeyState(
            at=now, about=str(key.kid), kid=str(key.kid), jwk=access.public_jwk(key), not_after=now + timedelta(days=1)
        )
        await roster[SigningKeyState].handler(tx, [public])
        session, token = await actions.sign_in(tx, home, ids["ada"], credential, "BENCH", "", now=now)
        room_id = await actions.create_room(tx, home, actions.Author(session.user_id), actions.NewRoom(name="Bench"), now=now)
        since = await events.head(tx)
        content = {"msgtype": "m.text", "body": "Bonjour"}
        await actions.send(tx, home, room_id, actions.Author(session.user_id), "m.room.message", content, now=now)
        quiet = await actions.create_room(tx, home, actions.Author(session.user_id), actions.NewRoom(name="Quiet"), now=now)
        bob = await accounts.account_of(tx, ids["bob"])
    assert bob is not None
    claims = access.Claims(
        iss=access.issuer_of(""), aud="parvis", iat=int(now.timestamp()), exp=int((now + timedelta(hours=12)).timestamp()), sub=ids["bob"],
        sid=uuid4(), ministry=ministry, roles=("agent",), scope="messaging:read",
    )  # fmt: skip
    return {
        "token": token,
        "reads": access.sign(claims, key),
        "room": quiet,
        "changed": room_id,
        "since": since,
        **{name: str(one) for name, one in ids.items()},
    }


class Teller:
    """Publishes as files does, and waits until the message is in its room."""

    def __init__(self, messaging: Any, files: Any, said: dict[str, Any]) -> None:
        self.messaging, self.files, self.said = messaging, files, said

    async def tell(self, asked: web.Request) -> web.Response:
        seconds: list[float] = []
        if asked.match_info["way"] == "alone":
            for _ in range(ALONE):
                began = perf_counter()
                await self.share(1)
                seconds.append(perf_counter() - began)
        else:
            await self.share(TOGETHER)
        return web.json_response(seconds)

    async def share(self, count: int) -> None:
        """Until the last one is in bob's room: every change of a room there wakes."""
        waiters = self.messaging.handles[HOME].waiters
        wanted = await self.count() + count
        with waiters.waiting("bench") as waiter:
            waiters.look_at(waiter, ["*"])
            async with self.files.database.transaction() as tx:
                for number in range(count):
                    publish(tx, self.fact(number))
            while await self.count() < wanted:
                await waiter.wait(1.0)
                if count > 1:
                    await asyncio.sleep(0.05)  # to look is not what is measured

    async def count(self) -> int:
        async with self.messaging.database.read() as conn:
            found = await conn.execute(sa.select(sa.func.count()).select_from(event).where(event.c.device_id == "PARVIS"))
            return int(found.scalar_one())

    def fact(self, number: int) -> FileShared:
        share = uuid4()
        return FileShared(
            at=utc_now(), about=str(share), share_id=share, file_id=uuid4(), space_id=uuid4(), grantee_kind="agent",
            grantee_id=UUID(self.said["bob"]), role="reader", shared_by=UUID(self.said["ada"]), name=f"{number}.odt",
        )  # fmt: skip


class MessagingServer(Server):
    """The service and the handlers by hand, in one process of their own."""

    def __init__(self) -> None:
        super().__init__("serve", __file__)
        assert self.process.stdout is not None
        self.said: dict[str, Any] = json.loads(self.process.stdout.readline())

    def asked(self, sent: bytes) -> Any:
        connection = self.connections[0]
        connection.settimeout(120)
        connection.sendall(sent)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200"), answer[:300]
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def tell(self, way: str) -> tuple[list[float], float]:
        """Seconds of each, and milliseconds of CPU for one."""
        before = on_cpu_nanoseconds(self.process.pid)
        seconds = self.asked(request("POST", f"/tell/{way}", "", b"{}"))
        return seconds, (on_cpu_nanoseconds(self.process.pid) - before) / 1e6 / (ALONE if way == "alone" else TOGETHER)


def measure(server: MessagingServer) -> Iterator[tuple[str, float]]:
    """(what, milliseconds) again and again."""
    said, token, numbers = server.said, server.said["token"], itertools.count()
    body = json.dumps({"msgtype": "m.text", "body": "Bonjour à tous"}).encode()

    def sends(path: str) -> Iterator[bytes]:
        while True:
            yield request("PUT", path.format(number=next(numbers)), token, body)

    own, hand = f"{CLIENT}/rooms/{said['room']}/send/m.room.message/{{number}}", f"/hand/{said['room']}/{{number}}"
    named = json.dumps({"room": {"rooms": [said["changed"]]}}).replace('"', "%22").replace(" ", "").replace("{", "%7B").replace("}", "%7D")
    syncs = {
        "sync": request("GET", f"{CLIENT}/sync?since=s{said['since']}&filter={named}", token),
        "sync by hand": request("GET", f"/hand/{said['changed']}?since={said['since']}", token),
    }
    reads = {f"notices {some}": request("GET", f"/api/messaging/v1/notices?limit={some}", said["reads"]) for some in (1, 20)}
    server.tell("together")  # or there would be no notices
    for _ in range(ROUNDS + 1):
        for name, sent in {**syncs, **reads}.items():
            yield name, server.microseconds(sent, TURNS) / 1000
        yield "send", server.microseconds(sends(own), TURNS) / 1000
        yield "send by hand", server.microseconds(sends(hand), TURNS) / 1000
        seconds, _ = server.tell("alone")
        for one in seconds:
            yield "latency", one * 1000
        yield "notice", server.tell("together")[1]


def main() -> int:
    found: dict[str, list[float]] = {}
    with postgres() as url:
        place = PostgresServer(url)
        os.environ["BENCH_DATABASE_URL"] = database = place.create()
        try:
            server = MessagingServer()
            try:
                for name, figure in measure(server):
                    found.setdefault(name, []).append(figure)
            finally:
                server.stop()
        finally:
            place.drop(database)
    median = {name: statistics.median(figures[1:]) for name, figures in found.items()}  # the first is a warm-up
    for what in ("send", "sync"):
        floor = median[f"{what} by hand"]
        print(f"{what:8}{median[what]:.2f} ms of CPU, by hand {floor:.2f} ms: × {median[what] / floor:.1f}")
    latencies = sorted(found["latency"][ALONE:])
    print(f"notice  {median['notice']:.2f} ms of CPU from the fact to the message, its publisher's part included; {TOGETHER} at once")
    slow = latencies[len(latencies) * 95 // 100]
    print(f"        alone it takes {median['latency']:.0f} ms of the clock, {slow:.0f} ms at the 95th percentile")
    for some, bar in NOTICES_BARS_MS.items():
        took = median[f"notices {some}"]
        say(f"the newest {some} of 200 notices and more", f"{took:.2f} ms CPU", f"≤ {bar:g} ms", took <= bar)
    return exit_status()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        run(serve())
    else:
        sys.exit(main())
