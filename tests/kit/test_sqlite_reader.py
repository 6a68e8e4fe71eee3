"""The reader of another service's file, at the moment when nobody waits for it any more."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from parvis_kit.events import sql_readers
from parvis_kit.events.sql_readers import Part, SqliteReader


class Slow:
    """A connection whose query takes as long as the test wants; closed during it, SQLite would crash the process."""

    def __init__(self) -> None:
        self.asked, self.may_end = threading.Event(), threading.Event()
        self.told: list[str] = []

    def execute(self, query: str, parameters: tuple[Any, ...]) -> "Slow":
        self.asked.set()
        self.may_end.wait(30)
        self.told.append("read")
        return self

    def fetchall(self) -> list[Any]:
        return [(0, 0, None)]

    def close(self) -> None:
        self.told.append("closed")


async def test_a_cancelled_read_is_waited_for_before_its_connection_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, slow = tmp_path / "log.db", Slow()
    file.write_bytes(b"")
    monkeypatch.setattr(sql_readers, "open_read_only", lambda path: slow)
    reader = SqliteReader("lantern", file)
    reading = asyncio.create_task(reader.read(Part("lantern", "lantern", ["parvis.lantern.wick"], True), 0, 1))
    await asyncio.to_thread(slow.asked.wait, 30)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    closing = asyncio.create_task(reader.close())
    await asyncio.sleep(0)
    slow.may_end.set()
    await closing
    assert slow.told == ["read", "closed"]
