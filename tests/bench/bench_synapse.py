"""How long a fact takes to be read by an agent on a real Synapse: five a second over eight rooms, beside a message sent there by hand."""

import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("services", "infra", "files", "messaging")] + [str(Path(__file__).parent)]

import aiohttp  # noqa: E402
import asyncpg  # noqa: E402
from _bars import exit_status, verdict  # noqa: E402
from aiohttp import web  # noqa: E402
from bench_directory import postgres  # noqa: E402
from bench_http import on_cpu_nanoseconds  # noqa: E402
from parvis_contracts.directory import AgentJoined, AgentState, CredentialState  # noqa: E402
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
from parvis_kit.testing.servers import started  # noqa: E402
from parvis_messaging.homeserver import registration  # noqa: E402
from parvis_messaging.homeserver.synapse import Synapse  # noqa: E402
from parvis_suite.assembly import flow_of, log_of, migrate  # noqa: E402
from parvis_suite.distributed.plan import free_ports  # noqa: E402
from parvis_suite.services import build  # noqa: E402
from pydantic import SecretStr  # noqa: E402

AGENTS, PER_SECOND, MESSAGES = 8, 5, 150
P95_MS_MAX = 250
SERVER = "parvis.test"
CLIENT = "/_matrix/client/v3"
SETTLE_SECONDS_MAX = 90


async def serve() -> None:
    """Messaging, the relay of files, and a door by which facts are published."""
    platform = Platform(database_url=SecretStr(os.environ["BENCH_DATABASE_URL"]), access_log=False, public_url=f"http://{SERVER}")
    messaging, files = build("messaging", platform), build("files", platform)
    await migrate([messaging, files, build("directory", platform), build("calendar", platform)], platform)
    for before in messaging.before:
        await before()
    said = await people(messaging)
    log, background = log_of(platform), Background()
    work = {**tasks_of(flow_of(messaging, log)), **tasks_of(Flow(files.database, utc_now, log, {})), **sweeps_of(messaging)}
    background.start({name: one for name, one in work.items() if "roster" not in name})
    messaging.projections[0].reached_end()
    app = web.Application(client_max_size=LIMITS.body_bytes)
    mount(app, messaging, platform)

    async def tell(asked: web.Request) -> web.Response:
        """Number of the agent, name of the file; when it was committed."""
        share = uuid4()
        ids = [UUID(one["id"]) for one in said]
        number = int(asked.match_info["number"])
        fact = FileShared(
            at=utc_now(), about=str(share), share_id=share, file_id=uuid4(), space_id=uuid4(), grantee_kind="agent", role="reader",
            grantee_id=ids[number], shared_by=ids[number - 1], name=asked.match_info["name"],
        )  # fmt: skip
        async with files.database.transaction() as tx:
            publish(tx, fact)
        return web.json_response(monotonic())

    app.router.add_post("/tell/{number}/{name}", tell)
    runner = web.AppRunner(app, access_log=None, **runner_options(LIMITS))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["BENCH_PORT"])).start()
    print(json.dumps(said), flush=True)
    await asyncio.Event().wait()


async def people(messaging: Any) -> list[dict[str, str]]:
    now, ministry, roster, said = utc_now(), uuid4(), messaging.projections[0].on, []
    for number in range(AGENTS):
        one, credential, password = uuid4(), uuid4(), access.make_app_password()
        async with messaging.database.transaction() as tx:
            state = AgentState(
                at=now, about=str(one), agent_id=one, ministry_id=ministry, kind="agent", state="active",
                email=f"a{number}@example.org", given_name=f"a{number}", family_name="Martin",
            )  # fmt: skip
            kept = CredentialState(
                at=now, about=str(credential), credential_id=credential, agent_id=one, kind="app_password", state="active",
                prefix=password.prefix, digest=password.digest, scopes=("matrix",), expires_at=now + timedelta(days=1),
            )  # fmt: skip
            await roster[AgentState].handler(tx, [state])
            await roster[CredentialState].handler(tx, [kept])
            await messaging.reactions[AgentState](tx, state)
            joined = AgentJoined(at=now, about=str(one), agent_id=one, ministry_id=ministry, kind="agent")
            await messaging.reactions[AgentJoined](tx, joined)
        said.append({"id": str(one), "name": f"a{number}.martin", "password": str(password)})
    return said


class Reader:
    """An agent's client, which waits for what comes."""

    def __init__(self, session: aiohttp.ClientSession, said: dict[str, str], seen: dict[str, float]) -> None:
        self.session, self.said, self.seen, self.room = session, said, seen, ""

    async def begin(self) -> None:
        """Signed in, and welcomed."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.said["name"]},
            "password": self.said["password"],
        }
        until = monotonic() + SETTLE_SECONDS_MAX
        while True:
            async with self.session.post(f"{CLIENT}/login", json=body) as answer:
                if answer.status == 200:
                    self.headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}
                    break
            assert monotonic() < until, "nobody can sign in"
            await asyncio.sleep(2)
        self.since = ""
        while not self.room:
            await self.sync(0)
            assert monotonic() < until, "nobody is welcomed"
            await asyncio.sleep(0.2)

    async def sync(self, timeout_ms: int) -> None:
        query = {"timeout": str(timeout_ms), **({"since": self.since} if self.since else {})}
        async with self.session.get(f"{CLIENT}/sync", params=query, headers=self.headers) as answer:
            now, said = monotonic(), await answer.json()
        self.since = said["next_batch"]
        for room_id, room in said.get("rooms", {}).get("join", {}).items():
            for one in room["timeline"]["events"]:
                text = str(one["content"].get("body", ""))
                self.room = room_id
                if "« " in text:
                    self.seen[text.partition("« ")[2].partition(" »")[0]] = now

    async def read_on(self) -> None:
        while True:
            await self.sync(20_000)


async def paced(send: Callable[[int, str], Awaitable[float]], seen: dict[str, float], what: str) -> list[float]:
    """Milliseconds from when it was sent to when it was read, of each."""
    sent: dict[str, float] = {}
    began = monotonic()

    async def one(number: int) -> None:
        name = f"{what}{number}"
        sent[name] = await send(number % AGENTS, name)

    tasks = []
    for number in range(MESSAGES):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - monotonic()))
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    until = monotonic() + SETTLE_SECONDS_MAX
    while set(sent) - set(seen):
        assert monotonic() < until, f"{len(set(sent) - set(seen))} were never read"
        await asyncio.sleep(0.05)
    return sorted((seen[name] - at) * 1000 for name, at in sent.items())


async def measure(url: str, own: str, said: list[dict[str, str]], path: Path, pids: dict[str, int]) -> None:
    server, seen = Synapse(url, SERVER, registration.read(path)), dict[str, float]()
    async with aiohttp.ClientSession(url) as session, aiohttp.ClientSession(own) as ours:
        readers = [Reader(session, one, seen) for one in said]
        await asyncio.gather(*(one.begin() for one in readers))
        reading = [asyncio.create_task(one.read_on()) for one in readers]

        async def tell(number: int, name: str) -> float:
            async with ours.post(f"/tell/{number}/{name}") as answer:
                return float(await answer.json())

        async def by_hand(number: int, name: str) -> float:
            began = monotonic()
            await server.send(readers[number].room, "m.room.message", {"msgtype": "m.text", "body": f"« {name} »"}, uuid4().hex)
            return began

        found, spent = {}, {}
        for what, send in (("warm", tell), ("hand", by_hand), ("fact", tell)):
            before = {name: on_cpu_nanoseconds(pid) for name, pid in pids.items()}
            found[what] = await paced(send, seen, what)
            spent[what] = {name: (on_cpu_nanoseconds(pid) - before[name]) / 1e6 / MESSAGES for name, pid in pids.items()}
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    await server.close()
    fact, hand = found["fact"], found["hand"]
    p95, load = fact[len(fact) * 95 // 100], os.getloadavg()[0]
    print(f"{PER_SECOND}/s over {AGENTS} rooms, from the fact's commit to an agent's client:")
    told = f"p50 {statistics.median(fact):.0f} ms, p95 {p95:.0f} ms (load {load:.1f} on {os.cpu_count()} cores)"
    print(f"{verdict(p95 <= P95_MS_MAX)}{told}   bar: p95 ≤ {P95_MS_MAX} ms")
    print(f"   floor, a message sent to Synapse by hand: p50 {statistics.median(hand):.0f} ms, p95 {hand[len(hand) * 95 // 100]:.0f} ms")
    for name, each in spent["fact"].items():
        print(f"   {name}: {each:.1f} ms of CPU a message, {spent['hand'][name]:.1f} by hand")


async def empty_database(url: str) -> str:
    """As Synapse wants its own."""
    name = f"synapse_{uuid4().hex[:8]}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
    finally:
        await connection.close()
    return name


def main() -> int:
    with ExitStack() as stack:
        server = stack.enter_context(postgres())
        place = PostgresServer(server)
        os.environ["BENCH_DATABASE_URL"] = database = place.create()
        stack.callback(place.drop, database)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        name = asyncio.run(empty_database(server))
        [port] = free_ports(1)
        path = folder / "registration.json"
        registration.write(path, registration.made(SERVER, f"http://127.0.0.1:{port}"))
        known = ("--server-name", SERVER, "--registration", str(path), "--database", f"{server.rpartition('/')[0]}/{name}")
        synapse = stack.enter_context(started(ROOT / "infra/servers/synapse.py", *known))
        prefix, environ = "PARVIS_MESSAGING_", {"HOMESERVER_URL": synapse["url"], "REGISTRATION_FILE": str(path), "SERVER_NAME": SERVER}
        os.environ |= {f"{prefix}{key}": value for key, value in environ.items()} | {"BENCH_PORT": str(port)}
        asyncio.run(with_messaging(synapse, port, path))
    return exit_status()


async def with_messaging(synapse: dict[str, str], port: int, path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, "serve", stdout=asyncio.subprocess.PIPE, limit=2**20)
    try:
        assert process.stdout is not None
        said = json.loads(await process.stdout.readline())
        pids = {"messaging": process.pid, "Synapse": int(synapse["pid"])}
        await measure(synapse["url"], f"http://127.0.0.1:{port}", said, path, pids)
    finally:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        run(serve())
    else:
        sys.exit(main())
