"""Agents move when their day comes; directorates and whole ministries go over to others, and the past stays to be seen."""

import asyncio
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from parvis_directory import actions
from parvis_directory.rules.moves import free_name
from parvis_directory.settings import Settings
from parvis_directory.store import agent
from parvis_directory.sweeps import carry_moves_out, run_transfers
from parvis_kit.audit.chain import chain_all
from parvis_kit.audit.verify import chains_of, verify
from parvis_kit.settings import SettingsRefused

from .conftest import ROOT, Town
from .test_people import AGENTS, audited, said

MINISTRIES = "/api/directory/v1/ministries"
TRANSFERS = "/api/directory/v1/transfers"
PARIS = ZoneInfo("Europe/Paris")
DECREE = "Décret n° 2026-1 du 1er décembre 2026"


async def move(town: Town, who: str, to: str, on: str | None, *, by: str = "oli", unit: UUID | None = None) -> tuple[int, Any]:
    path = f"{AGENTS}/{town.ids[who]}"
    etag = (await town.call("GET", path, by="oli"))[2]["ETag"]
    body = {"ministry_id": str(town.ministries[to]), "on": on, "directorate_id": str(unit) if unit else None}
    return (await town.call("POST", f"{path}/move", by=by, body={k: v for k, v in body.items() if v}, If_Match=etag))[:2]


async def planned(town: Town, who: str, by: str = "oli") -> tuple[int, Any]:
    return (await town.call("GET", f"{AGENTS}/{town.ids[who]}/move", by=by))[:2]


async def where(town: Town, who: str) -> UUID:
    return UUID((await town.call("GET", f"{AGENTS}/{town.ids[who]}", by="oli"))[1]["ministry_id"])


async def until_day(town: Town, day: int, hour: int = 12) -> None:
    """A day of that November, and what the clock then asks for. Tokens of before are good for twelve hours."""
    town.clock.now = town.clock.now.replace(day=day, hour=hour)
    await carry_moves_out(town.directory.database, town.clock, PARIS)
    await town.add(f"oli{day}{hour}", "ecologie", "operator")
    town.tokens["oli"] = town.tokens[f"oli{day}{hour}"]


async def test_a_move_waits_for_its_day_and_begins_at_the_ministry_s_midnight(town: Town) -> None:
    before = await said(town)
    status, person = await move(town, "bob", "ecologie", "2026-11-25")
    assert status == 202 and UUID(person["ministry_id"]) == town.ministries["interieur"]
    assert await said(town) == before
    assert (await planned(town, "bob", by="ada"))[1]["on"] == "2026-11-25"
    await until_day(town, 24, hour=22)  # 23:00 in Paris
    assert await where(town, "bob") == town.ministries["interieur"]
    await until_day(town, 24, hour=23)  # midnight there
    assert await where(town, "bob") == town.ministries["ecologie"]
    assert (await planned(town, "bob"))[0] == 404
    assert [kind for kind in await said(town) if "moved" in kind] == ["directory.agent.moved.v1"]
    await until_day(town, 26)
    assert [kind for kind in await said(town) if "moved" in kind] == ["directory.agent.moved.v1"], "done twice, it is done once"


async def test_on_its_own_day_a_move_is_done_at_once(town: Town) -> None:
    assert (await move(town, "bob", "ecologie", "2026-11-23"))[0] == 200
    assert await where(town, "bob") == town.ministries["ecologie"]


async def test_a_later_plan_and_a_move_at_once_replace_what_was_planned(town: Town) -> None:
    assert (await move(town, "bob", "ecologie", "2026-11-24"))[0] == 202
    assert (await move(town, "bob", "ecologie", "2026-11-26"))[0] == 202
    await until_day(town, 25)
    assert await where(town, "bob") == town.ministries["interieur"]
    assert (await move(town, "bob", "ecologie", None))[0] == 200
    assert (await planned(town, "bob"))[0] == 404


async def test_a_move_that_is_called_off_is_not_done(town: Town) -> None:
    path = f"{AGENTS}/{town.ids['bob']}/move"
    assert (await move(town, "bob", "ecologie", "2026-11-24"))[0] == 202
    assert (await town.call("DELETE", path, by="ada"))[0] == 403
    assert (await town.call("DELETE", path, by="oli"))[0] == 204
    assert (await town.call("DELETE", path, by="oli"))[0] == 404
    await until_day(town, 25)
    assert await where(town, "bob") == town.ministries["interieur"]
    assert ("agent.move.cancel", "done") in await audited(town)


@pytest.mark.parametrize(
    ("by", "on", "status"),
    [("ada", "2026-11-25", 403), ("oli", "2026-11-22", 422), ("oli", "2031-01-01", 422), ("oli", "soon", 422), ("eve", "2026-11-25", 403)],
)
async def test_a_plan_that_is_refused_leaves_nothing(town: Town, by: str, on: str, status: int) -> None:
    before = await audited(town)
    assert (await move(town, "bob", "ecologie", on, by=by))[0] == status
    assert (await planned(town, "bob"))[0] == 404 and await audited(town) == before


async def test_a_move_that_fails_holds_up_no_other_and_is_tried_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bob", "eva"):
        if name not in town.ids:
            await town.add(name, "interieur")
        assert (await move(town, name, "ecologie", "2026-11-25" if name == "eva" else "2026-11-24"))[0] == 202
    carry = actions.carry_move_out

    async def fail_for_the_first(tx: Any, agent_id: UUID, *, day: date, now: datetime) -> None:
        if agent_id == town.ids["bob"]:
            raise RuntimeError("a row that nobody expected")
        await carry(tx, agent_id, day=day, now=now)

    monkeypatch.setattr(actions, "carry_move_out", fail_for_the_first)
    await until_day(town, 25)
    assert [await where(town, name) for name in ("bob", "eva")] == [town.ministries[name] for name in ("interieur", "ecologie")]
    monkeypatch.setattr(actions, "carry_move_out", carry)
    await until_day(town, 26)
    assert await where(town, "bob") == town.ministries["ecologie"]


async def test_who_has_left_when_the_day_comes_stays_and_it_is_said_why(town: Town) -> None:
    assert (await move(town, "bob", "ecologie", "2026-11-24"))[0] == 202
    path = f"{AGENTS}/{town.ids['bob']}"
    assert (await town.call("PATCH", path, by="ada", body={"state": "left"}, If_Match='"1"'))[0] == 200
    await until_day(town, 25)
    assert await where(town, "bob") == town.ministries["interieur"]
    assert "has left" in (await planned(town, "bob"))[1]["refused"]
    assert ("agent.move", "refused") in await audited(town)


async def test_an_administrator_who_moves_administers_nothing_there(town: Town) -> None:
    assert (await move(town, "ada", "ecologie", None))[0] == 200
    moved = (await town.call("GET", f"{AGENTS}/{town.ids['ada']}", by="oli"))[1]
    assert moved["roles"] == ["agent"]
    assert (await town.call("POST", AGENTS, by="ada", body={"email": "x@y.example.org", "given_name": "X", "family_name": "Y"}))[0] == 403


# transfers


async def unit(town: Town, ministry: str, name: str) -> UUID:
    async with town.directory.database.transaction() as tx:
        made = await actions.create_directorate(tx, ROOT, town.ministries[ministry], name, None, now=town.clock())
    return made.id


async def people(town: Town, ministry: str, directorate_id: UUID | None, number: int, prefix: str = "n") -> list[UUID]:
    made = []
    async with town.directory.database.transaction() as tx:
        for one in range(number):
            email = f"{prefix}{one}@{ministry}.example.org"
            new = actions.NewPerson(town.ministries[ministry], directorate_id, "agent", email, "N", "N", "fr", [], None)
            made.append((await actions.create_agent(tx, ROOT, new, now=town.clock())).id)
    return made


async def transfer(
    town: Town, source: str, target: str, units: list[UUID] | None, on: str | None = None, by: str = "oli"
) -> tuple[int, Any]:
    body: dict[str, Any] = {"to_ministry_id": str(town.ministries[target]), "reason": DECREE}
    if units is not None:
        body["directorate_ids"] = [str(one) for one in units]
    if on:
        body["on"] = on
    return (await town.call("POST", f"{MINISTRIES}/{town.ministries[source]}/transfers", by=by, body=body))[:2]


async def history(town: Town, ministry: str, by: str = "oli") -> list[Any]:
    found: list[Any] = (await town.call("GET", f"{MINISTRIES}/{town.ministries[ministry]}/transfers", by=by))[1]
    return found


async def run(town: Town) -> None:
    await run_transfers(town.directory.database, town.clock, PARIS)


async def places(town: Town) -> dict[UUID, tuple[UUID, UUID | None]]:
    async with town.directory.database.read() as conn:
        rows = await conn.execute(sa.select(agent.c.id, agent.c.ministry_id, agent.c.directorate_id))
        return {row[0]: (row[1], row[2]) for row in rows}


async def units_of(town: Town, ministry: str) -> dict[str, Any]:
    found = (await town.call("GET", f"{MINISTRIES}/{town.ministries[ministry]}/directorates", by="oli"))[1]
    return {one["name"]: one for one in found}


async def test_a_directorate_goes_over_with_its_agents_and_the_ministry_goes_on(town: Town) -> None:
    energy, climate = await unit(town, "interieur", "Énergie"), await unit(town, "interieur", "Climat")
    movers, stayers = await people(town, "interieur", energy, 3), await people(town, "interieur", climate, 2, "s")
    before = len(await said(town))
    status, made = await transfer(town, "interieur", "ecologie", [energy])
    assert (status, made["state"], made["agents"]) == (201, "planned", 0)
    await run(town)
    there = await units_of(town, "ecologie")
    home = town.ministries["interieur"], town.ministries["ecologie"]
    now = await places(town)
    assert {now[one] for one in movers} == {(home[1], UUID(there["Énergie"]["id"]))}
    assert {now[one] for one in stayers} == {(home[0], climate)}
    assert (await units_of(town, "interieur"))["Énergie"]["succeeded_by"] == there["Énergie"]["id"]
    states = ["directory.ministry.state.v1"] * 2
    assert (await said(town))[before : before + 3] == ["directory.directorate.transferred.v1", *states]
    assert (await said(town))[before:].count("directory.agent.moved.v1") == 3
    for ministry in ("interieur", "ecologie"):
        [one] = await history(town, ministry)
        assert (one["state"], one["agents"], one["reason"]) == ("done", 3, DECREE)
    late = {"email": "late@interieur.example.org", "given_name": "L", "family_name": "L", "directorate_id": str(energy)}
    status, refusal, _ = await town.call("POST", AGENTS, by="ada", body=late)
    assert status == 409 and there["Énergie"]["id"] in refusal["detail"]


async def test_a_ministry_merges_into_another_and_its_history_stays(town: Town) -> None:
    energy = await unit(town, "interieur", "Numérique")
    await unit(town, "ecologie", "Numérique")
    movers = await people(town, "interieur", energy, 2)
    assert (await town.call("POST", "/api/directory/v1/teams", by="ada", body={"name": "Team", "members": [str(town.ids["bob"])]}))[
        0
    ] == 201
    path = f"{AGENTS}/{town.ids['bob']}"
    assert (await town.call("PATCH", path, by="ada", body={"state": "left"}, If_Match='"1"'))[0] == 200
    assert (await transfer(town, "interieur", "ecologie", None, on="2026-11-24"))[0] == 201
    await run(town)
    assert (await history(town, "interieur"))[0]["state"] == "planned"
    await until_day(town, 24)
    await run(town)
    now = await places(town)
    renamed = (await units_of(town, "ecologie"))["Numérique (Ministère interieur)"]
    assert {now[one] for one in movers} == {(town.ministries["ecologie"], UUID(renamed["id"]))}
    assert now[town.ids["ada"]] == (town.ministries["ecologie"], None)
    assert now[town.ids["bob"]][0] == town.ministries["interieur"], "who has left stays where they were"
    closed = (await town.call("GET", f"{MINISTRIES}/{town.ministries['interieur']}", by="oli"))[1]
    assert closed["closed_at"] and UUID(closed["succeeded_by"]) == town.ministries["ecologie"]
    [moved] = (await town.call("GET", "/api/directory/v1/teams", by="oli"))[1]["items"]
    assert UUID(moved["ministry_id"]) == town.ministries["ecologie"]
    assert (await said(town))[-2:] == ["directory.ministry.merged.v1", "directory.ministry.state.v1"]
    [one] = await history(town, "interieur")
    assert (one["state"], one["directorate_ids"], one["reason"]) == ("done", None, DECREE)
    ada = (await town.call("GET", f"{AGENTS}/{town.ids['ada']}", by="oli"))[1]
    assert "ministry_administrator" not in ada["roles"]


async def test_nothing_changes_any_more_in_a_ministry_that_has_merged(town: Town) -> None:
    assert (await transfer(town, "interieur", "ecologie", None))[0] == 201
    await run(town)
    closed = f"{MINISTRIES}/{town.ministries['interieur']}"
    etag = (await town.call("GET", closed, by="oli"))[2]["ETag"]
    new = {"email": "z@z.example.org", "given_name": "Z", "family_name": "Z", "ministry_id": str(town.ministries["interieur"])}
    asked = [
        await town.call("POST", AGENTS, by="oli", body=new),
        await town.call("PATCH", closed, by="oli", body={"name": "Other"}, If_Match=etag),
        await town.call("POST", f"{closed}/directorates", by="oli", body={"name": "New"}),
        await town.call("POST", f"{closed}/domains", by="oli", body={"name": "interieur.example.org"}),
    ]
    assert [status for status, _, _ in asked] == [409] * 4
    assert (await move(town, "eve", "interieur", None))[0] == 409
    assert (await move(town, "eve", "interieur", "2026-11-25"))[0] == 409
    assert (await transfer(town, "ecologie", "interieur", None))[0] == 409


async def test_a_transfer_stopped_after_any_piece_goes_on_without_a_double_or_a_hole(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parvis_directory.actions.transfers.PIECE_AGENTS", 3)
    energy = await unit(town, "interieur", "Énergie")
    movers = await people(town, "interieur", energy, 10)
    status, made = await transfer(town, "interieur", "ecologie", None)
    assert status == 201
    database, transfer_id = town.directory.database, UUID(made["id"])
    day = town.clock().date()

    async def piece(fail: bool) -> bool:
        """One piece, by a process that dies just before its end, or does not."""
        try:
            async with database.transaction() as tx:
                await actions.begin_transfer(tx, transfer_id, day=day, now=town.clock())
                more = await actions.continue_transfer(tx, transfer_id, now=town.clock())
                if fail:
                    raise RuntimeError("killed")
                return more
        except RuntimeError:
            return True

    turn = 0
    while await piece(fail=turn % 2 == 0):
        turn += 1
        assert turn < 50
    assert not await piece(fail=False), "done is done"
    now = await places(town)
    there = UUID((await units_of(town, "ecologie"))["Énergie"]["id"])
    assert {now[one] for one in movers} == {(town.ministries["ecologie"], there)}
    assert (await said(town)).count("directory.agent.moved.v1") == 12 and (await said(town)).count("directory.ministry.merged.v1") == 1
    assert (await history(town, "interieur"))[0]["agents"] == 12


async def test_two_processes_at_one_transfer_do_it_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parvis_directory.actions.transfers.PIECE_AGENTS", 2)
    await people(town, "interieur", None, 10)
    assert (await transfer(town, "interieur", "ecologie", None))[0] == 201
    await asyncio.gather(*(run(town) for _ in range(3)))
    assert (await said(town)).count("directory.agent.moved.v1") == 12 and (await said(town)).count("directory.ministry.merged.v1") == 1


async def test_who_joins_while_a_ministry_merges_is_in_the_new_one_or_was_refused(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parvis_directory.actions.transfers.PIECE_AGENTS", 2)
    await people(town, "interieur", None, 12)
    assert (await transfer(town, "interieur", "ecologie", None))[0] == 201
    home = str(town.ministries["interieur"])

    async def join(number: int) -> int:
        new = {"email": f"j{number}@interieur.example.org", "given_name": "J", "family_name": "J", "ministry_id": home}
        return (await town.call("POST", AGENTS, by="oli", body=new))[0]

    _, *statuses = await asyncio.gather(run(town), *(join(number) for number in range(12)))
    assert set(statuses) <= {201, 409}
    assert (await history(town, "interieur"))[0]["state"] == "done"
    assert not [one for one, (ministry, _) in (await places(town)).items() if ministry == town.ministries["interieur"]]


async def test_who_slips_into_a_directorate_that_has_gone_is_taken_along(town: Town) -> None:
    energy = await unit(town, "interieur", "Énergie")
    assert (await transfer(town, "interieur", "ecologie", [energy]))[0] == 201
    await run(town)
    async with town.directory.database.transaction() as tx:  # whose check ran before the directorate went
        await tx.execute(sa.update(agent).where(agent.c.id == town.ids["bob"]).values(directorate_id=energy))
    await run(town)
    assert (await places(town))[town.ids["bob"]] == (town.ministries["ecologie"], UUID((await units_of(town, "ecologie"))["Énergie"]["id"]))


async def test_a_transfer_can_be_called_off_before_it_begins(town: Town) -> None:
    made = (await transfer(town, "interieur", "ecologie", None, on="2026-11-25"))[1]
    assert (await transfer(town, "interieur", "ecologie", None, on="2026-11-25"))[0] == 409
    assert (await town.call("DELETE", f"{TRANSFERS}/{made['id']}", by="ada"))[0] == 403
    assert (await town.call("DELETE", f"{TRANSFERS}/{made['id']}", by="oli"))[0] == 204
    assert (await town.call("DELETE", f"{TRANSFERS}/{made['id']}", by="oli"))[0] == 409
    town.clock.advance(days=3)
    await run(town)
    assert "directory.ministry.merged.v1" not in await said(town)


async def test_a_ministry_that_merged_meanwhile_takes_nobody_in(town: Town) -> None:
    async with town.directory.database.transaction() as tx:
        third = await actions.create_ministry(tx, ROOT, "110043015", "Ministère education", now=town.clock())
    town.ministries["education"] = third.id
    assert (await transfer(town, "interieur", "ecologie", None))[0] == 201
    town.clock.advance(1)
    assert (await transfer(town, "ecologie", "education", None))[0] == 201
    town.clock.advance(1)
    assert (await transfer(town, "education", "interieur", [await unit(town, "education", "Écoles")]))[0] == 201
    await run(town)
    newest = (await history(town, "education"))[0]
    assert newest["state"] == "refused" and "merged meanwhile" in newest["refused"]
    assert {ministry for ministry, _ in (await places(town)).values()} == {third.id}, "interieur went to ecologie, and both to education"


@pytest.mark.parametrize(
    ("by", "source", "target", "units", "on", "status"),
    [
        ("ada", "interieur", "ecologie", None, None, 403),
        ("oli", "interieur", "interieur", None, None, 422),
        ("oli", "interieur", "ecologie", [], None, 422),
        ("oli", "interieur", "ecologie", [UUID(int=7)], None, 422),
        ("oli", "interieur", "ecologie", None, "2026-11-01", 422),
    ],
)
async def test_a_transfer_that_makes_no_sense_is_refused(
    town: Town, by: str, source: str, target: str, units: list[UUID] | None, on: str | None, status: int
) -> None:
    assert (await transfer(town, source, target, units, on, by))[0] == status
    assert await history(town, source) == []


async def test_history_is_seen_by_those_whose_it_is(town: Town) -> None:
    assert (await transfer(town, "interieur", "ecologie", None, on="2026-11-25"))[0] == 201
    assert [one["reason"] for one in await history(town, "interieur", by="bob")] == [DECREE]
    assert (await town.call("GET", f"{MINISTRIES}/{town.ministries['interieur']}/transfers", by="eve"))[0] == 404


async def test_every_chain_of_the_audit_is_whole_after_a_merger(town: Town) -> None:
    await people(town, "interieur", None, 5)
    assert (await transfer(town, "interieur", "ecologie", None))[0] == 201
    await run(town)
    database = town.directory.database
    await chain_all(database)
    assert [one.broken for one in [await verify(database, name) for name in await chains_of(database)]] == [None] * 3


def test_a_name_that_is_taken_says_whence_it_came() -> None:
    assert free_name("Numérique", "Intérieur", set()) == "Numérique"
    taken = {"Numérique", "Numérique (Intérieur)"}
    assert free_name("Numérique", "Intérieur", taken) == "Numérique (Intérieur, 2)"


def test_a_zone_that_nobody_knows_is_refused() -> None:
    with pytest.raises(SettingsRefused, match="PARVIS_DIRECTORY_TIME_ZONE: .*Europe/Atlantis is no time zone"):
        Settings.read({"PARVIS_DIRECTORY_TIME_ZONE": "Europe/Atlantis"})
    assert Settings.read({"PARVIS_DIRECTORY_TIME_ZONE": "Pacific/Noumea"}).zone == ZoneInfo("Pacific/Noumea")
