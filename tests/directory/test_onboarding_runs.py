"""A ministry's file while it is worked through: by several at once, failing, overtaken by what others do; and how long it is kept."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from parvis_directory import actions
from parvis_directory.api.agents import ZONE
from parvis_directory.rules import Asker
from parvis_directory.rules import onboarding as policy
from parvis_kit import failpoints
from parvis_kit.problems import Unavailable

from .conftest import Town
from .roster_files import aboard, bring, confirm, file_of, id_of, lines_of, look, person, said, send, work

SAMPLE = Path(__file__).parent / "rosters/excel-fr-windows-1252.csv"
JOBS = "/api/directory/v1/onboardings"
AGENTS = "/api/directory/v1/agents"


async def test_a_file_that_keeps_failing_ends_and_stops_nobody_else_s(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    _, mine = await send(town, file_of([person(1)]))
    _, theirs = await send(town, file_of([person(2, courriel="a2@ecologie.example.org")]), by="eve", ministry="ecologie")
    assert ((await confirm(town, mine))[0], (await confirm(town, theirs, by="eve"))[0]) == (202, 202)
    judge_all = policy.judge_all

    def trips(entries: Any, standings: Any, ministry_id: UUID, *more: Any) -> Any:
        if ministry_id == town.ministries["interieur"]:
            raise OverflowError("date value out of range, of somebody whose name is nobody's business")
        return judge_all(entries, standings, ministry_id, *more)

    monkeypatch.setattr(policy, "judge_all", trips)
    for attempt in range(policy.FAILURES_MAX):
        assert (await look(town, mine))["state"] == "running", attempt
        await work(town)
        await work(town)
        assert (await look(town, theirs, by="eve"))["state"] == "done"
        town.clock.now += policy.LEASE
    failed = await look(town, mine)
    assert (failed["state"], failed["done"]) == ("failed", {})
    assert "behind step 0 of 1" in failed["failed_why"] and "OverflowError" in failed["failed_why"] and "name is" not in str(failed)
    monkeypatch.undo()
    assert (await bring(town, file_of([person(1)])))["done"] == {"create": 1}, "it stands in the way of no other"
    assert (await town.call("DELETE", f"{JOBS}/{mine['id']}", by="ada"))[0] == 204
    assert (await look(town, mine))["state"] == "discarded"


async def test_a_database_that_is_away_again_and_again_fails_no_file(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    _, mine = await send(town, file_of([person(1)]))
    assert (await confirm(town, mine))[0] == 202

    def away(*_: Any) -> Any:
        raise ConnectionResetError("the database was started again")

    monkeypatch.setattr(policy, "judge_all", away)
    for _ in range(policy.FAILURES_MAX + 1):
        with pytest.raises(Unavailable):
            await work(town)
    monkeypatch.undo()
    await work(town)
    assert (await look(town, mine))["state"] == "done", "and it goes on at once"


async def test_a_plan_that_has_become_stale_is_judged_again_line_by_line(town: Town) -> None:
    await bring(town, file_of(person(number) for number in range(1, 4)))
    _, job = await send(town, file_of([person(1), person(7), person(8)]))
    assert job["plan"] == {"unchanged": 1, "create": 2, "deactivate": 2}
    new = {"email": "agent7@interieur.example.org", "given_name": "Anne", "family_name": "Dupont"}
    assert (await town.call("POST", AGENTS, by="ada", body=new))[0] == 201
    assert (await town.call("POST", AGENTS, by="eve", body=new | {"email": "agent8@interieur.example.org"}))[0] == 201
    first, moved = await id_of(town, "000001"), await id_of(town, "000003")
    assert (await town.call("PATCH", f"{AGENTS}/{first}", by="ada", body={"family_name": "Autre"}, If_Match='"1"'))[0] == 200
    away = {"ministry_id": str(town.ministries["ecologie"])}
    assert (await town.call("POST", f"{AGENTS}/{moved}/move", by="oli", body=away, If_Match='"1"'))[0] == 200
    assert (await confirm(town, job, accept_deactivations=True, deactivations=2))[0] == 202
    await work(town)
    assert (await look(town, job))["done"] == {"update": 1, "adopt": 1, "reject": 1, "deactivate": 1, "unchanged": 1}
    codes = {(one["line"], one["external_id"]): one["code"] for one in await lines_of(town, job) if one["code"]}
    assert codes == {(4, "000008"): "email-taken", (None, "000002"): "missing", (None, "000003"): "changed"}
    assert (await town.call("GET", f"{AGENTS}/{moved}", by="oli"))[1]["state"] == "active"


async def test_an_e_mail_taken_at_the_same_moment_makes_one_account(town: Town) -> None:
    _, job = await send(town, file_of([person(1), person(2)]))
    assert (await confirm(town, job))[0] == 202
    failpoints.arm("onboarding.judged:sleep:0.3")
    new = {"email": "agent2@interieur.example.org", "given_name": "Anne", "family_name": "Dupont"}
    try:
        _, (status, _, _) = await asyncio.gather(work(town), town.call("POST", AGENTS, by="ada", body=new))
    finally:
        failpoints.arm("")
    done = (await look(town, job))["done"]
    assert (status, done) in [(201, {"create": 1, "adopt": 1}), (409, {"create": 2})]
    emails = [one["email"] for one in (await town.call("GET", f"{AGENTS}?limit=100", by="ada"))[1]["items"]]
    assert emails.count(new["email"]) == 1


async def test_two_who_go_on_at_once_do_nothing_twice_and_nothing_is_left(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from parvis_directory.actions import onboarding_runs

    monkeypatch.setattr(onboarding_runs, "PIECE", 7)
    _, job = await send(town, file_of(person(number) for number in range(1, 101)))
    assert (await confirm(town, job))[0] == 202
    await asyncio.gather(*(work(town) for _ in range(4)))
    assert (await look(town, job))["done"] == {"create": 100}
    kinds = [kind for kind, _ in await said(town)]
    assert len(await aboard(town)) == 100 and kinds.count("directory.onboarding.completed.v1") == 1


async def test_who_holds_a_file_holds_it_for_its_lease_and_then_another_goes_on(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from parvis_directory.actions import onboarding_runs

    monkeypatch.setattr(onboarding_runs, "PIECE", 2)
    _, job = await send(town, file_of(person(number) for number in range(1, 6)))
    await confirm(town, job)

    async def advance(owner: str) -> bool:
        return await actions.advance_onboarding(town.directory.database, UUID(job["id"]), owner, town.clock, town.directory.handles[ZONE])

    assert await advance("first") and not await advance("second")
    town.clock.now += policy.LEASE
    assert await advance("second"), "the first is not heard of any more"
    assert not await advance("first"), "it comes back, and has lost it"
    while await advance("second"):
        pass
    assert (await look(town, job))["done"] == {"create": 5} and len(await aboard(town)) == 5


async def test_an_old_draft_is_not_confirmed_and_lines_are_forgotten_in_time(town: Town) -> None:
    done = await bring(town, SAMPLE.read_bytes())
    _, draft = await send(town, SAMPLE.read_bytes())
    asker = Asker(town.ids["ada"], town.ministries["interieur"], frozenset({"ministry_administrator"}))

    async def left() -> list[int]:
        return [len(await lines_of(town, job)) for job in (done, draft)]

    assert await actions.forget_onboardings(town.directory.database, now=town.clock()) == 0
    later = town.clock() + policy.DRAFT_LIFE
    async with town.directory.database.transaction() as tx:
        with pytest.raises(policy.Conflict, match="more than 7 days old"):
            await actions.confirm_onboarding(tx, asker, UUID(draft["id"]), accept_deactivations=False, deactivations=None, now=later)
    assert await actions.forget_onboardings(town.directory.database, now=later + timedelta(seconds=1)) == 11
    assert await left() == [11, 0] and (await look(town, draft))["state"] == "discarded"
    assert await actions.forget_onboardings(town.directory.database, now=town.clock() + policy.LINES_LIFE + timedelta(seconds=1)) == 11
    assert (await look(town, done))["done"] == {"create": 11}, "its counts stay"
