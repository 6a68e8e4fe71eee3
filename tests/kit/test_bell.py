"""Who waits for news hears what came while it was looking, and is not woken by what it does not look at."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from parvis_kit.events.bell import Bell, log_of, nap_until_rung, outbox_of
from parvis_kit.events.relay import relay
from pytest import MonkeyPatch

NEVER_SECONDS = 3600.0
PATIENCE_SECONDS = 20.0


async def test_a_relay_carries_what_was_published_while_it_found_nothing(monkeypatch: MonkeyPatch) -> None:
    """Seen without: the fact waited half a second for the next look."""
    monkeypatch.setattr("parvis_kit.events.bell.IDLE_LOOK_SECONDS", NEVER_SECONDS)
    bell = Bell()
    outbox: list[str] = []
    carried: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Carrier:
        async def lead(self) -> bool:
            return True

        async def carry(self) -> int:
            if carried.done():
                return 0
            if not outbox:  # it has read the outbox, and is not back yet
                outbox.append("a fact")
                bell.ring(outbox_of("files"))
                return 0
            carried.set_result(None)
            return 1

    @asynccontextmanager
    async def opened() -> AsyncIterator[Carrier]:
        yield Carrier()

    relaying = asyncio.create_task(relay(opened, nap_until_rung(bell, "files")))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await carried
    relaying.cancel()
    with suppress(asyncio.CancelledError):
        await relaying


async def test_only_what_one_looks_at_wakes() -> None:
    bell = Bell()
    names = {log_of("files"), log_of("directory")}
    waiting = asyncio.create_task(bell.wait(names, bell.heard(names), NEVER_SECONDS))
    await asyncio.sleep(0)
    for name in (outbox_of("files"), log_of("calendar")):
        bell.ring(name)
    await asyncio.sleep(0)
    assert not waiting.done()
    bell.ring(log_of("directory"))
    await waiting


async def test_a_ring_between_the_look_and_the_wait_is_heard() -> None:
    bell = Bell()
    names = {log_of("files")}
    heard = bell.heard(names)
    bell.ring(log_of("files"))
    await bell.wait(names, heard, NEVER_SECONDS)
