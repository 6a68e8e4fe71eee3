"""How the demonstration asks at the suite's doors: as any client, which asks again when a service says that it is busy."""

import asyncio
from typing import Any

import aiohttp

AT_ONCE = 8
ANSWER_SECONDS_MAX = 30.0
PATIENCE_SECONDS_MAX = 120.0
"""Until services have heard who everybody is, and have a moment."""
LOOK_SECONDS = 0.1


class Unexpected(Exception):
    """A door answered otherwise than it should; the message says which, and how."""


async def answered(session: aiohttp.ClientSession, method: str, url: str, *, good: tuple[int, ...] = (), **how: Any) -> Any:
    """The JSON of an answer below 300 or in `good`, None of an empty one. Raises Unexpected."""
    until = asyncio.get_running_loop().time() + PATIENCE_SECONDS_MAX
    while True:
        async with session.request(method, url, **how) as answer:
            text = await answer.text()
            if answer.status < 300 or answer.status in good:
                return await answer.json() if answer.content_type == "application/json" and text else None
            if answer.status != 503 or asyncio.get_running_loop().time() > until:
                raise Unexpected(f"{method} {url}: {answer.status} {text[:300]}")
        await asyncio.sleep(LOOK_SECONDS)


def session_at(base_url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(base_url, timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX))


async def ask(session: aiohttp.ClientSession, method: str, path: str, token: str, body: Any = None, key: str = "") -> Any:
    """The JSON of its answer. Raises Unexpected."""
    headers = ({"Authorization": f"Bearer {token}"} if token else {}) | ({"Idempotency-Key": key} if key else {})
    return await answered(session, method, path, json=body, headers=headers)
