"""Files as ministries send them, and what the tests of onboarding do with them at the door."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from parvis_directory import store
from parvis_kit.events.ledger import tables_of

from .conftest import Town

TITLES = ("matricule", "nom", "prénom", "courriel", "direction", "date de départ")


def person(number: int, **changes: str) -> list[str]:
    """A line of TITLES."""
    line = {
        "matricule": f"{number:06}", "nom": f"Dupont-{number}", "prénom": "Anne", "courriel": f"agent{number}@interieur.example.org",
        "direction": f"Direction {number % 3}", "date de départ": "",
    } | changes  # fmt: skip
    return list(line.values())


def file_of(lines: Iterable[Sequence[str]], *, titles: Sequence[str] = TITLES, separator: str = ";", encoding: str = "cp1252") -> bytes:
    """With quotation marks where they are needed, written by hand: the reader's own library is not asked."""

    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if set(text) & {separator, '"', "\n", "\r"} else text

    return "".join(separator.join(map(cell, line)) + "\r\n" for line in (titles, *lines)).encode(encoding)


async def send(
    town: Town, raw: bytes, *, by: str = "ada", ministry: str = "interieur", key: str = "", complete: bool = True, media: str = "text/csv"
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {town.tokens[by]}", "Content-Type": media, "Idempotency-Key": key or uuid4().hex}
    path = f"/api/directory/v1/ministries/{town.ministries[ministry]}/onboardings"
    query = {} if complete else {"complete": "false"}
    async with town.client.post(path, data=raw, headers=headers, params=query) as answer:
        return answer.status, await answer.json(content_type=None)


async def confirm(town: Town, job: Any, *, by: str = "ada", **body: Any) -> tuple[int, Any]:
    status, answer, _ = await town.call("POST", f"/api/directory/v1/onboardings/{job['id']}/confirm", by=by, body=body)
    return status, answer


async def work(town: Town) -> None:
    """As the clock asks for it."""
    [sweep] = [one for one in town.directory.sweeps if one.name == "onboardings"]
    await sweep.action()


async def bring(town: Town, raw: bytes, *, complete: bool = True) -> Any:
    """Sent, confirmed and done; the job at its end."""
    status, job = await send(town, raw, complete=complete)
    assert status == 201, job
    body = {"accept_deactivations": True, "deactivations": job["closings"]}
    assert (await confirm(town, job, **body))[0] == 202
    await work(town)
    return await look(town, job)


async def look(town: Town, job: Any, by: str = "ada") -> Any:
    return (await town.call("GET", f"/api/directory/v1/onboardings/{job['id']}", by=by))[1]


async def lines_of(town: Town, job: Any, **query: Any) -> list[Any]:
    asked = "&".join(f"{name}={value}" for name, value in {"limit": 500, **query}.items())
    status, page, _ = await town.call("GET", f"/api/directory/v1/onboardings/{job['id']}/lines?{asked}", by="ada")
    assert status == 200, page
    return list(page["items"])


async def reasons(town: Town, job: Any) -> dict[int, str]:
    """Line → code, of those that have one."""
    return {one["line"]: one["code"] for one in await lines_of(town, job) if one["code"]}


async def aboard(town: Town) -> dict[str, Any]:
    """Whoever has an identifier, by it."""
    wanted = sa.select(store.agent).where(store.agent.c.external_id.is_not(None))
    async with town.directory.database.read() as conn:
        return {row.external_id: row for row in await conn.execute(wanted)}


async def said(town: Town) -> list[tuple[str, str]]:
    """(type, what it is about) of all facts of directory, in order."""
    tables = tables_of("directory")
    table = tables["log" if town.directory.database.is_sqlite else "outbox"]
    async with town.directory.database.read() as conn:
        return [(row.type, row.key) for row in await conn.execute(sa.select(table).order_by(*table.primary_key))]


async def id_of(town: Town, external_id: str) -> UUID:
    found: UUID = (await aboard(town))[external_id].id
    return found
