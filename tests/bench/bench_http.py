"""What HTTP costs: the chain beside a bare asyncio.Protocol, a typed route beside a handler written by hand."""

import asyncio
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "services")]

import httptools  # noqa: E402
from _bars import exit_status, verdict  # noqa: E402
from aiohttp import web  # noqa: E402
from parvis_kit.clock import utc_now  # noqa: E402
from parvis_kit.http import Body, Page, Query, Request, Routes, json_answer, mount, mount_health  # noqa: E402
from parvis_kit.http.chain import LIMITS  # noqa: E402
from parvis_kit.http.reading import typed  # noqa: E402
from parvis_kit.memory import keep_loaded  # noqa: E402
from parvis_kit.serve import run, runner_options  # noqa: E402
from parvis_kit.service import Doors  # noqa: E402
from parvis_kit.settings import Platform  # noqa: E402
from pydantic import TypeAdapter  # noqa: E402

CONNECTIONS, TURNS, LIVEZ_ROUNDS, DOOR_ROUNDS = 16, 150, 9, 60
WAYS = "hand", "typed", "kit"
LIVEZ_BAR, DECORATOR_BAR_MICROSECONDS = 3.5, 6.0


@dataclass(slots=True)
class Thing:
    id: UUID
    name: str
    size: int


class ListThings(Query):
    limit: int = 10


class NewThing(Body):
    name: str
    size: int


THINGS = [Thing(UUID(int=number), f"thing {number}", number) for number in range(100)]
ROUTES = Routes("things", "1")


@ROUTES.get("/kit/things")
async def list_things(request: Request, query: ListThings) -> Page[Thing]:
    """Some things."""
    return Page(THINGS[: query.limit])


@ROUTES.post("/kit/things")
async def make_thing(request: Request, body: NewThing) -> Thing:
    """A new thing."""
    return Thing(UUID(int=7), body.name, body.size)


PAGE, THING, NEW = TypeAdapter(Page[Thing]), TypeAdapter(Thing), TypeAdapter(NewThing)


async def list_by_hand(request: Request) -> web.StreamResponse:
    query = ListThings.model_validate(dict(request.query))
    return json_answer(PAGE.dump_json(Page(THINGS[: query.limit])))


async def make_by_hand(request: Request) -> web.StreamResponse:
    body = NEW.validate_json(await request.read())
    return json_answer(THING.dump_json(Thing(UUID(int=7), body.name, body.size)), 201)


class Floor(asyncio.Protocol):
    """The least that answers HTTP in Python: a parser in C, headers in a dictionary, JSON out."""

    transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_message_complete(self) -> None:
        if self.parser.get_method() == b"GET" and httptools.parse_url(self.url).path == b"/livez":
            body = json.dumps({"alive": True}).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self.transport.write(head + body)


async def serve_floor() -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def application() -> web.Application:
    """Each door thrice: by hand, with its types, with its types and the chain."""
    platform, app = Platform(access_log=False), web.Application(client_max_size=LIMITS.body_bytes)
    service = Doors(name="things", clock=utc_now, routes=[ROUTES])
    mount(app, service, platform)
    mount_health(app, platform, {})
    app.router.add_get("/hand/things", list_by_hand)
    app.router.add_post("/hand/things", make_by_hand)
    for one in ROUTES.operations:
        app.router.add_route(one.method, "/typed/things", typed(one, LIMITS))
    return app


async def serve_app(app: web.Application) -> None:
    """As `parvis_kit.serve` does it, the collector told to pass over what is there by now included."""
    runner = web.AppRunner(app, access_log=None, **runner_options(LIMITS))
    await runner.setup()
    keep_loaded()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def serve_bare() -> None:
    """What aiohttp takes for the same answer without any of ours: no ids, no limits, no figures, no headers that guard."""

    async def livez(request: Request) -> web.Response:
        return web.Response(body=b'{"alive":true}', content_type="application/json")

    app = web.Application()
    app.router.add_get("/livez", livez)
    await serve_app(app)


class Pipe(asyncio.Transport):
    """What a connection is to aiohttp, without a kernel behind it: its noise would hide a microsecond."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.answers = 0

    def write(self, data: Any) -> None:
        self.answers += bytes(data[:9]) == b"HTTP/1.1 "

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...


async def measure_doors(found: list[dict[str, float]]) -> None:
    """Microseconds a request in aiohttp, in rounds: for each case, parser to answer."""
    runner = web.AppRunner(application(), access_log=None, **runner_options(LIMITS))
    await runner.setup()
    assert runner.server is not None
    pipe, connection = Pipe(), runner.server()
    connection.connection_made(pipe)

    async def microseconds(request: bytes) -> float:
        goal, began = pipe.answers + TURNS, time.process_time_ns()
        for _ in range(TURNS):
            before = pipe.answers
            connection.data_received(request)
            while pipe.answers == before:
                await asyncio.sleep(0)
        assert pipe.answers == goal
        return (time.process_time_ns() - began) / 1000 / TURNS

    cases = {f"{way} list {limit}": get(f"/{way}/things?limit={limit}") for limit in (1, 100) for way in WAYS}
    cases |= {f"{way} create": post(f"/{way}/things") for way in WAYS}
    for request in cases.values():
        await microseconds(request)
    for _ in range(DOOR_ROUNDS):
        found.append({name: await microseconds(request) for name, request in cases.items()})
    connection.connection_lost(None)
    await runner.cleanup()


def on_cpu_nanoseconds(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


class Server:
    """One in a process of its own, and connections to it."""

    def __init__(self, kind: str, script: str = __file__) -> None:
        self.process = subprocess.Popen([sys.executable, script, kind], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        port = int(self.process.stdout.readline())
        self.connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]

    def microseconds(self, request: bytes | Iterator[bytes], turns: int = TURNS) -> float:
        """Of CPU in the server, for each request (the same one, or the next); every connection always has one under way."""
        requests = itertools.repeat(request) if isinstance(request, bytes) else request
        before = on_cpu_nanoseconds(self.process.pid)
        for _ in range(turns):
            for connection in self.connections:
                connection.sendall(next(requests))
            for connection in self.connections:
                answer = connection.recv(65536)
                assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), answer[:200]
                head, _, body = answer.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                while len(body) < length:
                    body += connection.recv(65536)
        return (on_cpu_nanoseconds(self.process.pid) - before) / 1000 / (turns * CONNECTIONS)

    def stop(self) -> None:
        for connection in self.connections:
            connection.close()
        self.process.kill()
        self.process.wait()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n".encode()


def post(path: str) -> bytes:
    body = b'{"name":"a thing","size":12}'
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def measure_livez() -> list[dict[str, float]]:
    """Of CPU in each server's process, with the load from this one."""
    servers = {kind: Server(kind) for kind in ("floor", "bare", "kit")}
    try:
        rounds = [{kind: one.microseconds(get("/livez")) for kind, one in servers.items()} for _ in range(LIVEZ_ROUNDS + 1)]
    finally:
        for one in servers.values():
            one.stop()
    return rounds[1:]


def main() -> int:
    rounds = measure_livez()
    ratio, bare_ratio = (statistics.median(one[kind] / one["floor"] for one in rounds) for kind in ("kit", "bare"))
    livez, floor, bare = (statistics.median(one[kind] for one in rounds) for kind in ("kit", "floor", "bare"))
    print(f"GET /livez through the chain: {livez:.1f} µs of CPU, asyncio.Protocol beside it {floor:.1f} µs")
    print(f"  aiohttp alone with the same body: {bare:.1f} µs, ratio {bare_ratio:.2f}")
    print(f"{verdict(ratio <= LIVEZ_BAR)}ratio {ratio:.2f}   bar: {LIVEZ_BAR}")
    found: list[dict[str, float]] = []
    run(measure_doors(found))
    worst = 0.0
    for what in ("list 1", "list 100", "create"):
        by_hand = statistics.median(one[f"hand {what}"] for one in found)
        types, both = (statistics.median(one[f"{way} {what}"] - one[f"hand {what}"] for one in found) for way in ("typed", "kit"))
        worst = max(worst, types)
        print(f"{what}: by hand {by_hand:.1f} µs, decorator {types:+.1f}, decorator and chain {both:+.1f}")
    print(f"{verdict(worst <= DECORATOR_BAR_MICROSECONDS)}decorator at most {worst:+.1f} µs   bar: {DECORATOR_BAR_MICROSECONDS} µs")
    return exit_status()


if __name__ == "__main__":
    if sys.argv[1:] == ["floor"]:
        asyncio.run(serve_floor())
    elif sys.argv[1:] == ["kit"]:
        run(serve_app(application()))
    elif sys.argv[1:] == ["bare"]:
        run(serve_bare())
    else:
        os.environ.pop("PARVIS_FAIL", None)
        sys.exit(main())
