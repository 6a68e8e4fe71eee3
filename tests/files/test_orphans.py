"""Bytes and rows compared: what nothing refers to goes after its grace, what is needed stays, what is missing is told."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from parvis_files import actions
from parvis_files.blobs import Away, new_key
from parvis_files.blobs.folder import FolderStore
from parvis_files.rules.quotas import Limits
from parvis_files.store import versions
from parvis_files.sweeps import HELD, MISSING, ORPHANS, QUOTA, STATES, collect, gauge
from parvis_kit.background import Background, sweeps_of
from parvis_kit.problems import Unavailable
from parvis_kit.testing.waiting import until

from .conftest import Office

GRACE = timedelta(days=1)
YEARS = 20
"""The store has a clock of its own, on which a test cannot turn the hands."""


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def keys(office: Office) -> int:
    return len([one async for one in office.blobs.keys()])


async def sweep(office: Office) -> tuple[float, float]:
    """(orphans, missing) as the gauges say them afterwards."""
    await collect(office.files.database, office.blobs, office.clock, GRACE)
    return ORPHANS.labels("folder")._value.get(), MISSING.labels("folder")._value.get()


async def test_what_nothing_refers_to_is_marked_then_deleted_each_after_its_grace(office: Office) -> None:
    kept = await office.store(office.root("ada"), "kept.txt", b"kept", by="ada")
    await office.blobs.write(new_key(), once(b"lost"))
    assert await sweep(office) == (0, 0) and await keys(office) == 2, "it may still be on its way to its row"
    office.later(days=365 * YEARS)
    assert await sweep(office) == (1, 0) and await keys(office) == 2
    office.later(hours=23)
    assert await sweep(office) == (1, 0) and await keys(office) == 2
    office.later(hours=2)
    assert await sweep(office) == (0, 0) and await keys(office) == 1
    async with office.files.database.read() as conn:
        found = await versions.find_version(conn, UUID(kept["file_id"]), UUID(kept["version_id"]))
    assert found is not None and await office.blobs.look(found[1]) is not None


async def test_what_was_purged_given_up_or_rejected_leaves_no_bytes(office: Office) -> None:
    root = office.root("ada")
    purged = await office.store(root, "purged.txt", b"purged", by="ada")
    await office.call("DELETE", f"items/{purged['file_id']}", by="ada")
    await office.call("POST", f"items/{purged['file_id']}/purge", by="ada")
    _, upload, _ = await office.declare(root, "given up.txt", b"given up", by="ada")
    await office.send(upload["put"], b"given up")
    await office.call("DELETE", f"uploads/{upload['id']}", by="ada")
    assert await keys(office) == 2
    office.later(days=1, seconds=1)
    assert await sweep(office) == (0, 0) and await keys(office) == 0


async def test_what_is_on_its_way_is_nobody_s_orphan(office: Office) -> None:
    _, upload, _ = await office.declare(office.root("ada"), "slow.txt", b"slow", by="ada")
    await office.send(upload["put"], b"slow")
    office.later(days=365 * YEARS)
    assert await sweep(office) == (0, 0)
    office.later(days=2)
    assert await sweep(office) == (0, 0)
    await office.drive()
    assert await office.names(office.root("ada"), by="ada") == ["slow.txt"]


async def test_bytes_that_are_missing_are_told_and_their_rows_stay(office: Office) -> None:
    for number in range(3):
        await office.store(office.root("ada"), f"{number}.txt", b"1", by="ada")
    lost = [one.key async for one in office.blobs.keys()][1]
    await office.blobs.delete(lost)
    assert (await sweep(office))[1] == 1 and len(await office.names(office.root("ada"), by="ada")) == 3


async def test_a_process_that_begins_looks_at_once_and_says_nothing_before(office: Office) -> None:
    done = await office.store(office.root("ada"), "a.txt", b"1", by="ada")
    await office.blobs.delete([one.key async for one in office.blobs.keys()][0])
    for one in (ORPHANS, MISSING):
        one.clear()
    assert not [sample for one in (ORPHANS, MISSING) for family in one.collect() for sample in family.samples]

    async def told() -> bool:
        return [sample.value for sample in MISSING.collect()[0].samples] == [1]

    work = Background()
    work.start({"files.orphans": sweeps_of(office.files)["files.orphans"]})
    try:
        await until(told, "the first pass has told what is missing")
    finally:
        await work.stop()
    assert done["state"] == "committed" and [sample.value for sample in ORPHANS.collect()[0].samples] == [0]


async def test_a_store_that_fails_is_told_in_one_line(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """At three in the morning: what is away, and no stack of calls."""
    assert isinstance(office.blobs, FolderStore)
    office.blobs.waiting.rename(office.blobs.waiting.with_suffix(".gone"))
    office.blobs.waiting.write_text("no folder")

    async def told() -> bool:
        return bool(caplog.records)

    work = Background()
    work.start({"files.orphans": sweeps_of(office.files)["files.orphans"]})
    try:
        await until(told, "it is told")
    finally:
        await work.stop()
    line = caplog.records[0]
    assert (line.levelname, line.exc_info) == ("WARNING", None)
    assert line.getMessage() == "files.orphans is tried again: the folder of the blobs fails: Not a directory"


def stubborn(office: Office, patch: pytest.MonkeyPatch, those: set[str]) -> list[str]:
    """The store fails at these keys; which ones it was asked to delete."""
    asked, delete = list[str](), office.blobs.delete

    async def but(key: str) -> None:
        asked.append(key)
        if key in those:
            raise Away(f"{key}: 500")
        await delete(key)

    patch.setattr(office.blobs, "delete", but)
    return asked


async def test_one_object_that_the_store_fails_at_keeps_no_other_waiting(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = sorted(new_key() for _ in range(4))
    for key in lost:
        await office.blobs.write(key, once(b"lost"))
    office.later(days=365 * YEARS)
    await sweep(office)
    asked = stubborn(office, monkeypatch, {lost[0]})
    office.later(days=1, seconds=1)
    assert await sweep(office) == (1, 0) and await keys(office) == 1
    assert await sweep(office) == (1, 0) and asked.count(lost[0]) == 1, "it is asked again after another grace, and not all the time"
    office.later(days=1, seconds=1)
    await sweep(office)
    assert asked.count(lost[0]) == 2


async def test_of_a_store_that_fails_at_several_no_more_is_asked(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {new_key() for _ in range(9)}
    for key in lost:
        await office.blobs.write(key, once(b"lost"))
    office.later(days=365 * YEARS)
    await sweep(office)
    asked = stubborn(office, monkeypatch, lost)
    office.later(days=1, seconds=1)
    for times in (3, 6, 9):
        with pytest.raises(Unavailable):
            await sweep(office)
        assert len(set(asked)) == len(asked) == times, "others each time"


async def test_parts_that_no_upload_knows_are_thrown_away(office: Office) -> None:
    await office.blobs.begin_multipart(new_key())
    body = {"name": "film.mp4", "size_bytes": 17 * 2**20}
    await office.post(f"folders/{office.root('ada')}/uploads", body, by="ada")
    office.later(days=365 * YEARS)
    await sweep(office)
    assert len([one async for one in office.blobs.multiparts()]) == 1


async def test_the_gauges_say_what_is_going_on(office: Office) -> None:
    await office.declare(office.root("ada"), "slow.txt", b"slow", by="ada")
    await gauge(office.files.database, Limits(1, 2, 3))
    assert (STATES.labels("uploading")._value.get(), STATES.labels("scanning")._value.get()) == (1, 0)
    [ministry] = {one.labels["ministry"] for one in HELD.collect()[0].samples if one.value}
    assert (HELD.labels(ministry)._value.get(), QUOTA.labels(ministry)._value.get()) == (len(b"slow"), 3)


async def test_receipts_are_forgotten_after_a_month_and_files_are_not(office: Office) -> None:
    await office.store(office.root("ada"), "a.txt", b"1", by="ada")
    office.later(days=31)
    await actions.forget_receipts(office.files.database, office.clock)
    assert (await office.get("uploads", by="ada"))["items"] == [] and await office.names(office.root("ada"), by="ada") == ["a.txt"]
