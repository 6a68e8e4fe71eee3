"""How long somebody who left still gets in anywhere, by anything they had: seconds of wall, the suite in one process on PostgreSQL."""

import asyncio
import base64
import json
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "services"), str(ROOT / "infra")]

import aiohttp  # noqa: E402
from _bars import exit_status, verdict  # noqa: E402
from parvis_kit.settings import Platform  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402
from parvis_kit.testing.servers import started  # noqa: E402
from parvis_suite.demo import make_tokens, people_of  # noqa: E402
from parvis_suite.services import build_all  # noqa: E402
from pydantic import SecretStr  # noqa: E402
from yarl import URL  # noqa: E402

LEAVERS, P99_SECONDS = 50, 2.0
READY_SECONDS_MAX, OUT_SECONDS_MAX = 90.0, 30.0
TOKEN_DOORS = (
    "/api/directory/v1/app-passwords", "/api/files/v1/spaces/personal", "/api/calendar/v1/calendars", "/api/messaging/v1/notices",
    "/api/billing/v1/me",
)  # fmt: skip


@contextmanager
def suite(url: str) -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory() as place, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        folder = Path(place) / "data"
        environ = {
            **os.environ,
            "PARVIS_DATA": str(folder),
            "PARVIS_PORT": str(port),
            "PARVIS_METRICS_PORT": "0",
            "PARVIS_DATABASE_URL": url,
        }
        process = subprocess.Popen([sys.executable, "-m", "parvis_suite", "up", "--demo"], env=environ, stderr=subprocess.DEVNULL)
        try:
            began = time.monotonic()
            while not (folder / "demo.json").exists():
                if process.poll() is not None or time.monotonic() - began > READY_SECONDS_MAX:
                    raise SystemExit("the suite did not come up")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", folder
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


async def newcomers(base: str, folder: Path, url: str, session: aiohttp.ClientSession) -> tuple[str, list[dict[str, str]]]:
    """The operator's token, and fifty who have an account, a token, an app password and a Matrix session."""
    demo = json.loads((folder / "demo.json").read_text())
    operator = next(one for one in demo["agents"] if "operator" in one["roles"])
    for number in range(LEAVERS):
        new = {
            "email": f"leaver{number}@ecologie.example.org", "given_name": "Camille", "family_name": f"Partant-{number}",
            "ministry_id": demo["ministries"][1]["id"],
        }  # fmt: skip
        await ask(session, "POST", f"{base}/api/directory/v1/agents", operator["token"], new, f"leaver-{number}")
    [directory] = build_all(Platform(data=folder, database_url=SecretStr(url)), ["directory"])
    known = await people_of(directory.database)
    chosen = [known[f"leaver{number}@ecologie.example.org"] for number in range(LEAVERS)]
    tokens = await make_tokens(directory, chosen, directory.clock)
    await directory.database.close()
    leavers = []
    for person, token in zip(chosen, tokens, strict=True):
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        body = {"name": "Client", "scopes": ["dav:calendars", "matrix"], "expires_at": until}
        made = await ask(session, "POST", f"{base}/api/directory/v1/app-passwords", token, body, "client")
        leaver = {"id": str(person.id), "email": person.email, "token": token, "app_password": made["app_password"]}
        await store_file(base, session, leaver)
        await is_in(base, session, leaver)
        leavers.append(leaver)
    return operator["token"], leavers


async def ask(session: aiohttp.ClientSession, method: str, url: str, token: str, body: Any = None, key: str = "", **headers: str) -> Any:
    sent = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {}), **headers}
    async with session.request(method, url, json=body, headers=sent) as answer:
        text = await answer.text()
        if answer.status >= 300:
            raise SystemExit(f"{method} {url}: {answer.status} {text}")
        return json.loads(text) if text else None


async def is_in(base: str, session: aiohttp.ClientSession, leaver: dict[str, str]) -> None:
    """Until every door knows them: otherwise a refusal proves nothing."""
    login = {
        "type": "m.login.password", "password": leaver["app_password"], "identifier": {"type": "m.id.user", "user": leaver["email"]},
    }  # fmt: skip
    until = time.monotonic() + OUT_SECONDS_MAX
    while True:
        async with session.post(f"{base}/_matrix/client/v3/login", json=login) as answer:
            said = await answer.json()
        if answer.status == 200:
            leaver["matrix"] = said["access_token"]
            if all(status != 401 for status in await statuses(base, session, leaver)):
                return
        if time.monotonic() > until:
            raise SystemExit(f"{leaver['email']} does not get in: {said} {await statuses(base, session, leaver)}")
        await asyncio.sleep(0.05)


async def store_file(base: str, session: aiohttp.ClientSession, leaver: dict[str, str]) -> None:
    """So that there is something whose URL they could still be given."""
    files, token, content = f"{base}/api/files/v1", leaver["token"], b"contenu"
    leaver["root_id"] = (await ask(session, "GET", f"{files}/spaces/personal", token))["root_id"]
    upload = await ask(session, "POST", f"{files}/folders/{leaver['root_id']}/uploads", token, declared("Note", content), "note")
    put = upload["put"]
    async with session.request(put["method"], URL(put["url"], encoded=True), data=content, headers=put["headers"]) as answer:
        if answer.status >= 300:
            raise SystemExit(f"the blob store: {answer.status} {await answer.text()}")
    leaver["file_id"] = (await ask(session, "POST", f"{files}/uploads/{upload['id']}/complete", token, {}))["file_id"]


def declared(name: str, content: bytes) -> dict[str, Any]:
    return {"name": f"{name}.txt", "size_bytes": len(content), "sha256": sha256(content).hexdigest(), "media_type": "text/plain"}


Door = tuple[str, str, dict[str, str], Any]


def doors_of(leaver: dict[str, str]) -> list[Door]:
    """Every way in that they have, and every one to a URL: method, path, headers, body."""
    basic = base64.b64encode(f"{leaver['email']}:{leaver['app_password']}".encode()).decode()
    bearer = {"Authorization": f"Bearer {leaver['token']}"}
    announced = declared("Encore", b"encore")
    return [
        *(("GET", door, bearer, None) for door in TOKEN_DOORS),
        ("GET", f"/api/files/v1/files/{leaver['file_id']}/download", bearer, None),
        ("POST", f"/api/files/v1/folders/{leaver['root_id']}/uploads", {**bearer, "Idempotency-Key": "again"}, announced),
        ("PROPFIND", f"/dav/principals/{leaver['id']}/", {"Authorization": f"Basic {basic}", "Depth": "0"}, None),
        ("GET", "/_matrix/client/v3/sync?timeout=0", {"Authorization": f"Bearer {leaver['matrix']}"}, None),
    ]


async def status(base: str, session: aiohttp.ClientSession, door: Door) -> int:
    method, path, headers, body = door
    async with session.request(method, f"{base}{path}", json=body, headers=headers) as answer:
        await answer.read()
        return answer.status


async def statuses(base: str, session: aiohttp.ClientSession, leaver: dict[str, str]) -> list[int]:
    return list(await asyncio.gather(*(status(base, session, door) for door in doors_of(leaver))))


async def seconds_until_out(base: str, session: aiohttp.ClientSession, operator: str, leaver: dict[str, str], number: int) -> float:
    """From the answer of the act to the last door that closed.

    They come from an address of their own and ask no more where they were refused: from one address, fifty people's refused
    passwords are guesses, which are answered 429 for two seconds each.
    """
    path = f"{base}/api/directory/v1/agents/{leaver['id']}"
    seen = await ask(session, "GET", path, operator)
    connector = aiohttp.TCPConnector(local_addr=(f"127.0.1.{number + 1}", 0))
    async with aiohttp.ClientSession(connector=connector) as theirs:
        await statuses(base, theirs, leaver)
        await ask(session, "PATCH", path, operator, {"state": "left"}, **{"If-Match": f'"{seen["revision"]}"'})
        began = time.monotonic()
        open_doors = doors_of(leaver)
        while open_doors:
            answers = await asyncio.gather(*(status(base, theirs, door) for door in open_doors))
            open_doors = [door for door, answer in zip(open_doors, answers, strict=True) if answer != 401]
            if time.monotonic() - began > OUT_SECONDS_MAX:
                raise SystemExit(f"{leaver['email']} is still in: {[(door[0], door[1]) for door in open_doors]}")
        return time.monotonic() - began


async def seconds_until_settled(base: str, session: aiohttp.ClientSession, operator: str, leavers: list[dict[str, str]]) -> float:
    """From the last act until every service has acknowledged all of them."""
    began = time.monotonic()
    for leaver in leavers:
        path = f"{base}/api/directory/v1/agents/{leaver['id']}/departure"
        while (await ask(session, "GET", path, operator))["settled_at"] is None:
            if time.monotonic() - began > OUT_SECONDS_MAX:
                raise SystemExit(f"not settled: {await ask(session, 'GET', path, operator)}")
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def measure(base: str, folder: Path, url: str) -> tuple[list[float], float]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:
        operator, leavers = await newcomers(base, folder, url, session)
        found = [await seconds_until_out(base, session, operator, one, number) for number, one in enumerate(leavers)]
        return found, await seconds_until_settled(base, session, operator, leavers)


def main() -> int:
    with started(ROOT / "infra/servers/postgres.py", "--durable") as server:
        place = PostgresServer(server["url"])
        url = place.create()
        with suite(url) as (base, folder):
            found, settled = asyncio.run(measure(base, folder, url))
    p99 = sorted(found)[math.ceil(len(found) * 0.99) - 1]
    print(f"{verdict(p99 <= P99_SECONDS)}out of every service, {LEAVERS} leavers: p50 {statistics.median(found) * 1000:.0f} ms, "
          f"p99 {p99 * 1000:.0f} ms   bar: p99 ≤ {P99_SECONDS:g} s")  # fmt: skip
    print(f"       acknowledged by every service, after the last of them: {settled * 1000:.0f} ms")
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
