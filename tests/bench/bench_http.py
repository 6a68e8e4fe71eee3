"""What HTTP costs: the chain beside a bare asyncio.Protocol, a typed route beside a handler written by hand."""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "services")]

from aiohttp import web  # noqa: E402
from parvis_kit.http import CLOCK, Body, Page, Query, Request, Routes, mount, mount_health  # noqa: E402
from parvis_kit.http.chain import LIMITS  # noqa: E402
from parvis_kit.http.reading import typed  # noqa: E402
from parvis_kit.serve import runner_options  # noqa: E402
from parvis_kit.settings import Platform  # noqa: E402
from pydantic import TypeAdapter  # noqa: E402

CONNECTIONS, TURNS, ROUNDS = 16, 250, 9
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


async def list_by_hand(request: Request) -> web.Response:
    query = ListThings.model_validate(dict(request.query))
    return web.Response(body=PAGE.dump_json(Page(THINGS[: query.limit])), content_type="application/json")


async def make_by_hand(request: Request) -> web.Response:
    body = NEW.validate_json(await request.read())
    return web.Response(body=THING.dump_json(Thing(UUID(int=7), body.name, body.size)), status=201, content_type="application/json")


async def hello(request: Request) -> web.Response:
    return web.Response(body=b'{"alive":true}', content_type="application/json")


class Floor(asyncio.Protocol):
    """The least that answers HTTP in Python: request line and headers into a dictionary, JSON out."""

    transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        first, *lines = data.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        if method == "GET" and target == "/livez" and version == "HTTP/1.1" and "host" in headers:
            body = json.dumps({"alive": True}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)


async def serve_floor() -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def serve_kit() -> None:
    platform, app = Platform(access_log=False), web.Application(client_max_size=LIMITS.body_bytes)
    service: Any = SimpleNamespace(name="things", database=None, clock=None, routes=[ROUTES], authenticate=None, handles={CLOCK: None})
    mount(app, service, platform)
    mount_health(app, platform, {})
    app.router.add_get("/hand/hello", hello)
    app.router.add_get("/hand/things", list_by_hand)
    app.router.add_post("/hand/things", make_by_hand)
    for one in ROUTES.operations:
        app.router.add_route(one.method, "/typed/things", typed(one, LIMITS))
    runner = web.AppRunner(app, access_log=None, **runner_options(LIMITS))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def on_cpu_nanoseconds(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


class Server:
    """One in a process of its own, and connections to it."""

    def __init__(self, kind: str) -> None:
        self.process = subprocess.Popen([sys.executable, __file__, kind], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        port = int(self.process.stdout.readline())
        self.connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]

    def microseconds(self, request: bytes, turns: int = TURNS) -> float:
        """Of CPU in the server, for each request; every connection always has one under way."""
        before = on_cpu_nanoseconds(self.process.pid)
        for _ in range(turns):
            for connection in self.connections:
                connection.sendall(request)
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


def main() -> int:
    kit, floor = Server("kit"), Server("floor")
    cases: dict[str, Callable[[], float]] = {
        "floor": lambda: floor.microseconds(get("/livez")),
        "livez": lambda: kit.microseconds(get("/livez")),
    }
    for where in ("hand", "typed", "kit"):
        cases[f"{where} list 1"] = lambda where=where: kit.microseconds(get(f"/{where}/things?limit=1"))  # type: ignore[misc]
        cases[f"{where} create"] = lambda where=where: kit.microseconds(post(f"/{where}/things"))  # type: ignore[misc]
    try:
        for measure in cases.values():
            measure()  # to warm up
        rounds = [{name: measure() for name, measure in cases.items()} for _ in range(ROUNDS)]
    finally:
        kit.stop()
        floor.stop()

    def median(figure: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(map(figure, rounds))

    ratio = median(lambda one: one["livez"] / one["floor"])
    print(f"GET /livez through the chain: {median(lambda one: one['livez']):.1f} µs CPU, floor {median(lambda one: one['floor']):.1f} µs,")
    print(f"  ratio {ratio:.2f}   bar {LIVEZ_BAR}   {'ok' if ratio <= LIVEZ_BAR else 'MISSED'}")
    worst = 0.0
    for what in ("list 1", "create"):
        types = median(lambda one, what=what: one[f"typed {what}"] - one[f"hand {what}"])  # type: ignore[misc]
        both = median(lambda one, what=what: one[f"kit {what}"] - one[f"hand {what}"])  # type: ignore[misc]
        worst = max(worst, types)
        print(
            f"{what}: by hand {median(lambda one, what=what: one[f'hand {what}']):.1f} µs, types {types:+.1f}, types and chain {both:+.1f}"
        )  # type: ignore[misc]
    verdict = "ok" if worst <= DECORATOR_BAR_MICROSECONDS else "MISSED"
    print(f"  decorator at most {worst:+.1f} µs   bar {DECORATOR_BAR_MICROSECONDS}   {verdict}")
    return 0 if ratio <= LIVEZ_BAR and worst <= DECORATOR_BAR_MICROSECONDS else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["floor"]:
        asyncio.run(serve_floor())
    elif sys.argv[1:] == ["kit"]:
        import uvloop

        uvloop.run(serve_kit())
    else:
        os.environ.pop("PARVIS_FAIL", None)
        sys.exit(main())
