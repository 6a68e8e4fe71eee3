"""An alert goes the whole way: from what a process says, by the rules that are deployed, to whoever is on call."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from parvis_kit.testing.plugin import missing
from parvis_kit.testing.servers import ServerMissing, started
from parvis_kit.testing.waiting import until


class Station(ThreadingHTTPServer):
    """A process that says one figure, and the webhook of whoever is on call."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.blobs_missing = 0
        self.told: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def states(self, name: str) -> list[str]:
        """firing, resolved: as they were told."""
        return [one["status"] for post in self.told for one in post["alerts"] if one["labels"]["alertname"] == name]


class Handler(BaseHTTPRequestHandler):
    server: Station

    def do_GET(self) -> None:
        figure = "# HELP parvis_files_blobs_missing x\n# TYPE parvis_files_blobs_missing gauge\nparvis_files_blobs_missing"
        self.answer(f"{figure} {self.server.blobs_missing}\n".encode())

    def do_POST(self) -> None:
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(b"")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def station() -> Iterator[Station]:
    with Station() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


@pytest.fixture
def watched(prometheus_script: Path) -> Iterator[Station]:
    with station() as made:
        try:
            webhook = f"http://{made.address}/alerts"
            options = ("--interval", "1s", "--hurry", "--webhook", webhook, "--target", f"files={made.address}")
            with started(prometheus_script, *options):
                yield made
        except ServerMissing as reason:
            missing("Prometheus", str(reason))


async def test_who_is_on_call_is_told_of_a_fault_and_of_its_end(watched: Station) -> None:
    async def told(*states: str) -> bool:
        return watched.states("BlobsMissing")[: len(states)] == list(states)

    watched.blobs_missing = 3
    await until(lambda: told("firing"), "the webhook is told of the fault")
    one = watched.told[0]["alerts"][0]
    assert one["labels"]["severity"] == "page" and one["annotations"]["runbook"] == "docs/runbooks/BlobsMissing.md"
    watched.blobs_missing = 0
    await until(lambda: told("firing", "resolved"), "the webhook is told of its end")
