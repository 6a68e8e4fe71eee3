"""Quotas: nobody passes them, however many try at once; and what nears them is said once."""

import asyncio
import hashlib
from typing import Any

import pytest
from parvis_contracts.directory import AgentMoved
from parvis_contracts.files import QuotaThresholdCrossed
from parvis_files.settings import Settings

from .conftest import MIB, Office


@pytest.fixture
def settings() -> Settings:
    return Settings(personal_quota_bytes=1000, space_quota_bytes=1000, ministry_quota_bytes=1500)


def body(size: int, name: str = "a.txt") -> dict[str, Any]:
    return {"name": name, "size_bytes": size, "sha256": hashlib.sha256(b"x" * size).hexdigest()}


async def test_fifty_uploads_at_once_at_99_percent_never_pass_the_quota(office: Office) -> None:
    root = office.root("ada")
    await office.store(root, "most.bin", b"x" * 990, by="ada")
    many = [office.call("POST", f"folders/{root}/uploads", by="ada", body=body(3)) for _ in range(50)]
    answers = await asyncio.gather(*many)
    begun = [answer for status, answer, _ in answers if status == 201]
    refused = {(status, answer["type"]) for status, answer, _ in answers if status != 201}
    assert len(begun) == 3 and refused == {(507, "urn:parvis:problem:quota-exceeded")}
    for one in begun:
        assert await office.send(one["put"], b"xxx") == 200
    done = await asyncio.gather(*(office.call("POST", f"uploads/{one['id']}/complete", by="ada", body={}) for one in begun))
    assert [status for status, _, _ in done] == [200] * 3 and await office.quota("ada") == (999, 0)


async def test_a_refusal_says_how_much_is_left_and_reserves_nothing(office: Office) -> None:
    status, problem, _ = await office.call("POST", f"folders/{office.root('ada')}/uploads", by="ada", body=body(1001))
    assert status == 507 and "1000 bytes more" in problem["detail"] and await office.quota("ada") == (0, 0)
    assert "file.stored.v1" not in await office.said()


async def test_what_a_ministry_holds_bounds_all_of_its_spaces(office: Office) -> None:
    await office.add("zoe", "interieur", "ministry_administrator")
    await office.store(office.root("ada"), "a.bin", b"x" * 900, by="ada")
    await office.store(office.root("bob"), "b.bin", b"x" * 500, by="bob")
    status, problem, _ = await office.call("POST", f"folders/{office.root('bob')}/uploads", by="bob", body=body(101))
    assert status == 507 and "ministry" in problem["detail"] and await office.quota("bob") == (500, 0)
    await office.store(office.root("eve"), "e.bin", b"x" * 900, by="eve")
    assert await office.get("ministry/quota", by="zoe") == {"used_bytes": 1400, "reserved_bytes": 0, "limit_bytes": 1500}
    assert (await office.call("GET", "ministry/quota", by="ada"))[0] == 403


async def crossed(office: Office) -> int:
    return (await office.said()).count("space.quota_crossed.v1")


async def test_a_threshold_is_told_when_it_is_crossed_and_again_after_it_was_left(office: Office) -> None:
    root = office.root("ada")
    await office.store(root, "a.bin", b"x" * 700, by="ada")
    assert await crossed(office) == 0
    last = await office.store(root, "b.bin", b"x" * 150, by="ada")
    await office.store(root, "c.bin", b"x" * 10, by="ada")
    assert await crossed(office) == 1, "80 %, once"
    await office.store(root, "d.bin", b"x" * 140, by="ada")
    assert await crossed(office) == 2, "100 %: the highest alone"
    await office.call("DELETE", f"items/{last['file_id']}", by="ada")
    assert await office.quota("ada") == (1000, 0), "what is in the trash takes its place"
    await office.call("POST", f"items/{last['file_id']}/purge", by="ada")
    assert await office.quota("ada") == (850, 0)
    await office.store(root, "e.bin", b"x" * 100, by="ada")
    assert await crossed(office) == 3


async def test_a_shared_space_s_managers_are_named_when_it_crosses_a_threshold(office: Office) -> None:
    await office.team("Projet", "interieur", "bob")
    space = await office.space("Projet", by="ada")
    await office.share(space["root_id"], "team", "Projet", "manager", by="ada")
    await office.share(space["root_id"], "agent", "bob", "editor", by="ada")
    await office.store(space["root_id"], "a.bin", b"x" * 950, by="ada")
    kept = "SELECT data FROM files.{} WHERE type = 'files.space.quota_crossed.v1'"
    [(data,)] = await office.rows(f"{kept.format('log')} UNION ALL {kept.format('outbox')}")
    fact = QuotaThresholdCrossed.model_validate_json(data)
    assert (fact.owner_id, fact.manager_ids, fact.manager_team_ids) == (None, (office.ids["ada"],), (office.ids["Projet"],))


async def test_agents_who_move_take_what_they_hold_to_the_other_ministry(office: Office) -> None:
    await office.store(office.root("ada"), "a.bin", b"x" * 300, by="ada")
    await office.declare(office.root("ada"), "b.bin", b"x" * 50, by="ada")
    there = office.ministries["ecologie"]
    moved = AgentMoved(
        at=office.clock(), about=str(office.ids["ada"]), agent_id=office.ids["ada"], from_ministry_id=office.ministries["interieur"],
        to_ministry_id=there,
    )  # fmt: skip
    await office.hears(moved, moved)
    rows = await office.rows("SELECT ministry_id, used_bytes, reserved_bytes FROM files.ministry_quota")
    held = {str(row[0]).replace("-", ""): (row[1], row[2]) for row in rows}
    assert held == {office.ministries["interieur"].hex: (0, 0), there.hex: (300, 50)}
    assert (await office.get("spaces/personal", by="ada"))["ministry_id"] == str(there)


def test_the_office_of_this_module_is_small(settings: Settings) -> None:
    assert settings.personal_quota_bytes < MIB
