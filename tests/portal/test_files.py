"""My files, in a browser without JavaScript: everything essential is a link or a form."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import psutil

MIB = 2**20


async def own_folder(visitor: Any) -> str:
    await visitor.see("/files")
    path: str = visitor.link(visitor_words(visitor, "Ouvrir et envoyer", "Open, and send"))
    await visitor.see(path)
    return path


def visitor_words(visitor: Any, french: str, english: str) -> str:
    return english if '<html lang="en">' in visitor.text else french


async def send(visitor: Any, path: str, name: str, content: Any) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("csrf", visitor.csrf)
    form.add_field("file", content, filename=name, content_type="application/octet-stream")
    await visitor.post(f"{path}/upload", form)


def details(visitor: Any, name: str) -> str:
    found = re.search(rf'href="(/files/items/[0-9a-f-]+)">[^<]*<span class="unseen"> {re.escape(name)}', visitor.text)
    assert found, visitor.text
    return found[1]


async def downloaded(visitor: Any, item: str) -> bytes:
    async with visitor.session.get(f"{visitor.suite.base}{item}/download") as answer:
        assert answer.status == 200 and answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        content: bytes = await answer.read()
        return content


async def test_a_plain_form_sends_a_file_that_comes_back_as_it_was(visit: Any) -> None:
    visitor = await visit("agent")
    folder, name, content = await own_folder(visitor), f"petit {uuid4()}.bin", os.urandom(70_000)
    await send(visitor, folder, name, content)
    assert visitor.status == 200 and 'role="status"' in visitor.text
    assert await downloaded(visitor, details(visitor, name)) == content


async def test_a_large_one_goes_in_parts_and_through_constant_memory(visit: Any, tmp_path: Path) -> None:
    visitor = await visit("agent")
    folder, name = await own_folder(visitor), f"grand {uuid4()}.bin"
    large = tmp_path / "large"
    with large.open("wb") as file:
        for _ in range(90):
            file.write(os.urandom(MIB))
    process = psutil.Process(visitor.suite.process.pid)
    before = process.memory_info().rss
    with large.open("rb") as file:
        await send(visitor, folder, name, file)
    grown = process.memory_info().rss - before
    assert visitor.status == 200, visitor.text
    assert grown < 45 * MIB, f"{grown / MIB:.0f} MiB more for 90 MiB sent"
    digest = hashlib.sha256()
    async with visitor.session.get(f"{visitor.suite.base}{details(visitor, name)}/download") as answer:
        async for piece in answer.content.iter_chunked(MIB):
            digest.update(piece)
    assert digest.hexdigest() == hashlib.sha256(large.read_bytes()).hexdigest()
    assert not list((visitor.suite.folder / "portal").iterdir()), "nothing is left of it outside the blob store"


async def test_one_above_the_limit_is_refused_before_it_travels(visit: Any) -> None:
    visitor = await visit("agent")
    folder = await own_folder(visitor)
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(101 * MIB), "Sec-Fetch-Site": "same-origin"}
    reader, writer = await __import__("asyncio").open_connection("127.0.0.1", visitor.suite.port)
    cookies = "; ".join(f"{one.key}={one.value}" for one in visitor.session.cookie_jar)
    lines = [f"POST {folder}/upload HTTP/1.1", f"Host: 127.0.0.1:{visitor.suite.port}", f"Cookie: {cookies}"]
    writer.write("\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode())
    assert b" 413 " in await reader.readline()
    writer.close()


async def test_a_forged_upload_leaves_nothing(visit: Any) -> None:
    visitor = await visit("agent")
    folder = await own_folder(visitor)
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("csrf", "x" * 43)
    form.add_field("file", b"forged", filename="forged.txt")
    await visitor.post(f"{folder}/upload", form)
    assert visitor.status == 403
    assert "forged.txt" not in await visitor.see(folder)


async def test_folders_versions_renaming_trash_and_restoring(visit: Any) -> None:
    visitor = await visit("agent")
    folder, one = await own_folder(visitor), str(uuid4())
    await visitor.post(f"{folder}/folders", {"name": f"dossier {one}"})
    assert f"dossier {one}" in visitor.text
    await visitor.post(f"{folder}/folders", {"name": f"dossier {one}"})
    assert visitor.status == 409 and 'class="mistake"' in visitor.text and f'value="dossier {one}"' in visitor.text
    inside = visitor.link(f"dossier {one}")
    await visitor.see(inside)
    await send(visitor, inside, "note.txt", b"one")
    item = details(visitor, "note.txt")
    await visitor.see(item)
    await send(visitor, item, "note.txt", b"two")
    assert visitor.status == 200 and await downloaded(visitor, item) == b"two"
    older = re.search(rf"{item}/versions/[0-9a-f-]+/restore", visitor.text)
    assert older
    await visitor.post(older[0])
    assert visitor.status == 200 and await downloaded(visitor, item) == b"one"
    revision = re.search(r'name="revision" value="(\d+)"', visitor.text)
    assert revision
    await visitor.post(f"{item}/rename", {"name": "renommée.txt", "revision": revision[1]})
    assert "<h1>" in visitor.text and "renommée.txt" in visitor.text
    await visitor.post(f"{item}/rename", {"name": "autre.txt", "revision": revision[1]})
    assert visitor.status == 412, "somebody else's name is not overwritten"
    await visitor.post(f"{item}/trash")
    assert visitor.status == 200 and "renommée.txt" not in visitor.text
    await visitor.see(visitor.link("Corbeille"))
    assert "renommée.txt" in visitor.text
    await visitor.post(f"{item}/restore")
    assert "renommée.txt" in await visitor.see(inside)
    await visitor.see(item)
    await visitor.post(f"{item}/trash")
    await visitor.post(f"{item}/purge")
    assert visitor.status == 200 and f"{item}/purge" not in visitor.text


async def test_what_is_shared_with_a_colleague_they_find_and_what_is_revoked_they_lose(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    folder, name = await own_folder(visitor), f"partage {uuid4()}.txt"
    await send(visitor, folder, name, b"for you")
    item = details(visitor, name)
    await visitor.see(item)
    await visitor.post(f"{item}/shares", {"kind": "agent", "email": "nobody@example.org", "role": "reader"})
    assert visitor.status == 422 and 'aria-describedby="help-email error-email"' in visitor.text
    email = colleague.suite.person("colleague")["email"]
    given, _, family = colleague.suite.person("colleague")["name"].rpartition(" ")
    for typed in (email[:4], family.upper(), f"{family} {given}"):
        assert f'value="{email}"' in await visitor.see(f"/people?email={typed}"), typed
    await visitor.see(item)
    await visitor.post(f"{item}/shares", {"kind": "agent", "email": email, "role": "reader"})
    assert visitor.status == 200 and colleague.suite.person("colleague")["name"] in visitor.text
    assert name in await colleague.see("/files")
    assert await downloaded(colleague, item) == b"for you"
    revoke = re.search(rf"{item}/shares/[0-9a-f-]+/revoke", visitor.text)
    assert revoke
    await visitor.post(revoke[0])
    assert name not in await colleague.see("/files")
    await colleague.see(item)
    assert colleague.status == 404


async def test_searching_finds_by_the_beginnings_of_words(visit: Any) -> None:
    visitor = await visit("agent")
    folder, word = await own_folder(visitor), f"zèbre{uuid4().hex[:6]}"
    await send(visitor, folder, f"Un {word}.txt", b"z")
    await visitor.see(visitor.link("Rechercher"))
    space = visitor.url.removeprefix(visitor.suite.base)
    assert word in await visitor.see(f"{space}?name={word[:8].replace('è', 'e')}")
    fragment = await visitor.see(f"{space}?name={word[:8]}", **{"HX-Request": "true"})
    assert fragment.lstrip().startswith('<div id="hits">') and word in fragment


async def test_another_ministry_s_file_is_not_there(visit: Any) -> None:
    visitor, other = await visit("agent"), await visit("finance")
    folder = await own_folder(visitor)
    stranger = await visit("english")
    for path in (folder, f"/files/items/{folder.rpartition('/')[2]}", "/files/folders/not-an-id", f"/files/folders/{uuid4()}"):
        await stranger.see(path)
        assert stranger.status == 404, path
    assert other.status == 200


async def walled(visitor: Any, colleague: Any) -> tuple[str, str]:
    """A shared space of the visitor's, and a folder of it, in which the colleague keeps another one to themselves: their addresses."""
    await visitor.see("/files")
    await visitor.post("/files/spaces", {"name": f"Cabinet {uuid4()}"})
    root = str(visitor.url).partition("?")[0].rpartition("/")[2]
    suite, api = visitor.suite, f"{visitor.suite.base}/api/files/v1"
    own, other = ({"Authorization": f"Bearer {suite.person(who)['token']}"} for who in ("agent", "colleague"))

    async def ask(method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        headers |= {"Idempotency-Key": uuid4().hex, "If-Match": '"1"'}
        async with colleague.session.request(method, f"{api}/{path}", json=body, headers=headers) as answer:
            assert answer.status in (200, 201), await answer.text()
            return await answer.json()

    folder = await ask("POST", f"folders/{root}/folders", {"name": "Dossier"}, own)
    grantee = {"grantee_kind": "agent", "grantee_id": suite.person("colleague")["id"], "role": "manager"}
    await ask("POST", f"items/{folder['id']}/shares", grantee, own)
    closed = await ask("POST", f"folders/{folder['id']}/folders", {"name": "Entre nous"}, other)
    await ask("PATCH", f"items/{closed['id']}", {"restricted": True}, other)
    return f"/files/items/{folder['id']}", f"/files/items/{closed['id']}"


async def test_what_holds_folders_that_are_closed_to_one_goes_only_once_that_is_said_twice(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    folder, closed = await walled(visitor, colleague)
    for act in ("trash", "purge"):
        await visitor.see(folder)
        await visitor.post(f"{folder}/{act}")
        assert visitor.status == 409 and 'name="with_restricted"' in visitor.text and f'action="{folder}/{act}"' in visitor.text
        assert "Entre nous" not in visitor.text, "it is not named"
        if act == "trash":
            assert "Entre nous" in await colleague.see(closed)
        await visitor.post(f"{folder}/{act}", {"with_restricted": "1"})
        assert visitor.status == 200 and 'id="done"' in visitor.text, visitor.text
    await colleague.see(closed)
    assert colleague.status == 404


async def test_who_does_not_manage_the_space_is_told_whom_to_ask_and_offered_nothing(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    folder, closed = await walled(visitor, colleague)
    third = visitor.suite.demo["agents"][12]
    await visitor.see(closed)
    assert visitor.status == 404
    await visitor.see(folder)
    await visitor.post(f"{folder}/shares", {"kind": "agent", "email": third["email"], "role": "editor"})
    other = await visit()
    await other.post("/sign-in", {"email": third["email"], "password": third["password"]}, csrf=False)
    await other.see(folder)
    assert other.status == 200 and "/files/folders/" not in other.text.replace(folder.replace("items", "folders"), ""), "no way above"
    await other.post(f"{folder}/trash")
    assert other.status == 409 and "gère tout l’espace" in other.text and "with_restricted" not in other.text
    await other.post(f"{folder}/trash", {"with_restricted": "1"})
    assert other.status == 409 and "Entre nous" in await colleague.see(closed)


async def test_a_name_that_is_taken_is_told_with_the_name_that_was_given(visit: Any) -> None:
    visitor = await visit("agent")
    folder, one, kept = await own_folder(visitor), uuid4().hex, '<p class="note" role="status">'
    await send(visitor, folder, f"compte rendu {one}.odt", b"first")
    assert kept not in visitor.text
    await send(visitor, folder, f"compte rendu {one}.odt", b"second")
    assert visitor.status == 200
    assert f"{kept}Ce nom était déjà pris : le fichier est enregistré sous « compte rendu {one} (2).odt »." in visitor.text
    await send(visitor, folder, f"re\u0301union {one}.odt", b"third")
    assert kept not in visitor.text, "an accent that a Mac writes in two is the same name"
    await visitor.see(f"{folder}?done=uploaded&kept={uuid4()}")
    assert visitor.status == 200 and kept not in visitor.text, "of what one may not see, nothing is said"
    await visitor.see(f"{folder}?kept=../spaces/personal")
    assert visitor.status == 404
