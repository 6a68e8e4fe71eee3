"""What the demonstration's agents have stored and shared, sent through the public doors; done twice, it is done once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import aiohttp
from yarl import URL

from parvis_suite.demo_documents import Document, document
from parvis_suite.demo_doors import ANSWER_SECONDS_MAX, AT_ONCE, LOOK_SECONDS, PATIENCE_SECONDS_MAX, Unexpected, answered

MEMBERS_OF_A_TEAM = 5
DOCUMENTS_OF_AN_AGENT, DOCUMENTS_OF_A_TEAM = 2, 4
TEAM = "Projet Parvis"


@dataclass(frozen=True, slots=True)
class Agent:
    id: str
    ministry: str
    token: str
    is_guest: bool
    is_administrator: bool


class Doors:
    """The suite as a client sees it."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url, self.session = base_url, session

    async def ask(self, by: Agent, method: str, path: str, body: Mapping[str, Any] | None = None, key: str = "") -> Any:
        """The JSON of its answer. `key` makes one of two that are asked alike. Raises Unexpected."""
        headers = {"Authorization": f"Bearer {by.token}"} | ({"Idempotency-Key": key} if key else {})
        return await answered(self.session, method, f"{self.base_url}{path}", json=body, headers=headers)

    async def store(self, by: Agent, folder_id: str, one: Document, key: str) -> str:
        """The id of the file."""
        declared = {
            "name": one.name,
            "size_bytes": len(one.content),
            "sha256": sha256(one.content).hexdigest(),
            "media_type": one.media_type,
        }
        upload = await self.ask(by, "POST", f"/api/files/v1/folders/{folder_id}/uploads", declared, key)
        if upload["state"] != "committed":
            put = upload["put"]
            url = URL(put["url"], encoded=True)
            async with self.session.request(put["method"], url, data=one.content, headers=put["headers"]) as answer:
                if answer.status not in (200, 412):
                    raise Unexpected(f"the store: {answer.status} {(await answer.text())[:300]}")
            upload = await self.ask(by, "POST", f"/api/files/v1/uploads/{upload['id']}/complete", {})
        return str(upload["file_id"])


async def seed_files(base_url: str, agents: Sequence[Agent]) -> dict[str, str]:
    """Agent → personal space. The second time there is nothing to send."""
    limits = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with aiohttp.ClientSession(timeout=limits, connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
        doors = Doors(base_url, session)
        spaces = {one.id: await personal_space(doors, one) for one in agents[:1]}
        rest = await asyncio.gather(*(personal_space(doors, one) for one in agents[1:]))
        spaces |= dict(zip((one.id for one in agents[1:]), rest, strict=True))
        room = asyncio.Semaphore(AT_ONCE)

        async def fill(number: int, one: Agent) -> list[str]:
            async with room:
                first = number * DOCUMENTS_OF_AN_AGENT
                return await fill_space(doors, one, spaces[one.id], range(first, first + DOCUMENTS_OF_AN_AGENT))

        stored = await asyncio.gather(*(fill(number, one) for number, one in enumerate(agents)))
        ministries = dict.fromkeys(one.ministry for one in agents)
        for number, ministry in enumerate(ministries):
            members = [(one, files) for one, files in zip(agents, stored, strict=True) if one.ministry == ministry]
            await share(doors, number, members)
        return {agent_id: space["id"] for agent_id, space in spaces.items()}


async def personal_space(doors: Doors, one: Agent) -> Any:
    """Files may not have heard of its agents yet, who came a moment ago. Raises Unexpected."""
    until = asyncio.get_running_loop().time() + PATIENCE_SECONDS_MAX
    while True:
        try:
            return await doors.ask(one, "GET", "/api/files/v1/spaces/personal")
        except Unexpected:
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(LOOK_SECONDS)


async def fill_space(doors: Doors, one: Agent, space: Any, numbers: Sequence[int]) -> list[str]:
    """The files in its root, the oldest first: these documents, where there was none."""
    page = await doors.ask(one, "GET", f"/api/files/v1/folders/{space['root_id']}/items?limit=100")
    there = sorted(item["id"] for item in page["items"] if item["kind"] == "file")
    return there or [await doors.store(one, space["root_id"], document(number), f"demo-{space['id']}-{number}") for number in numbers]


async def share(doors: Doors, number: int, members: Sequence[tuple[Agent, list[str]]]) -> None:
    """A team of the ministry with a space of its own, and a file that one colleague shows to another."""
    people = [one for one, _ in members if not one.is_guest]
    chief = next(one for one in people if one.is_administrator)
    teams = (await doors.ask(chief, "GET", "/api/directory/v1/teams?limit=100"))["items"]
    new = {"name": TEAM, "members": [one.id for one in people[:MEMBERS_OF_A_TEAM]]}
    team = next((one for one in teams if one["name"] == TEAM), None)
    team = team or await doors.ask(chief, "POST", "/api/directory/v1/teams", new, f"demo-team-{number}")
    spaces = (await doors.ask(chief, "GET", "/api/files/v1/spaces?limit=100"))["items"]
    space = next((one for one in spaces if one["name"] == TEAM), None) or await shared_space(
        doors, chief, team["id"], f"demo-space-{number}"
    )
    await fill_space(doors, chief, space, [100 + number * DOCUMENTS_OF_A_TEAM + index for index in range(DOCUMENTS_OF_A_TEAM)])
    (giver, files), (taker, _) = [pair for pair in members if not pair[0].is_guest][:2]
    shares = f"/api/files/v1/items/{files[0]}/shares"
    if not await doors.ask(giver, "GET", shares):
        await doors.ask(giver, "POST", shares, {"grantee_kind": "agent", "grantee_id": taker.id, "role": "reader"}, f"demo-share-{number}")


async def shared_space(doors: Doors, chief: Agent, team_id: str, key: str) -> Any:
    """As soon as files has heard of the team. Raises Unexpected."""
    until = asyncio.get_running_loop().time() + PATIENCE_SECONDS_MAX
    while True:
        try:
            return await doors.ask(chief, "POST", "/api/files/v1/spaces", {"name": TEAM, "team_id": team_id}, key)
        except Unexpected:
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(LOOK_SECONDS)
