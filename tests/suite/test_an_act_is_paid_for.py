"""From a ministry's file to the euro: agents come aboard, one stores and shares, a colleague reads, and finance can defend the figure.

Once undisturbed, and once while the process is killed again and again: the end is the same.
"""

import asyncio
import csv
import json
import re
import signal
from collections import Counter
from hashlib import sha256
from random import Random
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from parvis_files.blobs.disk import crc64nvme
from parvis_suite.demo import make_tokens
from parvis_suite.services import build_all
from yarl import URL

from .running import SEED, Client, NotYet, Running, everybody, patiently, ready, rebuild, under_fire

MIB = 2**20
SIZE_BYTES, SIZE_BYTES_UNDER_FIRE = 200 * MIB, 40 * MIB
SIREN = "110068012"
ROSTER = """Matricule;Nom;Prénom;Courriel;Direction
E-901{walk};Okafor;Ngozi;ngozi.okafor{walk}@ecologie.example.org;Direction du numérique
E-902{walk};Lindqvist;Åsa;asa.lindqvist{walk}@ecologie.example.org;Direction du numérique
E-903{walk};;Sans-Nom;sans.nom{walk}@ecologie.example.org;Direction du numérique
"""
"""Two agents, and a line without a family name; others in each walk."""


async def come_aboard(suite: Running) -> dict[str, dict[str, str]]:
    """The file of the ministry, and a token for each who came by it: name → id, email, token."""
    file = suite.folder.parent / "effectif.csv"
    walk = str(suite.walk or "")
    file.write_text(ROSTER.format(walk=walk), "cp1252")
    await patiently(lambda: ready(suite))

    async def told_what_it_will_cost() -> None:
        said = await asyncio.to_thread(suite.insist, "onboard", str(file), "--ministry", SIREN, "--partial", "--dry-run")
        if "what it would cost is not known yet" in said:  # billing, or its database, was killed a moment ago
            raise NotYet(said)
        assert "€" in said, said

    await patiently(told_what_it_will_cost)
    await asyncio.to_thread(suite.insist, "onboard", str(file), "--ministry", SIREN, "--partial", "--yes")
    [directory] = build_all(suite.platform, ["directory"])
    try:
        people = {one.email.partition("@")[0]: one for one in await everybody(directory)}
        chosen = [people[name] for name in (f"ngozi.okafor{walk}", f"asa.lindqvist{walk}", "karim.benali")]
        tokens = await make_tokens(directory, chosen, directory.clock)
    finally:
        await directory.database.close()
    names = ("ngozi", "asa", "administrator")
    return {
        name: {"id": str(one.id), "email": one.email, "token": token, "ministry": str(one.ministry_id)}
        for name, one, token in zip(names, chosen, tokens, strict=True)
    }


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
        team = await chief.ask("POST", "/api/directory/v1/teams", {"name": "Relevés", "members": members}, f"team{suite.walk}")
        share = {"grantee_kind": "team", "grantee_id": team["id"], "role": "reader"}
        await ngozi.ask("POST", f"/api/files/v1/items/{done['file_id']}/shares", share, "share", early=(404, 422, 503))

        async def read() -> str:
            found = await asa.ask("GET", f"/api/files/v1/files/{done['file_id']}/download")
            digest = sha256()
            async with session.get(URL(found["url"], encoded=True)) as answer:
                if answer.status >= 500:
                    raise NotYet(f"the blob store: {answer.status}")
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


async def all_told(suite: Running) -> None:
    """Every service knows what the others have said."""
    lag = await asyncio.to_thread(suite.insist, "events", "lag")
    if set(re.findall(r"(\d+) facts", lag)) != {"0"}:
        raise NotYet(lag)


async def add_up(suite: Running, people: dict[str, dict[str, str]], size_bytes: int) -> None:
    """What was stored is metered, the report is the invoices', and the agent's figure is explained."""
    await patiently(lambda: all_told(suite))
    assert "nothing" in (await asyncio.to_thread(suite.insist, "events", "parked")).lower()
    await asyncio.to_thread(suite.insist, "cost", "run")
    email = people["ngozi"]["email"]
    explained = json.loads(await asyncio.to_thread(suite.insist, "cost", "explain", email, "--reason", "preuve", "--format", "json"))
    [part] = [one for one in explained["parts"] if one["ministry_id"] == people["ngozi"]["ministry"]]
    seconds, rest = divmod(part["use"]["files.byte_seconds"], size_bytes)
    assert seconds > 0 and rest == 0, "what is stored, for as long as it has been"
    assert (part["provisioned"], part["active"]) == (1, 1)
    assert part["use"]["files.actions"] == 2, "stored once and shared once, whatever died meanwhile"
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


def test_an_act_is_paid_for(suite: Running) -> None:
    asyncio.run(whole_way(suite, SIZE_BYTES))
    assert suite.kills == 0
    the_end_is_the_same(suite, SIZE_BYTES)
    a_cent_is_missed(suite)


@pytest.mark.soak
def test_an_act_is_paid_for_though_the_suite_is_killed_again_and_again(new_suite: Running) -> None:
    print(f"seed {SEED}")
    with under_fire(new_suite, Random(SEED)):
        asyncio.run(whole_way(new_suite, SIZE_BYTES_UNDER_FIRE))
    assert new_suite.kills > 0, "otherwise this proves nothing"
    asyncio.run(patiently(lambda: ready(new_suite)))  # type: ignore[arg-type]
    the_end_is_the_same(new_suite, SIZE_BYTES_UNDER_FIRE)
    a_cent_is_missed(new_suite)


async def whole_way(suite: Running, size_bytes: int) -> None:
    people = await come_aboard(suite)
    await store_and_share(suite, people, size_bytes)
    await add_up(suite, people, size_bytes)
    await rebuild(suite, "files", "billing")


def the_end_is_the_same(suite: Running, size_bytes: int) -> None:
    """Killed or not: what there is of the two agents and their file, without ids and times; and all use counted again is the use."""

    async def look() -> None:
        assert await end_of(suite) == {
            "versions": [("Relevés.bin", "ngozi.okafor@ecologie.example.org", 1, size_bytes)],
            "shares": [("Relevés.bin", "team", "reader")],
            "uploads": [("Relevés.bin", "committed")],
            "teams": [("Relevés", "asa.lindqvist@ecologie.example.org"), ("Relevés", "ngozi.okafor@ecologie.example.org")],
            "spaces": [("asa.lindqvist@ecologie.example.org", 0, 0), ("ngozi.okafor@ecologie.example.org", size_bytes, 0)],
            "said": {"file.stored.v1": 1, "share.granted.v1": 1},
            "joined": 2,
        }
        await count_again(suite)

    asyncio.run(look())


QUERIES = {
    "versions": """SELECT i.name, a.email, v.number, v.size_bytes FROM files.version v JOIN files.item i ON i.id = v.item_id
        JOIN files.space s ON s.id = i.space_id JOIN files.roster_agent a ON a.id = s.owner_id WHERE i.name = 'Relevés.bin'""",
    "shares": """SELECT i.name, s.grantee_kind, s.role FROM files.share s JOIN files.item i ON i.id = s.item_id
        WHERE i.name = 'Relevés.bin'""",
    "uploads": "SELECT name, state FROM files.upload WHERE name = 'Relevés.bin'",
    "teams": """SELECT t.name, a.email FROM files.roster_team t JOIN files.roster_team_member m ON m.team_id = t.id
        JOIN files.roster_agent a ON a.id = m.agent_id WHERE t.name = 'Relevés'""",
    "spaces": """SELECT a.email, s.used_bytes, s.reserved_bytes FROM files.space s JOIN files.roster_agent a ON a.id = s.owner_id
        WHERE a.family_name IN ('Okafor', 'Lindqvist')""",
}


async def end_of(suite: Running) -> dict[str, Any]:
    services = {one.name: one for one in build_all(suite.platform, ["files", "directory"])}
    try:
        found: dict[str, Any] = {}
        async with services["files"].database.read() as conn:
            for name, query in QUERIES.items():
                found[name] = sorted(tuple(row) for row in await conn.execute(sa.text(query)))
            log, item, share = (services["files"].metadata.tables[f"files.{name}"] for name in ("log", "item", "share"))
            ids = sa.select(item.c.id).where(item.c.name == "Relevés.bin")
            mine = [str(one) for one in (await conn.execute(ids)).scalars()]
            mine += [str(one) for one in (await conn.execute(sa.select(share.c.id).where(share.c.item_id.in_(ids)))).scalars()]
            said = await conn.execute(sa.select(log.c.type).where(log.c.key.in_(mine)))
            found["said"] = dict(Counter(type_.removeprefix("files.") for type_ in said.scalars()))
        people = {str(one.id) for one in await everybody(services["directory"]) if one.family_name in ("Okafor", "Lindqvist")}
        async with services["directory"].database.read() as conn:
            log = services["directory"].metadata.tables["directory.log"]
            joined = await conn.execute(sa.select(log.c.key).where(log.c.type == "directory.agent.joined.v1"))
            found["joined"] = sum(one in people for one in joined.scalars())
        return found
    finally:
        for service in services.values():
            await service.database.close()


COUNTED = ("seat_change", "seat_state", "usage_day", "storage_day")


async def count_again(suite: Running) -> None:
    """What was counted from the kept facts, counted again from the first of them, is what was counted live."""
    suite.kill()
    [billing] = build_all(suite.platform, ["billing"])
    tables = {table.name: table for table in billing.metadata.tables.values()}

    async def counted() -> dict[str, list[str]]:
        async with billing.database.read() as conn:
            return {name: sorted([str(tuple(row)) for row in await conn.execute(sa.select(tables[name]))]) for name in COUNTED}

    try:
        live = await counted()
        assert all(live.values())
        async with billing.database.transaction() as tx:
            for name in COUNTED:
                await tx.execute(sa.delete(tables[name]))
            for name in ("consumer_offset", "inbox"):
                gone = await tx.execute(sa.delete(tables[name]).where(tables[name].c.consumer == "billing"))
                assert gone.rowcount, name
        suite.start()
        await patiently(lambda: ready(suite))
        await patiently(lambda: all_told(suite))
        assert await counted() == live
    finally:
        await billing.database.close()


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
