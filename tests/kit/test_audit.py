"""The audit's chains: what was written down cannot be changed, removed or put in unseen; what is erased is forgotten, and said."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from parvis_kit.audit import audit_tables, consult, record
from parvis_kit.audit.anchors import Anchor, CannotAnchor, NoAnchor, anchor, read
from parvis_kit.audit.chain import START, chain, chain_all, erase, link, personal_digest, positions_in, ranges_of
from parvis_kit.audit.rows import PERSONAL, tables_of
from parvis_kit.audit.verify import Broken, Verdict, chains_of, verify, waiting
from parvis_kit.db import Database, metadata_for
from parvis_kit.testing.databases import Place

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
NORTH, SOUTH = UUID(int=1), UUID(int=2)
ADA, BOB = UUID(int=10), UUID(int=11)
METADATA = metadata_for("house")
audit_tables(METADATA)
ROW, HEAD = METADATA.tables["house.audit"], METADATA.tables["house.audit_head"]
HOUR = timedelta(hours=1)


@pytest.fixture
async def house(place: Place) -> AsyncIterator[Database]:
    yield await place.open("house", METADATA)


async def write(house: Database, number: int, *, ministry: UUID | None = NORTH, who: UUID = ADA, first: int = 0) -> None:
    async with house.transaction() as tx:
        for one in range(first, first + number):
            at = AT + timedelta(seconds=one, microseconds=one)
            await record(
                tx, who=who, what="door.open", on=f"door {one}", ministry=ministry, at=at, where=f"192.0.2.{one}", why=f"visit {one}"
            )


async def rows(house: Database, ministry: UUID | None = NORTH) -> Sequence[Any]:
    async with house.read() as conn:
        mine = sa.select(ROW).where(ROW.c.ministry == ("" if ministry is None else str(ministry)))
        return (await conn.execute(mine.order_by(ROW.c.position))).all()


async def run(house: Database, *statements: Any) -> None:
    async with house.transaction() as tx:
        for one in statements:
            await tx.execute(one)


async def look(house: Database, ministry: UUID | None = NORTH, anchors: Sequence[Anchor] = ()) -> Verdict:
    return await verify(house, "" if ministry is None else str(ministry), anchors)


def hashed(before: bytes, row: Any, personal: bytes) -> bytes:
    return link(before, "house", str(NORTH), row.position, row.seq, row.at, row.what, row.decision, row.request_id, personal)


async def test_each_ministry_has_a_chain_of_its_own_and_the_suite_too(house: Database) -> None:
    for ministry, number in ((NORTH, 3), (None, 1), (SOUTH, 2), (NORTH, 2)):
        await write(house, number, ministry=ministry)
    assert await waiting(house) == 8
    assert await chain_all(house) == 8
    for ministry, number in ((NORTH, 5), (SOUTH, 2), (None, 1)):
        assert [row.position for row in await rows(house, ministry)] == list(range(1, number + 1))
        found = await look(house, ministry)
        assert (found.rows, found.broken) == (number, None)
    assert await chains_of(house) == ["", str(NORTH), str(SOUTH)]


async def test_a_hash_is_of_the_hash_before_and_of_the_row(house: Database) -> None:
    await write(house, 2)
    await chain_all(house)
    first, second = await rows(house)
    for before, row in ((START, first), (first.hash, second)):
        personal = personal_digest(row.salt, [getattr(row, name) for name in PERSONAL])
        assert row.hash == hashed(before, row, personal)
    assert first.salt != second.salt and len(first.salt) == 16


async def test_an_act_that_is_undone_leaves_no_hole(house: Database) -> None:
    await write(house, 1)
    with pytest.raises(RuntimeError):
        async with house.transaction() as tx:
            await record(tx, who=ADA, what="door.break", on="door", ministry=NORTH, at=AT)
            raise RuntimeError
    await write(house, 1)
    await chain_all(house)
    assert [row.position for row in await rows(house)] == [1, 2]
    assert (await look(house)).broken is None


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
async def test_an_act_that_ends_late_comes_later_in_the_chain(house: Database) -> None:
    async with house.transaction() as tx:
        await record(tx, who=ADA, what="door.late", on="door", ministry=NORTH, at=AT, last=False)
        await write(house, 2)
        assert await chain_all(house) == 2
    assert await chain_all(house) == 1
    found = await rows(house)
    assert [row.what for row in found] == ["door.open", "door.open", "door.late"] and found[2].seq < found[0].seq
    assert (await look(house)).broken is None


async def test_many_writers_at_once_chain_each_row_once(house: Database) -> None:
    async def act(first: int) -> None:
        for one in range(5):
            await write(house, 1, first=first + one)
            await chain(house)

    await asyncio.gather(*(act(first) for first in range(0, 30, 5)))
    await chain_all(house)
    found = await look(house)
    assert (found.rows, found.broken, await waiting(house)) == (30, None, 0)


async def test_what_is_read_is_chained_rows_newest_first_and_to_have_looked_is_written_down(house: Database) -> None:
    await write(house, 5)
    await write(house, 1, ministry=SOUTH)
    await chain_all(house)
    await write(house, 1, first=5)
    async with house.transaction() as tx:
        seen = await consult(tx, NORTH, who=BOB, why="a complaint", at=AT, before=None, limit=2)
        older = await consult(tx, NORTH, who=BOB, why="a complaint", at=AT, before=seen[-1].position, limit=9)
        one = await consult(tx, NORTH, who=BOB, why="a complaint", at=AT, about="door 3", before=None, limit=9)
    assert [row.position for row in seen] == [5, 4] and [row.position for row in older] == [3, 2, 1]
    assert [row.about for row in one] == ["door 3"]
    await chain_all(house)
    last = (await rows(house))[-1]
    assert (last.who, last.what, last.about, last.reason) == (str(BOB), "audit.read", str(NORTH), "a complaint")


# tampering


ELSEWHERE = "elsewhere"
LENGTH, ANCHORED = 12, (4, 9)


class Tamper:
    """Somebody with all rights on the tables; each act says what `verify` must name."""

    def __init__(self, house: Database, chance: random.Random) -> None:
        self.house, self.chance = house, chance

    def other(self, value: Any) -> Any:
        match value:
            case bytes():
                return bytes([value[0] ^ 1]) + value[1:]
            case datetime():
                return value + timedelta(microseconds=1)
            case int():
                return value + 1_000_000
            case _:
                return f"{value}!"

    async def change(self, table: Sequence[Any]) -> tuple[int, str]:
        row = self.chance.choice(table)
        names = [column.name for column in ROW.c if column.name not in ("position", "ministry")]
        name = self.chance.choice(names)
        await run(self.house, sa.update(ROW).where(ROW.c.seq == row.seq).values({name: self.other(getattr(row, name))}))
        return row.position, f"changed {name}"

    async def delete(self, table: Sequence[Any]) -> tuple[int, str]:
        row = self.chance.choice(table)
        await run(self.house, sa.delete(ROW).where(ROW.c.seq == row.seq))
        return row.position, "deleted"

    async def delete_and_close_the_gap(self, table: Sequence[Any]) -> tuple[int, str]:
        row = self.chance.choice(table[:-1])
        await run(self.house, sa.delete(ROW).where(ROW.c.seq == row.seq))
        for later in table[row.position :]:
            await run(self.house, sa.update(ROW).where(ROW.c.seq == later.seq).values(position=later.position - 1))
        return row.position, "deleted and moved up"

    async def move(self, table: Sequence[Any]) -> tuple[int, str]:
        row = self.chance.choice(table)
        await run(self.house, sa.update(ROW).where(ROW.c.seq == row.seq).values(ministry=ELSEWHERE))
        return row.position, "moved to another chain"

    async def unchain(self, table: Sequence[Any]) -> tuple[int, str]:
        row = self.chance.choice(table)
        await run(self.house, sa.update(ROW).where(ROW.c.seq == row.seq).values(position=None))
        await chain_all(self.house)
        return row.position, "had chained anew"

    async def swap(self, table: Sequence[Any]) -> tuple[int, str]:
        one, two = sorted(self.chance.sample(range(len(table)), 2))
        for seq, position in ((table[one].seq, -1), (table[two].seq, one + 1), (table[one].seq, two + 1)):
            await run(self.house, sa.update(ROW).where(ROW.c.seq == seq).values(position=position))
        return one + 1, "swapped"

    async def insert(self, table: Sequence[Any]) -> tuple[int, str]:
        """A row like its neighbour; all later ones move on by one."""
        at = self.chance.randint(1, len(table) + 1)
        for later in reversed(table[at - 1 :]):
            await run(self.house, sa.update(ROW).where(ROW.c.seq == later.seq).values(position=later.position + 1))
        like = table[min(at, len(table)) - 1]._asdict() | {"seq": 5_000, "position": at, "what": "door.forged"}
        await run(self.house, sa.insert(ROW).values(like))
        return at, "inserted"

    async def erase_in_silence(self, table: Sequence[Any]) -> tuple[int, str]:
        row = self.chance.choice(table)
        await run(self.house, sa.update(ROW).where(ROW.c.seq == row.seq).values(dict.fromkeys(PERSONAL, "") | {"salt": None}))
        return row.position, "erased in silence"

    async def cut(self, table: Sequence[Any]) -> tuple[int, str]:
        """The tail goes, and the head with it: only an anchor tells."""
        last = self.chance.randint(0, ANCHORED[-1] - 1)
        await run(self.house, sa.delete(ROW).where(ROW.c.ministry == str(NORTH), ROW.c.position > last))
        changed = {"position": last, "hash": table[last - 1].hash if last else START}
        await run(self.house, sa.update(HEAD).where(HEAD.c.ministry == str(NORTH)).values(changed))
        return last + 1, "cut"

    async def write_anew(self, table: Sequence[Any]) -> tuple[int, str]:
        """One row changed, and every hash after it made to fit: only an anchor tells, where it next looks."""
        at = self.chance.randint(1, ANCHORED[-1])
        before = table[at - 2].hash if at > 1 else START
        for row in table[at - 1 :]:
            what = "door.forged" if row.position == at else row.what
            before = hashed(before, SimpleNamespace(**row._asdict() | {"what": what}), row.personal)
            await run(self.house, sa.update(ROW).where(ROW.c.seq == row.seq).values(what=what, hash=before))
        await run(self.house, sa.update(HEAD).where(HEAD.c.ministry == str(NORTH)).values(hash=before))
        return next(one for one in ANCHORED if one >= at), "written anew"


ACTS = [name for name in vars(Tamper) if not name.startswith("_") and name != "other"]


@pytest.fixture
async def chained(house: Database) -> list[Anchor]:
    """Two chains, and the anchors of one of them."""
    await write(house, LENGTH)
    await write(house, LENGTH, ministry=SOUTH)
    await chain_all(house)
    table = await rows(house)
    return [Anchor(AT.isoformat(), "house", str(NORTH), one, table[one - 1].hash.hex()) for one in ANCHORED]


@pytest.mark.parametrize("act", ACTS)
async def test_whatever_is_tampered_with_the_first_broken_row_is_named(house: Database, chained: list[Anchor], act: str) -> None:
    async with house.read() as conn:
        kept = {table: [row._asdict() for row in await conn.execute(sa.select(table))] for table in (ROW, HEAD)}
    for seed in range(12):
        position, how = await getattr(Tamper(house, random.Random(f"{act} {seed}")), act)(await rows(house))
        found = await look(house, anchors=chained)
        assert found.broken is not None, f"{how} at {position} was not found (seed {seed})"
        assert found.broken.position == position, f"{how} (seed {seed}): {found.broken}"
        assert (await look(house, SOUTH)).broken is None
        for table, values in kept.items():
            await run(house, sa.delete(table), sa.insert(table).values(values))
        assert (await look(house, anchors=chained)).broken is None


@pytest.mark.parametrize("act", ["cut", "write_anew"])
async def test_without_an_anchor_a_chain_written_anew_is_believed(house: Database, chained: list[Anchor], act: str) -> None:
    await getattr(Tamper(house, random.Random(1)), act)(await rows(house))
    assert (await look(house)).broken is None
    assert (await look(house, anchors=chained)).broken is not None


async def test_a_row_beyond_the_head_is_named(house: Database, chained: list[Anchor]) -> None:
    last = (await rows(house))[-1]
    await run(house, sa.insert(ROW).values(last._asdict() | {"seq": 5_000, "position": LENGTH + 1}))
    found = (await look(house)).broken
    assert found == Broken(LENGTH + 1, 5_000, "inserted: it lies beyond the chain's head")


async def test_a_whole_chain_that_is_gone_is_missed_by_its_anchor(house: Database, chained: list[Anchor]) -> None:
    await run(house, sa.delete(ROW).where(ROW.c.ministry == str(NORTH)), sa.delete(HEAD).where(HEAD.c.ministry == str(NORTH)))
    assert str(NORTH) not in await chains_of(house) and str(NORTH) in await chains_of(house, chained)
    found = (await look(house, anchors=chained)).broken
    assert found is not None and found.position == 1 and "cut off" in found.how


async def test_a_row_written_while_another_looks_is_no_break(house: Database) -> None:
    async def act() -> None:
        for one in range(20):
            await write(house, 3, first=3 * one)
            await chain(house)
            await erase(house, f"door {3 * one}", who=BOB, why="asked for", at=AT)

    async def watch() -> list[Verdict]:
        found = []
        while not acting.done():
            found.append(await look(house))
        return found

    acting = asyncio.ensure_future(act())
    verdicts = await watch()
    await acting
    assert len(verdicts) > 1 and [one.broken for one in verdicts if one.broken] == []


# erasure


async def test_who_is_erased_is_in_no_row_and_every_chain_is_whole(house: Database) -> None:
    await write(house, 3)
    await write(house, 2, who=BOB)
    await write(house, 1, ministry=SOUTH, who=BOB)
    async with house.transaction() as tx:
        await record(tx, who=ADA, what="agent.change", on=BOB, ministry=NORTH, at=AT)
    assert await erase(house, str(BOB), who="operator", why="asked for", at=AT) == 4
    for ministry in (NORTH, SOUTH):
        found = await rows(house, ministry)
        assert not [row for row in found if str(BOB) in json.dumps([str(value) for value in row])]
        assert (await look(house, ministry)).broken is None
    named = [row for row in await rows(house) if row.what.startswith("audit.erase")]
    assert [(row.what, row.reason) for row in named] == [("audit.erase 4-6", "asked for")]
    assert [row.position for row in await rows(house) if row.salt is None] == [4, 5, 6]
    assert (await look(house)).erased == 3
    assert await erase(house, str(BOB), who="operator", why="asked for", at=AT) == 0


async def test_many_rows_are_erased_in_pieces(house: Database) -> None:
    for first in range(0, 450, 2):
        await write(house, 1, first=first)
        await write(house, 1, who=BOB, first=first + 1)
    assert await erase(house, str(BOB), who="operator", why="asked for", at=AT) == 225
    found = await look(house)
    assert (found.erased, found.broken) == (225, None)


def test_positions_are_named_in_texts_that_fit() -> None:
    chance = random.Random(7)
    for _ in range(50):
        positions = sorted(chance.sample(range(1, 10**9), chance.randint(0, 300)))
        positions += range(2 * 10**9, 2 * 10**9 + chance.randint(0, 9))
        texts = list(ranges_of(positions))
        assert all(0 < len(text) <= 400 for text in texts)
        assert [one for text in texts for some in positions_in(text) for one in some] == positions


# anchors


async def test_heads_that_moved_are_anchored_once_an_hour(house: Database, tmp_path: Path) -> None:
    place = tmp_path / "anchors.jsonl"
    await write(house, 2)
    await write(house, 1, ministry=None)
    assert await anchor(house, place, every=HOUR, now=AT) == 0, "nothing is chained yet"
    await chain_all(house)
    assert await anchor(house, place, every=HOUR, now=AT) == 2
    await write(house, 1)
    await chain_all(house)
    assert await anchor(house, place, every=HOUR, now=AT + HOUR / 2) == 0
    assert await anchor(house, place, every=HOUR, now=AT + HOUR) == 1
    assert await anchor(house, place, every=HOUR, now=AT + 9 * HOUR) == 0, "nothing has moved"
    found = read(place)
    assert [(one.ministry, one.position) for one in found] == [("", 1), (str(NORTH), 2), (str(NORTH), 3)]
    assert place.stat().st_mode & 0o777 == 0o600
    verdict = await look(house, anchors=found)
    assert (verdict.broken, verdict.anchors) == (None, 3)


async def test_a_folder_takes_a_new_file_each_time(house: Database, tmp_path: Path) -> None:
    for hour in range(3):
        await write(house, 1)
        await chain_all(house)
        await anchor(house, tmp_path, every=HOUR, now=AT + hour * HOUR)
    assert len(list(tmp_path.glob("house-*.jsonl"))) == 3
    assert [one.position for one in read(tmp_path)] == [1, 2, 3]


async def test_a_place_that_cannot_be_written_is_tried_again(house: Database, tmp_path: Path) -> None:
    await write(house, 1)
    await chain_all(house)
    with pytest.raises(CannotAnchor, match="PARVIS_AUDIT_ANCHORS"):
        await anchor(house, tmp_path / "away" / "anchors.jsonl", every=HOUR, now=AT)
    assert await anchor(house, tmp_path / "anchors.jsonl", every=HOUR, now=AT) == 1


@pytest.mark.parametrize(
    "line", ["", "{}", '{"at": 1}', "x" * 5_000, "[]", '{"at": "", "service": "", "ministry": "", "position": "x", "hash": ""}']
)
def test_a_line_that_is_no_anchor_is_named(tmp_path: Path, line: str) -> None:
    good = {"at": "", "service": "house", "ministry": "", "position": 1, "hash": "00"}
    (tmp_path / "anchors.jsonl").write_text(f"{json.dumps(good)}\n{line}\n")
    with pytest.raises(NoAnchor, match="line 2, is no anchor"):
        read(tmp_path / "anchors.jsonl")


def test_the_tables_are_known_by_name() -> None:
    assert set(tables_of("house")) == {"audit", "audit_head"}
