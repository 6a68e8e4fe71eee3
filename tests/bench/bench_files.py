"""What files' doors cost on PostgreSQL, the store aside: an upload, a list, an address, a search; in a small space and in a large one."""

import asyncio
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("services", "infra", "files")] + [str(Path(__file__).parent)]

import asyncpg  # noqa: E402
import orjson  # noqa: E402
from _bars import exit_status, verdict  # noqa: E402
from aiohttp import web  # noqa: E402
from bench_directory import postgres, request  # noqa: E402
from bench_http import CONNECTIONS, Server, on_cpu_nanoseconds  # noqa: E402
from joserfc.jwk import RSAKey  # noqa: E402
from parvis_contracts.directory import AgentState, SigningKeyState  # noqa: E402
from parvis_files import actions  # noqa: E402
from parvis_files.app import build  # noqa: E402
from parvis_files.blobs import Blob  # noqa: E402
from parvis_files.blobs.s3 import Place, S3Store  # noqa: E402
from parvis_files.blobs.signing import Signer  # noqa: E402
from parvis_files.rules import Asker  # noqa: E402
from parvis_files.settings import Settings  # noqa: E402
from parvis_kit import access  # noqa: E402
from parvis_kit.clock import utc_now  # noqa: E402
from parvis_kit.http import mount  # noqa: E402
from parvis_kit.http.chain import LIMITS  # noqa: E402
from parvis_kit.serve import run, runner_options  # noqa: E402
from parvis_kit.settings import Platform  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402
from parvis_suite.assembly import migrate  # noqa: E402
from pydantic import SecretStr  # noqa: E402

API = "/api/files/v1"
ROUNDS, TURNS = 9, 15
UPLOAD_MS, LIST_MS, DOWNLOAD_MS, GROWTH = 5.0, 1.5, 1.0, 1.3
SMALL, LARGE, LISTED, FOUND = 100, 100_000, 100, 20
"""Items of the two spaces; of them those of the folder that is listed, and those that are found."""
CONTENT = b"content"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ITEM = "id, space_id, parent_id, is_file, name, restricted, size_bytes, media_type, revision, change_id, created_at, modified_at, sort_key"
FILL = f"""
INSERT INTO files.item ({ITEM})
SELECT gen_random_uuid(), $1, $2, true, $3::text || n, false, 7, 'text/plain', 1, n + 1, now(), now(), $3::text || n
FROM generate_series($4::int, $5::int) n"""  # noqa: S608
WORDS = """
INSERT INTO files.item_word (space_id, word, item_id)
SELECT space_id, split_part(name, ' ', part), id FROM files.item, generate_series(1, 3) part WHERE space_id = $1 AND is_file"""
BY_HAND = """
SELECT session.state = 'revoked', key.not_after, agent.state, agent.ministry_id
FROM files.roster_signing_key key JOIN files.roster_agent agent ON agent.id = $1
LEFT JOIN files.roster_credential session ON session.id = $2
WHERE key.kid = $3"""
CHILDREN = """
SELECT id, is_file, name, size_bytes, media_type, restricted, revision, change_id, modified_at FROM files.item
WHERE parent_id = $1 AND trashed_at IS NULL ORDER BY is_file, sort_key, id LIMIT $2"""


class Still(S3Store):
    """Signs as S3 wants it, and holds whatever is asked of it: what a store costs is not what is measured."""

    async def look(self, key: str) -> Blob | None:
        return Blob(key, len(CONTENT), datetime.now(UTC))

    async def prepare(self) -> None: ...


async def serve() -> None:
    url = os.environ["BENCH_DATABASE_URL"]
    platform = Platform(database_url=SecretStr(url), access_log=False)
    store = Still(Place("http://s3.test", "http://s3.test", "bench", Signer("key", "secret", "us-east-1"), ""), utc_now)
    files = build(platform, utc_now, Settings(), store)
    await migrate([files], platform)
    key, ada, ministry = access.make_key(), uuid4(), uuid4()
    await copy_directory(files, key, ada, ministry)
    async with files.database.transaction() as tx:
        small = await actions.open_personal_space(tx, ada, ministry, now=utc_now())
        large = await actions.create_space(tx, Asker(ada, ministry), "large", None, now=utc_now())
    pool = await asyncpg.create_pool(platform.database_url.get_secret_value(), min_size=1, max_size=10)
    said: dict[str, Any] = {"token": token_of(key, ada, ministry), "upload_folder": str(small.root_id)}
    for name, space_id, size in (("small", small.id, SMALL), ("large", large, LARGE)):
        said |= await fill(pool, name, space_id, size)
    app = web.Application(client_max_size=LIMITS.body_bytes)
    mount(app, files, platform)
    app.router.add_get("/hand/{folder_id}", by_hand(pool, {str(key.kid): access.public_key(access.public_jwk(key))}))
    runner = web.AppRunner(app, access_log=None, **runner_options(LIMITS))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    print(json.dumps(said), flush=True)
    await asyncio.Event().wait()


def by_hand(pool: Any, keys: dict[str, RSAKey]) -> Callable[[web.Request], Any]:
    """The least that lists a folder: who asks, and its rows."""

    async def list_folder(asked: web.Request) -> web.Response:
        claims, kid = access.verify(asked.headers["Authorization"][7:], keys, issuer=access.issuer_of(""), now=datetime.now(UTC))
        async with pool.acquire() as conn:
            revoked, until, state, _ = await conn.fetchrow(BY_HAND, claims.sub, claims.sid, kid)
            assert not revoked and until > datetime.now(UTC) and state == "active"
            rows = await conn.fetch(CHILDREN, UUID(asked.match_info["folder_id"]), LISTED)
        return web.Response(body=orjson.dumps([dict(row) for row in rows], default=str), content_type="application/json")

    return list_folder


async def copy_directory(files: Any, key: RSAKey, agent_id: UUID, ministry_id: UUID) -> None:
    """As the roster's projection does."""
    kid, end, roster = str(key.kid), utc_now() + timedelta(days=1), files.projections[0]
    agent = AgentState(
        at=utc_now(), about=str(agent_id), agent_id=agent_id, ministry_id=ministry_id, kind="agent", state="active",
        email="ada@example.org", given_name="Ada", family_name="Martin", roles=("agent",),
    )  # fmt: skip
    async with files.database.transaction() as tx:
        for fact in (agent, SigningKeyState(at=utc_now(), about=kid, kid=kid, jwk=access.public_jwk(key), not_after=end)):
            await roster.on[type(fact)].handler(tx, [fact])
    roster.reached_end()


def token_of(key: RSAKey, agent_id: UUID, ministry_id: UUID) -> str:
    now = utc_now()
    claims = access.Claims(
        iss=access.issuer_of(""), aud="parvis", iat=int(now.timestamp()), exp=int((now + timedelta(hours=12)).timestamp()), sub=agent_id,
        sid=uuid4(), ministry=ministry_id, roles=("agent",), scope="files:read files:write",
    )  # fmt: skip
    return access.sign(claims, key)


async def fill(pool: Any, name: str, space_id: UUID, size: int) -> dict[str, str]:
    """A folder with as many files as are listed, the others beside it; some of all are found by one word; all have the longest."""
    async with pool.acquire() as conn:
        root = await conn.fetchval("SELECT root_id FROM files.space WHERE id = $1", space_id)
        folder, listed = uuid4(), LISTED - FOUND
        await conn.execute(
            f"INSERT INTO files.item ({ITEM}) VALUES ($1, $2, $3, false, 'folder', false, NULL, NULL, 1, 1, now(), now(), 'folder')",  # noqa: S608
            folder, space_id, root,
        )  # fmt: skip
        await conn.execute(FILL, space_id, folder, "needle document ", 1, FOUND)
        await conn.execute(FILL, space_id, folder, "report document ", FOUND + 1, FOUND + listed)
        if size > LISTED:
            await conn.execute(FILL, space_id, root, "paper document ", LISTED + 1, size)
        await conn.execute(WORDS, space_id)
        await conn.execute("ANALYZE files.item")
        await conn.execute("ANALYZE files.item_word")
    return {f"{name}_space": str(space_id), f"{name}_folder": str(folder)}


class FilesServer(Server):
    """The service in a process of its own."""

    def __init__(self) -> None:
        super().__init__("serve", __file__)
        assert self.process.stdout is not None
        self.said: dict[str, str] = json.loads(self.process.stdout.readline())
        self.token, self.number = self.said["token"], 0

    def asked(self, connection: Any, sent: bytes) -> Any:
        connection.sendall(sent)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65536)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), answer[:300]
        return json.loads(body)

    def post(self, path: str, body: Any, **headers: str) -> bytes:
        return request("POST", f"{API}/{path}", self.token, json.dumps(body).encode(), **headers)

    def uploads(self, turns: int) -> float:
        """Microseconds of CPU for one declared, and completed."""
        before = on_cpu_nanoseconds(self.process.pid)
        for _ in range(turns):
            for connection in self.connections:
                self.upload(connection)
        return (on_cpu_nanoseconds(self.process.pid) - before) / 1000 / (turns * CONNECTIONS)

    def upload(self, connection: Any) -> str:
        self.number += 1
        body = {"name": f"upload {self.number}.txt", "size_bytes": len(CONTENT), "sha256": DIGEST, "media_type": "text/plain"}
        path = f"folders/{self.said['upload_folder']}/uploads"
        declared = self.asked(connection, self.post(path, body, Idempotency_Key=f"k{self.number}"))
        done = self.asked(connection, self.post(f"uploads/{declared['id']}/complete", {}))
        assert done["state"] == "committed"
        return str(done["file_id"])

    def milliseconds(self, sent: bytes) -> float:
        """Of the clock, for one request alone: what the database does is in it."""
        began = time.perf_counter()
        self.asked(self.connections[0], sent)
        return (time.perf_counter() - began) * 1000


def measure(server: FilesServer) -> Iterator[tuple[str, float]]:
    """(what, figure) again and again: milliseconds of CPU, or of the clock where two spaces are compared."""
    file_id = server.upload(server.connections[0])
    said, token = server.said, server.token
    same = {
        "list": request("GET", f"{API}/folders/{said['small_folder']}/items?limit={LISTED}", token),
        "by hand": request("GET", f"/hand/{said['small_folder']}", token),
        "download": request("GET", f"{API}/files/{file_id}/download", token),
    }
    sizes = {
        f"{what} {size}": request("GET", f"{API}/{path.format(**said)}", token)
        for size in ("small", "large")
        for what, path in (
            ("list", f"folders/{{{size}_folder}}/items?limit={LISTED}"),
            ("search", f"spaces/{{{size}_space}}/search?name=needle&limit={FOUND}"),
            ("two words", f"spaces/{{{size}_space}}/search?name=needle+document&limit={FOUND}"),
        )
    }
    for _ in range(ROUNDS + 1):
        yield "upload", server.uploads(TURNS) / 1000
        for name, sent in same.items():
            yield name, server.microseconds(sent, TURNS) / 1000
        for _ in range(TURNS):
            for name, sent in sizes.items():  # in turn, so that what disturbs one disturbs the other
                yield f"clock {name}", server.milliseconds(sent)


def main() -> int:
    found: dict[str, list[float]] = {}
    with postgres() as url:
        place = PostgresServer(url)
        database = place.create()
        os.environ["BENCH_DATABASE_URL"] = database
        try:
            server = FilesServer()
            try:
                for name, figure in measure(server):
                    found.setdefault(name, []).append(figure)
            finally:
                server.stop()
        finally:
            place.drop(database)
    median = {name: statistics.median(figures[1:]) for name, figures in found.items()}  # the first is a warm-up
    for what, bar in (("upload", UPLOAD_MS), ("list", LIST_MS), ("download", DOWNLOAD_MS)):
        beside = f", by hand {median['by hand']:.3f} ms" if what == "list" else ""
        print(f"{verdict(median[what] <= bar)}{what:10}{median[what]:.3f} ms of CPU{beside}   bar: {bar} ms")
    for what in ("list", "search", "two words"):
        small, large = (median[f"clock {what} {size}"] for size in ("small", "large"))
        said = f"{small:.2f} ms with {SMALL} items, {large:.2f} ms with {LARGE}: × {large / small:.2f}"
        print(f"{verdict(large <= GROWTH * small)}{what:10}{said}   bar: × {GROWTH}")
    return exit_status()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        run(serve())
    else:
        sys.exit(main())
