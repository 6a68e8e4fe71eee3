"""The whole main job, with the clients that people have: aboard, share, talk, meet, move, leave, and every euro accounted for.

Undisturbed, where there is no network but loopback, and while the process is killed again and again: the end is the same.
"""

import asyncio
import base64
import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import aiohttp
import nio
import pytest
import sqlalchemy as sa
from parvis_suite.services import build_all

from .running import SEED, Client, NotYet, Running, patiently, ready, rebuild, under_fire
from .test_an_act_is_paid_for import MIB, add_up, come_aboard, store_and_share

SIZE_BYTES = 24 * MIB
"""Three parts: one lost, one damaged."""
SERVICES = ("billing", "calendar", "files", "messaging")
"""Who keeps projections of others' facts."""
TOKEN_DOORS = (
    "/api/directory/v1/app-passwords", "/api/files/v1/spaces/personal", "/api/calendar/v1/calendars", "/api/messaging/v1/notices",
    "/api/billing/v1/me",
)  # fmt: skip
WEEK = timedelta(days=7)
ROOT = Path(__file__).resolve().parents[2]
CALDAV = Path(__file__).with_name("caldav_client.py")
ALONE = Path(__file__).with_name("alone.py")
"""The job undisturbed, which is run in the namespace only."""


async def app_password(by: Client) -> str:
    """For an agenda and for Matrix. Its secret is shown once: when that answer was lost, another one is made."""
    for number in range(20):
        until = (datetime.now(UTC) + timedelta(days=30)).isoformat()
        body = {"name": "Téléphone", "scopes": ["dav:calendars", "matrix"], "expires_at": until}
        made = await by.ask("POST", "/api/directory/v1/app-passwords", body, f"phone-{number}-{uuid4().hex[:8]}")
        if made["app_password"]:
            return str(made["app_password"])
    raise AssertionError("no app password was shown")


class Matrix:
    """matrix-nio, which answers errors instead of raising them: here they mean that one asks again."""

    def __init__(self, suite: Running, email: str, password: str) -> None:
        self.email, self.password = email, password
        config = nio.AsyncClientConfig(max_timeouts=1, max_limit_exceeded=1, encryption_enabled=False, request_timeout=20)
        self.client = nio.AsyncClient(suite.base, email, device_id="", config=config)
        self.since: str | None = None
        self.events: dict[str, list[Any]] = {}
        """Room → its events, as they came."""

    async def sign_in(self) -> None:
        async def once() -> None:
            said = await self.client.login(self.password, device_name="preuve")
            if not isinstance(said, nio.LoginResponse):
                raise NotYet(str(said))

        await patiently(once)

    async def hear(self) -> None:
        """What is new, invitations accepted."""

        async def once() -> nio.SyncResponse:
            said = await self.client.sync(timeout=1000, since=self.since)
            if not isinstance(said, nio.SyncResponse):
                raise NotYet(str(said))
            return said

        said = await patiently(once)
        self.since = said.next_batch
        for room_id, room in said.rooms.join.items():
            self.events.setdefault(room_id, []).extend(event.source for event in room.timeline.events)
        for room_id in said.rooms.invite:
            await self.client.join(room_id)

    async def find(self, what: str, wanted: Any) -> tuple[str, Any]:
        """(room, event) of the first message for which `wanted(text)` holds."""

        async def once() -> tuple[str, Any]:
            for room_id, events in self.events.items():
                for event in events:
                    if event["type"] == "m.room.message" and wanted(event["content"].get("body", "")):
                        return room_id, event
            await self.hear()
            raise NotYet(f"{self.email} has not read {what}: {[e['content'].get('body') for es in self.events.values() for e in es]}")

        found: tuple[str, Any] = await patiently(once)
        return found

    async def answer(self, room_id: str, event: Any, text: str) -> None:
        """In the thread of the event, once, however often it has to be sent."""
        thread = event["content"].get("m.relates_to", {}).get("event_id") or event["event_id"]
        content = {
            "msgtype": "m.text",
            "body": text,
            "m.relates_to": {"rel_type": "m.thread", "event_id": thread, "is_falling_back": True, "m.in_reply_to": {"event_id": thread}},
        }
        key = uuid4().hex

        async def once() -> None:
            said = await self.client.room_send(room_id, "m.room.message", content, tx_id=key)
            if not isinstance(said, nio.RoomSendResponse):
                raise NotYet(str(said))

        await patiently(once)

    async def close(self) -> None:
        await self.client.close()


async def said_on_the_log(suite: Running, topic: str) -> list[dict[str, Any]]:
    """Each fact once: a relay that is killed between sending and noting it sends it again, under the same id."""
    told = await asyncio.to_thread(suite.insist, "events", "tail", topic, "--json")
    said: dict[str, dict[str, Any]] = {}
    for one in (json.loads(line) for line in told.splitlines() if line.startswith("{")):
        assert said.setdefault(one["id"], one)["data"] == one["data"]
    return list(said.values())


async def read_and_answer(suite: Running, asa: dict[str, str], file_id: str) -> None:
    """The colleague reads in Matrix that something was shared, and answers in the thread: a fact that names the file."""
    matrix = Matrix(suite, asa["email"], asa["app_password"])
    try:
        await matrix.sign_in()
        room_id, notice = await matrix.find("the notice of the share", lambda text: "Relevés.bin" in text)
        await matrix.answer(room_id, notice, "Merci, bien reçu.")
    finally:
        await matrix.close()

    async def told() -> dict[str, Any]:
        posted = [one["data"] for one in await said_on_the_log(suite, "parvis.messaging.message") if one["type"].endswith("posted.v1")]
        mine = [one for one in posted if one["agent_id"] == asa["id"]]
        if not mine:
            raise NotYet("the answer is no fact yet")
        assert len(mine) == 1, "said once"
        return mine[0]

    assert (await patiently(told))["subject_id"] == file_id


async def meet(suite: Running, people: dict[str, dict[str, str]]) -> None:
    """Made with a CalDAV client on one account, there on the other's, accepted in Matrix, and both are busy."""
    ngozi, asa = people["ngozi"], people["asa"]
    begins = (datetime.now(UTC) + WEEK).replace(hour=9, minute=0, second=0, microsecond=0)
    uid = uuid4().hex
    await caldav(suite, ngozi, "meet", uid, begins.isoformat(), asa["email"])
    assert await caldav(suite, asa, "partstat", uid, asa["email"]) == "NEEDS-ACTION"
    matrix = Matrix(suite, asa["email"], asa["app_password"])
    try:
        await matrix.sign_in()
        room_id, invitation = await matrix.find("the invitation", lambda text: "!oui" in text)
        await matrix.answer(room_id, invitation, "!oui")
    finally:
        await matrix.close()

    async def accepted() -> None:
        for one in (asa, ngozi):
            said = await caldav(suite, one, "partstat", uid, asa["email"])
            if said != "ACCEPTED":
                raise NotYet(f"{one['email']}: {said}")

    await patiently(accepted)
    async with aiohttp.ClientSession() as session:
        client = Client(suite, session, ngozi["token"])
        asked = {
            "agents": [ngozi["id"], asa["id"]], "starts_at": begins.isoformat(), "ends_at": (begins + timedelta(hours=8)).isoformat(),
            "minutes": 30,
        }  # fmt: skip
        found = await client.ask("POST", "/api/calendar/v1/availability", asked)
        assert len(found["found"]) == 2
        for one in found["found"]:
            assert [span["starts_at"] for span in one["busy"]] == [begins.strftime("%Y-%m-%dT%H:%M:%SZ")], one
        assert all(slot["starts_at"] >= (begins + timedelta(hours=1)).strftime("%Y-%m-%dT%H") for slot in found["slots"])
    answered = [one["data"] for one in await said_on_the_log(suite, "parvis.calendar.meeting") if one["type"].endswith("answered.v1")]
    answers = [(one["answer"], one["channel"]) for one in answered if one["attendee_id"] == asa["id"]]
    assert answers == [("accepted", "messaging")]


async def caldav(suite: Running, who: dict[str, str], *arguments: str) -> str:
    """What the client of tests/suite/caldav_client.py says, in an environment of its own."""

    async def once() -> str:
        command = [suite.dav_python, str(CALDAV), suite.base, who["email"], who["app_password"], *arguments]
        said = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
        if said.returncode:
            raise NotYet(said.stderr[-2000:])
        return said.stdout.strip()

    found: str = await patiently(once)
    return found


async def move(suite: Running, people: dict[str, dict[str, str]], operator: str) -> None:
    """What she stores is her new ministry's to pay for from that day, her seat from that month."""
    ngozi = people["ngozi"]
    async with aiohttp.ClientSession() as session:
        client = Client(suite, session, operator)
        ministries = (await client.ask("GET", "/api/directory/v1/ministries"))["items"]
        goal = next(one["id"] for one in ministries if one["siren"] == "110014016")

        async def moved() -> None:
            path = f"/api/directory/v1/agents/{ngozi['id']}"
            seen = await client.ask("GET", path)
            if seen["ministry_id"] != goal:
                headers = {**client.headers, "If-Match": f'"{seen["revision"]}"'}
                async with session.post(f"{suite.base}{path}/move", json={"ministry_id": goal}, headers=headers) as answer:
                    raise NotYet(f"{answer.status} {await answer.text()}")

        await patiently(moved)

    async def followed() -> None:
        await asyncio.to_thread(suite.insist, "cost", "run")
        command = ("cost", "explain", ngozi["email"], "--reason", "preuve", "--format", "json")
        explained = json.loads(await asyncio.to_thread(suite.insist, *command))
        parts = {one["ministry_id"]: one for one in explained["parts"]}
        if goal not in parts:
            raise NotYet(f"billing has not heard of the move: {sorted(parts)}")
        assert set(parts) == {goal}, "she came this very day: nothing of it is left to her former ministry"
        assert parts[goal]["use"]["files.byte_seconds"] > 0 and parts[goal]["provisioned"] == 1

    await patiently(followed)


async def leave(suite: Running, people: dict[str, dict[str, str]]) -> None:
    """Out of every service, by whatever she came in; and each has said so."""
    asa, chief = people["asa"], people["administrator"]
    matrix = Matrix(suite, asa["email"], asa["app_password"])
    await matrix.sign_in()
    async with aiohttp.ClientSession() as session:
        client = Client(suite, session, chief["token"])
        path = f"/api/directory/v1/agents/{asa['id']}"

        async def left() -> None:
            seen = await client.ask("GET", path)
            if seen["state"] != "left":
                headers = {**client.headers, "If-Match": f'"{seen["revision"]}"'}
                async with session.patch(f"{suite.base}{path}", json={"state": "left"}, headers=headers) as answer:
                    raise NotYet(f"{answer.status} {await answer.text()}")

        await patiently(left)

        async def is_out() -> None:
            bearer = {"Authorization": f"Bearer {asa['token']}"}
            basic = base64.b64encode(f"{asa['email']}:{asa['app_password']}".encode()).decode()
            doors = [("GET", one, bearer) for one in TOKEN_DOORS] + [
                ("PROPFIND", f"/dav/principals/{asa['id']}/", {"Authorization": f"Basic {basic}"})
            ]
            doors.append(("GET", "/_matrix/client/v3/sync", {"Authorization": f"Bearer {matrix.client.access_token}"}))
            for method, door, headers in doors:
                async with session.request(method, f"{suite.base}{door}", headers=headers) as answer:
                    if answer.status != 401:
                        raise NotYet(f"{method} {door}: {answer.status} {await answer.text()}")

        await patiently(is_out)
        said = await matrix.client.login(asa["app_password"], device_name="autre")
        assert isinstance(said, nio.LoginError), said

        async def settled() -> None:
            seen = await client.ask("GET", f"{path}/departure")
            if seen["settled_at"] is None:
                raise NotYet(str(seen["missing"]))
            assert [one["service"] for one in seen["done"]] == ["billing", "calendar", "files", "messaging"]

        await patiently(settled)
    await matrix.close()


ENDS = {
    "versions": """SELECT a.given_name, i.name, v.number, v.size_bytes FROM files.version v JOIN files.item i ON i.id = v.item_id
        JOIN files.space s ON s.id = i.space_id JOIN files.roster_agent a ON a.id = s.owner_id WHERE a.email IN (:ngozi, :asa)""",
    "shares": """SELECT i.name, h.grantee_kind, h.role FROM files.share h JOIN files.item i ON i.id = h.item_id
        JOIN files.space s ON s.id = i.space_id JOIN files.roster_agent a ON a.id = s.owner_id WHERE a.email IN (:ngozi, :asa)""",
    "uploads": """SELECT a.given_name, u.name, u.state FROM files.upload u JOIN files.roster_agent a ON a.id = u.agent_id
        WHERE a.email IN (:ngozi, :asa)""",
    "teams": """SELECT t.name, a.given_name FROM files.roster_team t JOIN files.roster_team_member m ON m.team_id = t.id
        JOIN files.roster_agent a ON a.id = m.agent_id WHERE a.email IN (:ngozi, :asa)""",
    "spaces": """SELECT a.given_name, s.used_bytes, s.reserved_bytes FROM files.space s JOIN files.roster_agent a ON a.id = s.owner_id
        WHERE a.email IN (:ngozi, :asa)""",
}


async def the_end_is_the_same(suite: Running, people: dict[str, dict[str, str]], file_id: str) -> None:
    """Whatever the shape, and whatever was killed: what there is of the two and their file, without ids and times, and what was said."""

    async def end() -> dict[str, Any]:
        [files] = build_all(suite.platform, ["files"])
        emails = {name: people[name]["email"] for name in ("ngozi", "asa")}
        try:
            async with files.database.read() as conn:
                return {name: sorted(tuple(row) for row in await conn.execute(sa.text(query), emails)) for name, query in ENDS.items()}
        finally:
            await files.database.close()

    assert await patiently(end) == {
        "versions": [("Ngozi", "Relevés.bin", 1, SIZE_BYTES)],
        "shares": [("Relevés.bin", "team", "reader")],
        "uploads": [("Ngozi", "Relevés.bin", "committed")],
        "teams": [("Relevés", "Ngozi"), ("Relevés", "Åsa")],
        "spaces": [("Ngozi", SIZE_BYTES, 0), ("Åsa", 0, 0)],
    }
    said = [one for topic in ("file", "share") for one in await said_on_the_log(suite, f"parvis.files.{topic}")]
    mine = Counter(one["type"] for one in said if one["data"].get("file_id") == file_id)
    assert mine == {"files.file.stored.v1": 1, "files.share.granted.v1": 1}


async def whole_job(suite: Running) -> None:
    people = await come_aboard(suite)
    async with aiohttp.ClientSession() as session:
        for name in ("ngozi", "asa"):
            people[name]["app_password"] = await app_password(Client(suite, session, people[name]["token"]))
    file_id = await store_and_share(suite, people, SIZE_BYTES)
    await read_and_answer(suite, people["asa"], file_id)
    await meet(suite, people)
    await add_up(suite, people, SIZE_BYTES)
    operator = next(one["token"] for one in json.loads((suite.folder / "demo.json").read_text())["agents"] if "operator" in one["roles"])
    await move(suite, people, operator)
    await leave(suite, people)
    await rebuild(suite, *SERVICES)
    await the_end_is_the_same(suite, people, file_id)


@pytest.mark.soak
def test_the_whole_main_job_though_the_suite_is_killed_again_and_again(suite: Running, dav_python: str) -> None:
    suite.dav_python = dav_python
    print(f"seed {SEED}")
    with under_fire(suite, Random(SEED)):
        asyncio.run(whole_job(suite))
    assert suite.kills > 0, "otherwise this proves nothing"
    asyncio.run(patiently(lambda: ready(suite)))  # type: ignore[arg-type]


def test_the_whole_main_job_without_any_network_but_loopback(database_kind: str, dav_python: str) -> None:
    """The suite, its database and its clients in a network namespace of their own, with no route anywhere."""
    kind = "sqlite" if database_kind == "sqlite" else "postgresql"
    inner = f"{ALONE.relative_to(ROOT)}::test_the_whole_main_job[{kind}]"
    script = 'ip link set lo up && test -z "$(ip route)" && exec "$@"'
    command = ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", inner]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert said.returncode == 0 and "1 passed" in said.stdout, said.stdout[-5000:] + said.stderr[-2000:]
