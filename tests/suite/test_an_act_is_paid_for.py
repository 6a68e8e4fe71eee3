"""From a ministry's file to the euro: agents come aboard, one stores and shares, a colleague reads, and finance can defend the figure.

Once undisturbed, and once while the process is killed again and again: the end is the same.
"""

import asyncio
import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from parvis_files.blobs.disk import crc64nvme
from parvis_kit.settings import Platform
from parvis_kit.testing.databases import Place
from parvis_kit.workers import hold_port
from parvis_suite.demo import make_tokens
from parvis_suite.services import build_all
from pydantic import SecretStr
from yarl import URL

MIB = 2**20
SIZE_BYTES, SIZE_BYTES_UNDER_FIRE = 200 * MIB, 40 * MIB
KILLS = 30 if os.environ.get("SOAK") else 4
SEED = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(3))
PATIENCE_SECONDS_MAX = 90.0
"""Of whoever asks again while the suite is started again."""
SIREN = "110068012"
ROSTER = """Matricule;Nom;Prénom;Courriel;Direction
E-901;Okafor;Ngozi;ngozi.okafor@ecologie.example.org;Direction du numérique
E-902;Lindqvist;Åsa;asa.lindqvist@ecologie.example.org;Direction du numérique
E-903;;Sans-Nom;sans.nom@ecologie.example.org;Direction du numérique
"""
"""Two agents, and a line without a family name."""


@dataclass
class Running:
    """`parvis up --demo` on one folder and port, whatever becomes of the process."""

    folder: Path
    environ: dict[str, str]
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    kills: int = 0
    sent: dict[str, int] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def platform(self) -> Platform:
        url = self.environ.get("PARVIS_DATABASE_URL", "")
        return Platform(data=self.folder, database_url=SecretStr(url), port=self.port)

    def start(self) -> None:
        with open(self.folder.with_suffix(".log"), "ab") as output:
            command = [sys.executable, "-m", "parvis_suite", "up", "--demo"]
            self.process = subprocess.Popen(command, env=self.environ, stdout=output, stderr=output)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def command(self, *arguments: str, expected: int = 0) -> str:
        """`parvis …` beside the one that runs, as an operator types it."""
        command = [sys.executable, "-m", "parvis_suite", *arguments]
        said = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS_MAX, check=False)
        assert said.returncode == expected, f"{arguments}: {said.returncode}\n{said.stdout}{said.stderr}"
        return said.stdout

    def insist(self, *arguments: str) -> str:
        """A command that a kill may have met half-way; done twice, it is done once."""
        for _ in range(5):
            try:
                return self.command(*arguments)
            except AssertionError:
                continue
        return self.command(*arguments)


@pytest.fixture
def suite(place: Place, database_kind: str, tmp_path: Path) -> Iterator[Running]:
    with hold_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
    folder = tmp_path / "data"
    path = os.pathsep.join(filter(None, sys.path))
    environ = {**os.environ, "PARVIS_DATA": str(folder), "PARVIS_PORT": str(port), "PARVIS_METRICS_PORT": "0", "PYTHONPATH": path}
    if database_kind != "sqlite":
        environ["PARVIS_DATABASE_URL"] = place.url_of("")
    running = Running(folder, environ, port)
    running.start()
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def under_fire(suite: Running, random: Random) -> Iterator[None]:
    """Killed at any moment and started again, some times; it runs when the block is left."""
    over = threading.Event()

    def shoot() -> None:
        while suite.kills < KILLS and not over.wait(random.uniform(0.3, 6.0)):
            suite.kill()
            suite.kills += 1
            suite.start()

    thread = threading.Thread(target=shoot)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Client:
    """Somebody's client: when nobody answers, it asks again, and its keys make that harmless."""

    def __init__(self, suite: Running, session: aiohttp.ClientSession, token: str) -> None:
        self.suite, self.session, self.headers = suite, session, {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: Any = None, key: str = "", early: tuple[int, ...] = (401, 404, 429, 503)) -> Any:
        """`early`: what is answered while something that was said is not known everywhere yet."""
        headers = self.headers | ({"Idempotency-Key": key} if key else {})

        async def once() -> Any:
            async with self.session.request(method, f"{self.suite.base}{path}", json=body, headers=headers) as answer:
                text = await answer.text()
                if answer.status in early:
                    raise NotYet(f"{method} {path}: {answer.status} {text}")
                assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
                return json.loads(text) if text else None

        return await patiently(once)

    async def send(self, address: Any, content: bytes) -> int:
        async def once() -> int:
            url = URL(address["url"], encoded=True)
            async with self.session.request(address["method"], url, data=content, headers=address["headers"]) as answer:
                await answer.read()
                return answer.status

        return await patiently(once)


class NotYet(Exception):
    """It may be otherwise in a moment."""


async def patiently(once: Callable[[], Awaitable[Any]]) -> Any:
    until = asyncio.get_running_loop().time() + PATIENCE_SECONDS_MAX
    while True:
        try:
            return await once()
        except (aiohttp.ClientError, TimeoutError, OSError, NotYet):
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(0.1)


async def come_aboard(suite: Running) -> dict[str, dict[str, str]]:
    """The file of the ministry, and a token for each who came by it: name → id, email, token."""
    file = suite.folder.parent / "effectif.csv"
    file.write_text(ROSTER, "cp1252")
    await patiently(lambda: ready(suite))
    dry = await asyncio.to_thread(suite.insist, "onboard", str(file), "--ministry", SIREN, "--partial", "--dry-run")
    assert "€" in dry, f"what it will cost is said before the act\n{dry}"
    await asyncio.to_thread(suite.insist, "onboard", str(file), "--ministry", SIREN, "--partial", "--yes")
    [directory] = build_all(suite.platform, ["directory"])
    try:
        people = {one.family_name: one for one in await everybody(directory)}
        chosen = [people[name] for name in ("Okafor", "Lindqvist", "Benali")]
        tokens = await make_tokens(directory, chosen, directory.clock)
    finally:
        await directory.database.close()
    names = ("ngozi", "asa", "administrator")
    return {
        name: {"id": str(one.id), "email": one.email, "token": token, "ministry": str(one.ministry_id)}
        for name, one, token in zip(names, chosen, tokens, strict=True)
    }


async def ready(suite: Running) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{suite.base}/readyz") as answer:
        if answer.status != 200 or not (suite.folder / "demo.json").exists():
            raise NotYet("not ready")


async def everybody(directory: Any) -> list[Any]:
    from uuid import UUID

    from parvis_directory import queries
    from parvis_directory.rules import Asker

    root = Asker(UUID(int=0), UUID(int=0), frozenset({"operator"}))
    async with directory.database.read() as conn:
        return list((await queries.agents_for(conn, root, None, 100, None)).items)


async def store_and_share(suite: Running, people: dict[str, dict[str, str]], size_bytes: int) -> str:
    """A large file in parts, one lost and one damaged on the way; the SHA-256 of what the colleague then reads."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        ngozi, asa, chief = (Client(suite, session, people[name]["token"]) for name in ("ngozi", "asa", "administrator"))
        content = Random(7).randbytes(size_bytes)
        space = await ngozi.ask("GET", "/api/files/v1/spaces/personal")
        declared = {"name": "Relevés.bin", "size_bytes": size_bytes, "sha256": sha256(content).hexdigest()}
        upload = await ngozi.ask("POST", f"/api/files/v1/folders/{space['root_id']}/uploads", declared, "upload")
        await send_parts(ngozi, upload, content)
        done = await ngozi.ask("POST", f"/api/files/v1/uploads/{upload['id']}/complete", {})

        async def committed() -> Any:
            found = await ngozi.ask("GET", f"/api/files/v1/uploads/{upload['id']}")
            assert found["state"] in ("received", "scanning", "committed"), found
            if found["state"] != "committed":
                raise NotYet(found["state"])
            return found

        done = await patiently(committed)
        members = [people["ngozi"]["id"], people["asa"]["id"]]
        team = await chief.ask("POST", "/api/directory/v1/teams", {"name": "Relevés", "members": members}, "team")
        share = {"grantee_kind": "team", "grantee_id": team["id"], "role": "reader"}
        await ngozi.ask("POST", f"/api/files/v1/items/{done['file_id']}/shares", share, "share", early=(404, 422, 503))

        async def read() -> str:
            found = await asa.ask("GET", f"/api/files/v1/files/{done['file_id']}/download")
            digest = sha256()
            async with session.get(URL(found["url"], encoded=True)) as answer:
                assert answer.status == 200
                async for piece in answer.content.iter_chunked(MIB):
                    digest.update(piece)
            if digest.hexdigest() != found["sha256"]:
                raise NotYet("the line was cut")
            return digest.hexdigest()

        assert [one["item"]["name"] for one in (await asa.ask("GET", "/api/files/v1/shared"))["items"]] == ["Relevés.bin"]
        assert await patiently(read) == sha256(content).hexdigest()
        space = await ngozi.ask("GET", "/api/files/v1/spaces/personal")
        assert (space["quota"]["used_bytes"], space["quota"]["reserved_bytes"]) == (size_bytes, 0)
        return str(done["file_id"])


async def send_parts(by: Client, upload: Any, content: bytes) -> None:
    """The second part is lost, the third damaged; what the store has not, is sent again."""
    size = upload["part_bytes"]
    parts = {number + 1: content[number * size : (number + 1) * size] for number in range(upload["parts"])}
    asked = [{"number": number, "crc64nvme": crc64nvme(part)} for number, part in parts.items()]
    signed = (await by.ask("POST", f"/api/files/v1/uploads/{upload['id']}/parts", {"parts": asked}))["parts"]
    for one in signed:
        part = parts[one["number"]]
        if one["number"] == 3:
            assert await by.send(one["address"], part[:-1] + bytes([part[-1] ^ 1])) == 400
        elif one["number"] != 2:
            assert await by.send(one["address"], part) == 200
    stored = (await by.ask("POST", f"/api/files/v1/uploads/{upload['id']}/parts", {"parts": []}))["stored"]
    missing = [one for one in asked if one["number"] not in {kept["number"] for kept in stored}]
    assert {one["number"] for one in missing} == {2, 3}
    for one in (await by.ask("POST", f"/api/files/v1/uploads/{upload['id']}/parts", {"parts": missing}))["parts"]:
        assert await by.send(one["address"], parts[one["number"]]) == 200


async def add_up(suite: Running, people: dict[str, dict[str, str]], size_bytes: int) -> None:
    """What was stored is metered, the report is the invoices', and the agent's figure is explained."""

    async def told() -> None:
        lag = await asyncio.to_thread(suite.insist, "events", "lag")
        if set(re.findall(r"(\d+) facts", lag)) != {"0"}:
            raise NotYet(lag)

    await patiently(told)
    assert "nothing" in (await asyncio.to_thread(suite.insist, "events", "parked")).lower()
    await asyncio.to_thread(suite.insist, "cost", "run")
    email = people["ngozi"]["email"]
    explained = json.loads(await asyncio.to_thread(suite.insist, "cost", "explain", email, "--reason", "preuve", "--format", "json"))
    [part] = [one for one in explained["parts"] if one["ministry_id"] == people["ngozi"]["ministry"]]
    seconds, rest = divmod(part["use"]["files.byte_seconds"], size_bytes)
    assert seconds > 0 and rest == 0, "what is stored, for as long as it has been"
    assert (part["provisioned"], part["active"]) == (1, 1)
    assert {step["agent_weight"] for step in part["steps"] if step["key"] == "active" and not step["fell_back"]} == {1}
    for perimeter, booked in explained["micro_eur"].items():
        assert sum(step["micro_eur"] for one in explained["parts"] for step in one["steps"] if perimeter in step["perimeters"]) == booked
    report = json.loads(await asyncio.to_thread(suite.insist, "cost", "report", "--format", "json"))
    for perimeter in report["perimeters"]:
        shared = sum(line["total"]["cents"] for line in perimeter["lines"]) + perimeter["unallocated_cents"]
        assert shared == perimeter["total"]["total"]["cents"] == perimeter["invoices_cents"] > 0, perimeter["name"]
    assert "all as booked" in await asyncio.to_thread(suite.insist, "cost", "verify")
    rows = list(csv.DictReader((await asyncio.to_thread(suite.insist, "cost", "report", "--format", "csv")).splitlines()))
    assert {row["siren"] for row in rows if row["siren"]} == {"110014016", "110068012", "110043015"}


async def rebuild(suite: Running) -> None:
    """Every projection, computed again from the state topics, is what the live one was."""
    services = build_all(suite.platform, ["files", "billing"])
    try:
        for service in services:
            for projection in service.projections:
                before = await rows_of(service, projection)
                await asyncio.to_thread(suite.insist, "events", "rebuild", projection.name, "--watch")
                assert before and await rows_of(service, projection) == before, projection.name
    finally:
        for service in services:
            await service.database.close()


async def rows_of(service: Any, projection: Any) -> list[str]:
    found: list[str] = []
    async with service.database.read() as conn:
        for table in projection.tables:
            found += [f"{table.name} {tuple(row)}" for row in await conn.execute(sa.select(table))]
    return sorted(found)


def test_an_act_is_paid_for(suite: Running) -> None:
    asyncio.run(whole_way(suite, SIZE_BYTES))
    assert suite.kills == 0
    a_cent_is_missed(suite)


@pytest.mark.soak
def test_an_act_is_paid_for_though_the_suite_is_killed_again_and_again(suite: Running) -> None:
    print(f"seed {SEED}")
    with under_fire(suite, Random(SEED)):
        asyncio.run(whole_way(suite, SIZE_BYTES_UNDER_FIRE))
    assert suite.kills > 0, "otherwise this proves nothing"
    asyncio.run(patiently(lambda: ready(suite)))  # type: ignore[arg-type]
    a_cent_is_missed(suite)


async def whole_way(suite: Running, size_bytes: int) -> None:
    people = await come_aboard(suite)
    await store_and_share(suite, people, size_bytes)
    await add_up(suite, people, size_bytes)
    await rebuild(suite)


def a_cent_is_missed(suite: Running) -> None:
    """Whoever changes one cent behind our back is found out, and what it was is named."""
    [billing] = build_all(suite.platform, ["billing"])

    async def take_a_cent() -> None:
        async with billing.database.transaction() as tx:
            table = billing.metadata.tables["billing.cost_item"]
            changed = sa.update(table).where(table.c.id == "servers").values(amount_cents=table.c.amount_cents - 1)
            assert (await tx.execute(changed)).rowcount
        await billing.database.close()

    asyncio.run(take_a_cent())
    assert "servers" in suite.command("cost", "verify", expected=1)


def test_killing_is_seen(suite: Running) -> None:
    """The control of the harness: a client that does not ask again notices."""
    asyncio.run(patiently(lambda: ready(suite)))  # type: ignore[arg-type]
    assert suite.process is not None
    suite.process.send_signal(signal.SIGKILL)
    suite.process.wait()

    async def ask() -> None:
        async with aiohttp.ClientSession() as session, session.get(f"{suite.base}/livez"):
            pass

    with pytest.raises(aiohttp.ClientError):
        asyncio.run(ask())
