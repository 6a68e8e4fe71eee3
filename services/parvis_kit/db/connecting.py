"""How a service's connections to PostgreSQL are opened: with the password that its file holds then, so that it can be changed meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from parvis_kit.password_files import without_password_file

Connection = Any
"""asyncpg's, which has no types."""
LOOKS_MAX = 3
"""While one password was tried, the role may have been given another."""
GOOD_MAX = 2
"""Passwords that were let in lately: the one before may be noted after its successor, by a connection that took longer."""
accepted: dict[str, tuple[str, ...]] = {}
"""By file, the newest first: a new password lies in the file before the role has it."""


async def connect(url: str, **options: Any) -> Connection:
    """As `asyncpg.connect`."""
    url, file = without_password_file(url)
    return await opener(file)(url, **options)


def opener(file: str) -> Callable[..., Awaitable[Connection]]:
    """What opens connections in the place of `asyncpg.connect`, with the password that lies in this file then."""
    return partial(_open, file) if file else asyncpg.connect


async def _open(file: str, *place: Any, **options: Any) -> Connection:
    """Raises asyncpg.InvalidPasswordError when neither what the file holds nor the last password that was good is."""
    for _ in range(LOOKS_MAX):
        for password in dict.fromkeys((await _held(file), *accepted.get(file, ()))):
            if password:
                with suppress(asyncpg.InvalidPasswordError):
                    return await _with(file, password, *place, **options)
    return await _with(file, await _held(file), *place, **options)


async def _with(file: str, password: str, *place: Any, **options: Any) -> Connection:
    made = await asyncpg.connect(*place, **options | {"password": password})
    if password not in accepted.get(file, ())[:1]:
        accepted[file] = (password, *accepted.get(file, ()))[:GOOD_MAX]
    return made


async def _held(file: str) -> str:
    """Empty where it cannot be read: it is being replaced."""
    try:
        return (await asyncio.to_thread(Path(file).read_text, encoding="ascii")).strip()
    except (OSError, UnicodeError):
        return ""
