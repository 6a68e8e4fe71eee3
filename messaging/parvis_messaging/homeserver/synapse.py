"""A Synapse of the suite, as the bridge asks it: the client-server API as an application service, and its admin API for accounts."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from parvis_messaging.homeserver.port import Failed, RoomWanted
from parvis_messaging.homeserver.registration import ID, Registration
from parvis_messaging.rules import BOT, LINK
from parvis_messaging.rules.matrix import ROOM_VERSION

CLIENT, ADMIN, STANDING = "/_matrix/client/v3", "/_synapse/admin", "/_synapse/client/parvis"
DEVICE = "PARVIS"
"""The device that the bot sends from: without one, Synapse forgets after a restart what was sent under a transaction id."""
ANSWER_SECONDS_MAX = 20.0
"""Below the lease of a lane, so that nobody else begins while an answer is waited for."""
CONNECTIONS_MAX = 16
"""Eight lanes, those who sign in, and the rooms that are read back."""
ANSWER_BYTES_MAX = 16 * 2**20
"""A page of a hundred events of 64 KiB, and what is said around them."""
PAGE_EVENTS = 100
ROOMS_OF_ACCOUNT_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Heard:
    """A page of a room, the newest first."""

    events: Sequence[Mapping[str, Any]]
    end: str | None
    """Where the next page begins; None at the beginning of the room."""


class Synapse:
    """A `Homeserver`. Every method raises Failed."""

    def __init__(self, url: str, server: str, registration: Registration) -> None:
        self.url, self.server, self.registration = url.rstrip("/"), server, registration
        self.bot = f"@{registration.bot}:{server}"
        self._session: aiohttp.ClientSession | None = None
        self.is_settled = False
        """Whether the bot and its device are there."""
        self._settling = asyncio.Lock()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """What it answers, as JSON. Whatever keeps an answer from coming is a failure that may pass."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX, sock_connect=5.0)
            connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
            headers = {"Authorization": f"Bearer {self.registration.as_token}"}
            self._session = aiohttp.ClientSession(timeout=timeout, connector=connector, headers=headers)
        sent = {} if body is None and method in ("POST", "PUT") else body
        try:
            async with self._session.request(method, self.url + path, json=sent, params=query, allow_redirects=False) as answer:
                status, headers_said = answer.status, answer.headers
                said = await read_json(answer)
        except (aiohttp.ClientError, TimeoutError, ConnectionError, ValueError) as error:
            raise Failed(503, "FR_PARVIS_AWAY", type(error).__name__) from None
        if status == 200 or status == 201:
            return said
        raise failed_of(status, said, headers_said.get("Retry-After", ""))

    async def settle_bot(self) -> str:
        """The bot is there, with its device and the rights to keep accounts. Which run of Synapse it is."""
        standing = await self.ask("GET", STANDING)
        if not standing.get("bot"):
            body = {"type": "m.login.application_service", "username": self.registration.bot, "inhibit_login": True}
            await self.unless("M_USER_IN_USE", "POST", f"{CLIENT}/register", body)
            standing = await self.ask("GET", STANDING)
        async with self._settling:  # every lane comes here after a restart
            if not self.is_settled:
                await self.ask("PUT", f"{CLIENT}/devices/{DEVICE}", {"display_name": "Parvis"}, {"user_id": self.bot})
                await self.name_bot()
                self.is_settled = True
        return str(standing["instance"])

    async def name_bot(self) -> None:
        """
        Only when it is not called so: Synapse keeps a task for each naming, and one that is killed with two of them for one account
        refuses every further naming of it by a 500 for a minute (1.163, `_update_join_states`).
        """
        path, wanted = f"{CLIENT}/profile/{quote(self.bot)}/displayname", {"displayname": BOT.capitalize()}
        if await self.unless("M_NOT_FOUND", "GET", path) != wanted:
            await self.ask("PUT", path, wanted, {"user_id": self.bot})

    async def unless(self, errcode: str, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """None when it refuses by this errcode: what is asked for is so already."""
        try:
            return await self.ask(method, path, body, query)
        except Failed as failed:
            if failed.errcode != errcode:
                raise
            return None

    async def ping(self) -> None:
        """It reaches us, and what it had put off sending us it sends at once."""
        await self.ask("POST", f"/_matrix/client/v1/appservice/{ID}/ping", {"transaction_id": str(time.time_ns())})

    async def keep_account(self, user_id: str, display_name: str) -> None:
        if not self.is_settled:
            await self.settle_bot()
        path, body = f"{ADMIN}/v2/users/{quote(user_id)}", {"displayname": display_name, "deactivated": False}
        try:
            known = await self.unless("M_NOT_FOUND", "GET", path)
            if known is None or any(known.get(name) != value for name, value in body.items()):
                await self.unless("M_USER_IN_USE", "PUT", path, body)
        except Failed as failed:
            if failed.status == 403:  # it was restored to before the bot had its rights
                self.is_settled = False
                raise Failed(503, failed.errcode, "the bot is no administrator yet") from None
            raise

    async def close_account(self, user_id: str) -> int:
        """It leaves the rooms by itself, a moment later."""
        if not self.is_settled:
            await self.settle_bot()
        known = await self.unless("M_NOT_FOUND", "GET", f"{ADMIN}/v1/users/{quote(user_id)}/joined_rooms")
        if known is None:
            return 0
        await self.ask("POST", f"{ADMIN}/v1/deactivate/{quote(user_id)}", {"erase": False})
        return int(known["total"])

    async def end_session(self, user_id: str, device_id: str) -> None:
        await self.unless("M_NOT_FOUND", "DELETE", f"{ADMIN}/v2/users/{quote(user_id)}/devices/{quote(device_id, safe='')}")

    async def sessions_of(self, user_id: str) -> list[str]:
        """The devices that somebody is signed in on."""
        known = await self.unless("M_NOT_FOUND", "GET", f"{ADMIN}/v2/users/{quote(user_id)}/devices")
        return [one["device_id"] for one in known["devices"]] if known is not None else []

    async def ensure_room(self, wanted: RoomWanted) -> str:
        if not self.is_settled:
            await self.settle_bot()
        if (found := await self.room_of(wanted.alias)) is not None:
            return found
        body = {
            "name": wanted.name,
            "room_alias_name": wanted.alias,
            "preset": "private_chat",
            "room_version": ROOM_VERSION,
            "is_direct": wanted.is_direct,
            "initial_state": [{"type": LINK, "state_key": "", "content": dict(wanted.link)}],
            # Parvis is an end of what is said to it: encrypted, it could neither speak nor hear here.
            "power_level_content_override": {"events": {"m.room.encryption": 101, "m.room.power_levels": 100, "m.room.tombstone": 100}},
        }
        made = await self.unless("M_ROOM_IN_USE", "POST", f"{CLIENT}/createRoom", body)
        found = str(made["room_id"]) if made is not None else await self.room_of(wanted.alias)
        if found is None:
            raise Failed(503, "M_NOT_FOUND", "the alias is taken, and leads nowhere")
        return found

    async def room_of(self, alias: str) -> str | None:
        """Which room is under this alias."""
        known = await self.unless("M_NOT_FOUND", "GET", f"{CLIENT}/directory/room/{quote(f'#{alias}:{self.server}', safe='')}")
        return str(known["room_id"]) if known is not None else None

    async def rename(self, room_id: str, name: str) -> None:
        known = await self.unless("M_NOT_FOUND", "GET", f"{room_path(room_id)}/state/m.room.name")
        if known is None or known.get("name") != name:
            await self.ask("PUT", f"{room_path(room_id)}/state/m.room.name", {"name": name})

    async def bring_in(self, room_id: str, user_id: str) -> None:
        if await self.membership(room_id, user_id) != "join":
            await self.ask("POST", f"{ADMIN}/v1/join/{quote(room_id, safe='')}", {"user_id": user_id})

    async def put_out(self, room_id: str, user_id: str) -> None:
        if await self.membership(room_id, user_id) in ("join", "invite"):
            await self.ask("POST", f"{room_path(room_id)}/kick", {"user_id": user_id})

    async def membership(self, room_id: str, user_id: str) -> str | None:
        known = await self.unless("M_NOT_FOUND", "GET", f"{room_path(room_id)}/state/m.room.member/{quote(user_id, safe='')}")
        return known["membership"] if known is not None else None

    async def send(self, room_id: str, kind: str, content: Mapping[str, Any], txn_id: str) -> str:
        """From the bot's device: by it, Synapse knows a transaction id again."""
        if not self.is_settled:
            await self.settle_bot()
        path, own = f"{room_path(room_id)}/send/{quote(kind, safe='')}/{txn_id}", {"user_id": self.bot, "device_id": DEVICE}
        try:
            said = await self.ask("PUT", path, dict(content), own)
        except Failed as failed:
            if failed.errcode != "M_UNKNOWN_DEVICE" and "UNKNOWN_DEVICE" not in failed.errcode:
                raise
            self.is_settled = False  # it was restored to before the device was there
            await self.settle_bot()
            said = await self.ask("PUT", path, dict(content), own)
        return str(said["event_id"])

    async def has_event(self, room_id: str, event_id: str) -> bool:
        return await self.unless("M_NOT_FOUND", "GET", f"{room_path(room_id)}/event/{quote(event_id, safe='')}") is not None

    async def read_back(self, room_id: str, start: str | None) -> Heard:
        """From there, or from now, towards the beginning."""
        query = {"dir": "b", "limit": str(PAGE_EVENTS), **({"from": start} if start else {})}
        page = await self.ask("GET", f"{room_path(room_id)}/messages", query=query)
        return Heard(page["chunk"], page.get("end"))


def room_path(room_id: str) -> str:
    return f"{CLIENT}/rooms/{quote(room_id, safe='')}"


async def read_json(answer: aiohttp.ClientResponse) -> Any:
    """Raises ValueError for what is no JSON, or too long."""
    if (answer.content_length or 0) > ANSWER_BYTES_MAX:
        raise ValueError("too long")
    try:
        return await answer.json(content_type=None)
    except ValueError:
        if answer.status < 400:
            raise
        return {}  # a proxy's page


def failed_of(status: int, said: Any, retry_after: str) -> Failed:
    body = said if isinstance(said, dict) else {}
    wait = body.get("retry_after_ms")
    if not isinstance(wait, int) and retry_after.isdecimal():
        wait = int(retry_after) * 1000
    errcode = body.get("errcode")
    wait_ms = wait if isinstance(wait, int) and status in (429, 503) else None
    return Failed(status, errcode if isinstance(errcode, str) else "M_UNKNOWN", str(body.get("error", ""))[:200], wait_ms)


async def gather_in(limit: int, *work: Any) -> None:
    """All of it, so many at once."""
    room = asyncio.Semaphore(limit)

    async def one(each: Any) -> None:
        async with room:
            await each

    await asyncio.gather(*map(one, work))
