"""What directory's doors cost on PostgreSQL: each beside a handler written by hand on asyncpg and orjson, checking the same token."""

import asyncio
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "services"), str(ROOT / "infra"), str(Path(__file__).parent)]

import asyncpg  # noqa: E402
import orjson  # noqa: E402
from _bars import exit_status, verdict  # noqa: E402
from aiohttp import web  # noqa: E402
from bench_http import Server  # noqa: E402
from joserfc.jwk import RSAKey  # noqa: E402
from parvis_directory import actions, queries  # noqa: E402
from parvis_directory.api.sign_in import DESK  # noqa: E402
from parvis_directory.app import build  # noqa: E402
from parvis_directory.rules import Asker  # noqa: E402
from parvis_directory.settings import Settings  # noqa: E402
from parvis_kit import access  # noqa: E402
from parvis_kit.clock import utc_now  # noqa: E402
from parvis_kit.http import mount  # noqa: E402
from parvis_kit.http.chain import LIMITS  # noqa: E402
from parvis_kit.ids import new_id  # noqa: E402
from parvis_kit.serve import run, runner_options  # noqa: E402
from parvis_kit.settings import Platform  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402
from parvis_kit.testing.servers import started  # noqa: E402
from parvis_suite.assembly import migrate  # noqa: E402
from pydantic import SecretStr  # noqa: E402

ROUNDS, TURNS = 9, 25
LIST_MS, LIST_RATIO, GET_MS, CREATE_MS = 1.5, 3.2, 0.45, 1.5
AGENTS = "/api/directory/v1/agents"
STANDING = """
SELECT session.revoked_at IS NOT NULL, signing_key.not_after, agent.state, agent.expires_at, agent.ministry_id, agent.roles
FROM directory.agent, directory.session, directory.signing_key WHERE agent.id = $1 AND session.id = $2 AND signing_key.kid = $3"""
COLUMNS = "id, ministry_id, directorate_id, kind, state, email, given_name, family_name, language, roles, expires_at, revision"
LIST = f"SELECT {COLUMNS} FROM directory.agent WHERE ministry_id = $1 AND id > $2 ORDER BY id LIMIT $3"  # noqa: S608
ONE = f"SELECT {COLUMNS} FROM directory.agent WHERE id = $1"  # noqa: S608
INSERTS = (
    "INSERT INTO directory.idempotency (who, key, digest, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING key",
    f"INSERT INTO directory.agent ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",  # noqa: S608
    "INSERT INTO directory.audit (at, who, what, about, place, decision, request_id) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    "UPDATE directory.idempotency SET answer = $3 WHERE who = $1 AND key = $2",
    "INSERT INTO directory.outbox (event_id, type, topic, key, at, head, data) VALUES ($1, $2, $3, $4, $5, $6, $7)",
)


class ByHand:
    """No types, no problems, no log: what the database and the token cost by themselves."""

    def __init__(self, pool: Any, keys: dict[str, RSAKey], issuer: str) -> None:
        self.pool, self.keys, self.issuer = pool, keys, issuer

    async def who(self, conn: Any, request: web.Request) -> tuple[access.Claims, UUID]:
        claims, kid = access.verify(request.headers["Authorization"][7:], self.keys, issuer=self.issuer, now=datetime.now(UTC))
        revoked, until, state, *_, ministry_id, _roles = await conn.fetchrow(STANDING, claims.sub, claims.sid, kid)
        assert not revoked and until > datetime.now(UTC) and state == "active"
        return claims, ministry_id

    async def list(self, request: web.Request) -> web.Response:
        async with self.pool.acquire() as conn:
            _, ministry_id = await self.who(conn, request)
            limit = int(request.query["limit"])
            rows = await conn.fetch(LIST, ministry_id, UUID(int=0), limit)
        page = {"items": [dict(row) for row in rows], "next": str(rows[-1]["id"]) if len(rows) == limit else None}
        return web.Response(body=orjson.dumps(page, default=str), content_type="application/json")

    async def get(self, request: web.Request) -> web.Response:
        async with self.pool.acquire() as conn:
            await self.who(conn, request)
            row = await conn.fetchrow(ONE, UUID(request.match_info["agent_id"]))
        return web.Response(body=orjson.dumps(dict(row), default=str), content_type="application/json")

    async def create(self, request: web.Request) -> web.Response:
        body, key, now, agent_id = orjson.loads(await request.read()), request.headers["Idempotency-Key"], datetime.now(UTC), new_id()
        async with self.pool.acquire() as conn:
            claims, ministry_id = await self.who(conn, request)
            async with conn.transaction():
                asker, about = str(claims.sub), str(agent_id)
                await conn.fetchrow(INSERTS[0], asker, key, "digest", now)
                row = (
                    agent_id, ministry_id, None, "agent", "active", body["email"], body["given_name"], body["family_name"], "fr", ["agent"],
                    None, 1,
                )  # fmt: skip
                await conn.execute(INSERTS[1], *row)
                await conn.execute(INSERTS[2], now, asker, "agent.create", about, "", "done", "")
                answer = orjson.dumps(dict(zip(COLUMNS.split(", "), row, strict=True)), default=str)
                await conn.execute(INSERTS[3], asker, key, answer)
                facts = [(new_id(), f"directory.agent.{what}.v1", "topic", about, now, "{}", answer) for what in ("joined", "state")]
                await conn.executemany(INSERTS[4], facts)
        return web.Response(body=answer, status=201, content_type="application/json")


async def serve() -> None:
    platform = Platform(database_url=SecretStr(os.environ["BENCH_DATABASE_URL"]), access_log=False)
    directory = build(platform, utc_now, Settings())
    await migrate([directory], platform)
    for before in directory.before:
        await before()
    app = web.Application(client_max_size=LIMITS.body_bytes)
    mount(app, directory, platform)
    token, agent_id, keys = await people(directory)
    pool = await asyncpg.create_pool(platform.database_url.get_secret_value(), min_size=1, max_size=10, init=with_json)
    by_hand = ByHand(pool, keys, directory.handles[DESK].issuer)
    app.router.add_get("/hand/agents", by_hand.list)
    app.router.add_get("/hand/agents/{agent_id}", by_hand.get)
    app.router.add_post("/hand/agents", by_hand.create)
    runner = web.AppRunner(app, access_log=None, **runner_options(LIMITS))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    print(token, agent_id, flush=True)
    await asyncio.Event().wait()


async def with_json(conn: Any) -> None:
    await conn.set_type_codec("jsonb", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads, schema="pg_catalog")


async def people(directory: Any) -> tuple[str, UUID, dict[str, RSAKey]]:
    """A ministry of 120, the token of its administrator, somebody's id, and the keys."""
    root, now = Asker(UUID(int=0), UUID(int=0), frozenset({"operator"})), utc_now()
    async with directory.database.transaction() as tx:
        ministry = await actions.create_ministry(tx, root, "110014016", "Ministère", now=now)
        for number in range(120):
            new = actions.NewPerson(
                ministry.id, None, "agent", f"agent{number}@example.org", "Camille", "Martin", "fr", ["ministry_administrator"], None
            )
            person = await actions.create_agent(tx, root, new, now=now)
        session = await actions.open_session(tx, person, life=timedelta(hours=12), now=now)
        kid, pem = await queries.key_that_signs(tx, now)
    key = access.private_key(pem, kid)
    claims = actions.claims_for(person, session.id, issuer=directory.handles[DESK].issuer, now=now, life=timedelta(hours=12))
    return access.sign(claims, key), person.id, {kid: access.public_key(access.public_jwk(key))}


def request(method: str, path: str, token: str, body: bytes = b"", **headers: str) -> bytes:
    lines = {"Host": "localhost", "Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body:
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return f"{method} {path} HTTP/1.1\r\n".encode() + "".join(f"{n}: {v}\r\n" for n, v in lines.items()).encode() + b"\r\n" + body


class DirectoryServer(Server):
    """The service and the handlers by hand, in one process of their own."""

    def __init__(self) -> None:
        super().__init__("serve", __file__)
        assert self.process.stdout is not None
        self.token, self.agent_id = self.process.stdout.readline().split()
        self.number = 0

    def creations(self, path: str) -> Iterator[bytes]:
        while True:
            self.number += 1
            body = f'{{"email":"new{self.number}@example.org","given_name":"Camille","family_name":"Martin"}}'.encode()
            yield request("POST", path, self.token, body, Idempotency_Key=f"k{self.number}")


@contextmanager
def postgres() -> Iterator[str]:
    if url := os.environ.get("BENCH_POSTGRES_URL"):
        yield url
    else:
        with started(ROOT / "infra/servers/postgres.py", "--durable") as server:
            yield server["url"]


def measure(server: DirectoryServer) -> dict[str, float]:
    """Milliseconds of CPU in the server's process, the median of a few rounds of all."""
    paths = {"kit": AGENTS, "hand": "/hand/agents"}
    same = {
        f"{way} {what}": request("GET", f"{path}{rest}", server.token)
        for way, path in paths.items()
        for what, rest in (("list", "?limit=100"), ("get", f"/{server.agent_id}"))
    }
    creations = {f"{way} create": server.creations(path) for way, path in paths.items()}
    found: dict[str, list[float]] = {name: [] for name in (*same, *creations)}
    for number in range(ROUNDS + 1):
        for name, figures in found.items():
            figure = server.microseconds(same[name] if name in same else creations[name], TURNS) / 1000
            if number:  # the first is a warm-up
                figures.append(figure)
    return {name: statistics.median(figures) for name, figures in found.items()}


def main() -> int:
    with postgres() as url:
        place = PostgresServer(url)
        database = place.create()
        os.environ["BENCH_DATABASE_URL"] = database
        try:
            server = DirectoryServer()
            try:
                found = measure(server)
            finally:
                server.stop()
        finally:
            place.drop(database)
    for what, bar, ratio_max in (("list", LIST_MS, LIST_RATIO), ("get", GET_MS, None), ("create", CREATE_MS, None)):
        ours, floor = found[f"kit {what}"], found[f"hand {what}"]
        met = ours <= bar and (ratio_max is None or ours / floor <= ratio_max)
        bars = f"{bar} ms" + (f" and × {ratio_max}" if ratio_max else "")
        print(f"{verdict(met)}{what:8}{ours:.3f} ms of CPU, by hand {floor:.3f} ms, × {ours / floor:.2f}   bar: {bars}")
    return exit_status()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        run(serve())
    else:
        sys.exit(main())
