"""What comes over the wire from those who mean no good: the slow, the smugglers and the endless."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from aiohttp import web
from parvis_kit.http import Limits, mount, mount_health
from parvis_kit.serve import quiet_logger, refuse_unsafe_parser, runner_options
from parvis_kit.settings import Platform

from .conftest import Things

LIMITS = Limits(idle_seconds=0.3, body_seconds=0.15, body_bytes=10_000, linger_seconds=0.1, shutdown_seconds=1)
HOST = b"Host: localhost\r\n"
POST = b"POST /api/things/v1/things HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nIdempotency-Key: k\r\n"


@dataclass
class Wire:
    """Bytes in, bytes out, until the server closes."""

    port: int

    async def send(self, *parts: bytes, every_seconds: float = 0) -> bytes:
        """All that is answered. Raises TimeoutError when the connection stays open."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        drip = asyncio.create_task(self._drip(writer, parts, every_seconds))
        try:
            async with asyncio.timeout(5):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            drip.cancel()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _drip(self, writer: asyncio.StreamWriter, parts: tuple[bytes, ...], every_seconds: float) -> None:
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(every_seconds)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    app, platform = web.Application(client_max_size=LIMITS.body_bytes), Platform(access_log=False)
    mount(app, Things(), platform, LIMITS)
    mount_health(app, platform, {})
    runner = web.AppRunner(app, access_log=None, logger=quiet_logger(), **runner_options(LIMITS))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Wire(runner.addresses[0][1])
    await runner.cleanup()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer else 0


def test_the_parser_in_use_is_the_one_in_c() -> None:
    refuse_unsafe_parser()


def test_a_parser_in_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiohttp import http_parser
    from parvis_kit.serve import UnsafeParser

    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(UnsafeParser, match="install a wheel"):
        refuse_unsafe_parser()


CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = {
    "a length and chunks": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "an encoding that is none": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"GET /livez HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "a folded header": b"GET /livez HTTP/1.1\r\n" + HOST + b"X-Folded: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET /livez HTTP/1.1\nHost: localhost\n\n",
    "two hosts": b"GET /livez HTTP/1.1\r\n" + HOST + b"Host: elsewhere\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "a line feed in a chunk's extension": POST + CHUNKED + b"\r\n5;a=b\nc\r\nhello\r\n0\r\n\r\n",
    "a header line beyond 4 KiB": b"GET /livez HTTP/1.1\r\n" + HOST + b"X-Long: " + b"a" * 5000 + b"\r\n\r\n",
    "a hundred headers": b"GET /livez HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: a\r\n" % number for number in range(100)) + b"\r\n",
    "an endless target": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED.keys())
async def test_what_two_parsers_could_read_in_two_ways_is_refused(wire: Wire, sent: bytes) -> None:
    answer = await wire.send(sent + b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status_of(answer) == 400
    assert answer.count(b"\r\n\r\n") == 1


async def test_an_honest_request_is_answered_on_the_same_wire(wire: Wire) -> None:
    assert status_of(await wire.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")) == 200


HEAD = b"GET /livez HTTP/1.1\r\n" + HOST
SLOW: dict[str, tuple[tuple[bytes, ...], int]] = {
    "sends no byte": ((), 0),
    "sends half a head": ((HEAD,), 0),
    "drips a head byte by byte": (tuple(HEAD[index : index + 1] for index in range(len(HEAD))), 0),
    "never sends its body": ((POST + b"Content-Length: 100\r\n\r\n",), 408),
    "drips its body": ((POST + b"Content-Length: 100\r\n\r\n", *[b"a"] * 90), 408),
    "drips chunks": ((POST + CHUNKED + b"\r\n", *[b"1\r\na\r\n"] * 90), 408),
}


@pytest.mark.parametrize("parts, status", SLOW.values(), ids=SLOW.keys())
async def test_who_is_slow_on_purpose_is_closed(wire: Wire, parts: tuple[bytes, ...], status: int) -> None:
    """`send` returns when the server has closed; its own limit is far above the server's.

    Who goes on writing after that may lose the answer to the reset that its own bytes provoke: closed it is in any case.
    """
    assert status_of(await wire.send(*parts, every_seconds=0.05)) in ({status, 0} if len(parts) > 1 else {status})


async def test_a_good_client_is_served_while_slow_ones_hang_on(wire: Wire) -> None:
    slow = [asyncio.create_task(wire.send(HEAD)) for _ in range(100)]
    good = await wire.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert status_of(good) == 200
    assert not any(task.done() for task in slow)
    assert await asyncio.gather(*slow) == [b""] * 100


@pytest.mark.parametrize(
    "head",
    [POST + b"Content-Length: 999999999\r\n\r\n", POST + b"Content-Length: 999999999\r\nExpect: 100-continue\r\n\r\n"],
    ids=["announced", "announced with Expect"],
)
async def test_a_body_announced_too_large_is_refused_before_it_comes(wire: Wire, head: bytes) -> None:
    answer = await wire.send(head)
    assert b" 413 " in answer and b"application/problem+json" in answer


async def test_a_body_that_grows_too_large_in_chunks_is_refused(wire: Wire) -> None:
    answer = await wire.send(POST + CHUNKED + b"\r\n" + b"1000\r\n" + b"a" * 4096 + b"\r\n" + (b"2000\r\n" + b"a" * 8192 + b"\r\n") * 3)
    assert status_of(answer) == 413


async def test_who_waits_for_100_continue_gets_it(wire: Wire) -> None:
    body = b'{"name":"a"}'
    head = POST + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = await wire.send(head, body, every_seconds=0.01)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201")


async def test_an_absolute_target_decides_nothing(wire: Wire) -> None:
    answer = await wire.send(b"GET http://evil.example/livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert status_of(answer) == 200 and b"evil" not in answer
