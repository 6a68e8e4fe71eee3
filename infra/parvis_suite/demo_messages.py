"""What the demonstration's agents have said to each other; done twice, it is done once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from parvis_suite.demo_doors import AT_ONCE, LOOK_SECONDS, PATIENCE_SECONDS_MAX, Unexpected, ask, session_at

TEAMS = "/api/directory/v1/teams"
CLIENT = "/_matrix/client/v3"
DEVICE = "DEMO"
"""Always the same one: what it has sent by a transaction id is not sent again."""
SAID = (
    "Bonjour à tous, l'ordre du jour de lundi est dans l'espace partagé.",
    "Merci ! J'ai ajouté le budget prévisionnel, dites-moi si la colonne « Réalisé » vous convient.",
    "Parfait pour moi. On se retrouve en salle Marianne ?",
)
"""In each team's room, by its first members in turn."""


@dataclass(frozen=True, slots=True)
class Talker:
    """An agent, their token, and their app password for messages."""

    id: str
    ministry: str
    token: str
    password: str


async def seed_messages(base_url: str, talkers: Sequence[Talker]) -> dict[str, Mapping[str, str]]:
    """Agent → user id and password, once messaging has heard of them; and a few words in each team's room."""
    room = asyncio.Semaphore(AT_ONCE)
    async with session_at(base_url) as session:

        async def account(one: Talker) -> Mapping[str, str]:
            async with room:
                found = await patiently(session, "GET", "/api/messaging/v1/account", one.token, lambda said: bool(said["user_id"]))
            return {"user_id": found["user_id"], "password": one.password}

        found = await asyncio.gather(*map(account, talkers))
        accounts = {one.id: each for one, each in zip(talkers, found, strict=True)}
        first = {one.ministry: one for one in reversed(talkers)}
        await asyncio.gather(*(talk_in_teams(session, one.token, accounts) for one in first.values()))
        return accounts


async def talk_in_teams(session: aiohttp.ClientSession, token: str, accounts: Mapping[str, Mapping[str, str]]) -> None:
    """Of the ministry of whoever asks."""
    for one in (await ask(session, "GET", f"{TEAMS}?limit=100", token))["items"]:
        team = await ask(session, "GET", f"{TEAMS}/{one['id']}", token)
        await talk(session, team, [accounts[agent] for agent in team["members"] if agent in accounts][: len(SAID)])


async def talk(session: aiohttp.ClientSession, team: Any, members: Sequence[Mapping[str, str]]) -> None:
    """In the room of a team, each a sentence."""
    for number, (one, text) in enumerate(zip(members, SAID, strict=False)):
        credentials = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": one["user_id"]}}
        body = {**credentials, "password": one["password"], "device_id": DEVICE}
        token = (await patiently(session, "POST", f"{CLIENT}/login", "", lambda said: True, body))["access_token"]
        room_id = await team_room(session, token, team["id"])
        message = {"msgtype": "m.text", "body": text}
        await ask(session, "PUT", f"{CLIENT}/rooms/{room_id}/send/m.room.message/demo-{number}", token, message)
        await ask(session, "POST", f"{CLIENT}/logout", token, {})


async def team_room(session: aiohttp.ClientSession, token: str, team_id: str) -> str:
    """As soon as its member is in it. Raises Unexpected."""
    until = asyncio.get_running_loop().time() + PATIENCE_SECONDS_MAX
    while True:
        for room_id in (await ask(session, "GET", f"{CLIENT}/joined_rooms", token))["joined_rooms"]:
            state = await ask(session, "GET", f"{CLIENT}/rooms/{room_id}/state", token)
            if any(one["type"] == "fr.parvis.link" and one["content"].get("team_id") == team_id for one in state):
                return str(room_id)
        if asyncio.get_running_loop().time() > until:
            raise Unexpected(f"the team {team_id} has no room")
        await asyncio.sleep(LOOK_SECONDS)


async def patiently(session: aiohttp.ClientSession, method: str, path: str, token: str, enough: Any, body: Any = None) -> Any:
    """Messaging may not have heard of its agents yet, who came a moment ago. Raises Unexpected."""
    until = asyncio.get_running_loop().time() + PATIENCE_SECONDS_MAX
    while True:
        try:
            said = await ask(session, method, path, token, body)
            if enough(said):
                return said
        except Unexpected:
            if asyncio.get_running_loop().time() > until:
                raise
        if asyncio.get_running_loop().time() > until:
            raise Unexpected(f"{method} {path}: it does not come")
        await asyncio.sleep(LOOK_SECONDS)
