"""The app passwords of the demonstration's agents, made by the door by which agents make theirs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from parvis_suite.demo_doors import AT_ONCE, ask, session_at

PASSWORDS = "/api/directory/v1/app-passwords"


@dataclass(frozen=True, slots=True)
class Holder:
    """An agent's token, and what is written down of their secrets."""

    token: str
    kept: dict[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An app password, and under which words it and its end are written down."""

    name: str
    scopes: list[str]
    word: str
    until_word: str


CLIENTS = Wanted("demo.json", ["dav:calendars", "dav:files", "directory:read"], "app_password", "until")
MESSAGES = Wanted("demo.json, messages", ["matrix"], "matrix_password", "matrix_until")


async def seed_passwords(base_url: str, holders: Sequence[Holder], wanted: Wanted, now: datetime, until: datetime) -> None:
    """For each who has none that counts; those of before that nobody knows any more are revoked first. Raises Unexpected."""
    room = asyncio.Semaphore(AT_ONCE)
    async with session_at(base_url) as session:

        async def make(one: Holder) -> None:
            async with room:
                await forget(session, one, wanted)
                body = {"name": wanted.name, "scopes": wanted.scopes, "expires_at": until.isoformat()}
                made = await ask(session, "POST", PASSWORDS, one.token, body, key=f"{wanted.word}-{now.timestamp()}")
            one.kept.update({wanted.word: made["app_password"], wanted.until_word: until.isoformat()})

        await asyncio.gather(*(make(one) for one in holders if one.kept.get(wanted.until_word, "") <= now.isoformat()))


async def forget(session: aiohttp.ClientSession, one: Holder, wanted: Wanted) -> None:
    for kept in await ask(session, "GET", PASSWORDS, one.token):
        if kept["name"] == wanted.name:
            await ask(session, "DELETE", f"{PASSWORDS}/{kept['id']}", one.token)
