"""Waiting for a condition instead of for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 0.01
WAIT_SECONDS_MAX = 60.0
"""Only a failure takes it; a machine that is shared by many may need a good part of it."""


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = WAIT_SECONDS_MAX) -> None:
    """Look again and again until the condition holds. Raises AssertionError, naming what never came: the deadline is a verdict."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain until {what}")
        await asyncio.sleep(LOOK_SECONDS)
