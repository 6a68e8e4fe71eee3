"""Somebody who has left for good comes back, or a namesake gets the address: a new account, and the old one keeps what is its own."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from .conftest import Town
from .roster_files import TITLES, aboard, bring, file_of, id_of, person, reasons, send
from .test_departures import come_back, leave, settle
from .test_people import AGENTS

BOB = {"email": "bob@interieur.example.org", "given_name": "Bob", "family_name": "Martin"}
WITH_ARRIVAL = [*TITLES, "date d'arrivée"]


async def audit_of(town: Town, agent_id: Any) -> list[str]:
    rows = sa.text("SELECT what FROM directory.audit WHERE about = :one OR who = :one ORDER BY seq")
    async with town.directory.database.read() as conn:
        return list((await conn.execute(rows, {"one": str(agent_id)})).scalars())


def day(town: Town, days: int) -> str:
    return (town.clock() + timedelta(days=days)).strftime("%d/%m/%Y")


async def new_day(town: Town) -> None:
    """A day later, with an administrator whose token still counts."""
    town.clock.advance(days=1)
    number = len(town.ids)
    await town.add(f"ada{number}", "interieur", "ministry_administrator")
    town.tokens["ada"] = town.tokens[f"ada{number}"]


async def test_a_new_account_has_the_e_mail_of_who_left_and_nothing_else(town: Town) -> None:
    old, body = f"{AGENTS}/{town.ids['bob']}", {"name": "Crise", "members": [str(town.ids["bob"])]}
    team = (await town.call("POST", "/api/directory/v1/teams", by="ada", body=body))[2]["Location"]
    await leave(town, "bob")
    status, problem, _ = await town.call("POST", AGENTS, by="ada", body=BOB)
    assert status == 409 and "wait" in problem["detail"], "until the departure is over, it can be called off"
    assert (await town.call("POST", AGENTS, by="eve", body=BOB))[1]["detail"] == "This e-mail has an account already."
    await settle(town)
    done = await audit_of(town, town.ids["bob"])
    status, new, _ = await town.call("POST", AGENTS, by="ada", body=BOB)
    assert status == 201 and new["id"] != str(town.ids["bob"]) and new["email"] == BOB["email"]
    kept = (await town.call("GET", old, by="ada"))[1]
    assert (kept["state"], kept["email"]) == ("left", f"bob.{town.ids['bob']}@left.invalid")
    assert await audit_of(town, town.ids["bob"]) == [*done, "agent.give-up e-mail"]
    assert await audit_of(town, new["id"]) == ["agent.create"]
    assert (await town.call("GET", team, by="ada"))[1]["members"] == [str(town.ids["bob"])]
    assert (await town.call("POST", AGENTS, by="ada", body=BOB))[0] == 409, "who is here keeps the address"
    assert await come_back(town, "bob") == 409


async def test_a_renewed_contract_comes_by_the_file_with_its_arrival_and_not_without(town: Town) -> None:
    one = [*person(1), ""]
    await bring(town, file_of([one, [*person(2), ""]], titles=WITH_ARRIVAL))
    old = await id_of(town, "000001")
    await bring(town, file_of([[*person(2), ""]], titles=WITH_ARRIVAL))
    await settle(town)
    again = await bring(town, file_of([one, [*person(2), ""]], titles=WITH_ARRIVAL))
    assert again["done"] == {"reject": 1, "unchanged": 1} and await reasons(town, again) == {2: "left"}
    await new_day(town)
    back = [*person(1), day(town, 0)]
    for done in ({"create": 1, "unchanged": 1}, {"unchanged": 2}):
        assert (await bring(town, file_of([back, [*person(2), ""]], titles=WITH_ARRIVAL)))["done"] == done
    new = (await aboard(town))["000001"]
    assert new.id != old and (new.state, new.email) == ("active", "agent1@interieur.example.org")
    kept = (await town.call("GET", f"{AGENTS}/{old}", by="ada"))[1]
    assert kept["state"] == "left" and kept["email"].endswith("@left.invalid")


async def test_an_account_opened_by_hand_for_who_came_back_gets_the_identifier_of_before(town: Town) -> None:
    await bring(town, file_of([person(1), person(2)]))
    await bring(town, file_of([person(2)]))
    await settle(town)
    body = {"email": "agent1@interieur.example.org", "given_name": "Anne", "family_name": "Dupont-1"}
    new = (await town.call("POST", AGENTS, by="ada", body=body))[1]["id"]
    assert (await bring(town, file_of([person(1), person(2)])))["done"] == {"adopt": 1, "unchanged": 1}
    assert str(await id_of(town, "000001")) == new


async def test_a_namesake_gets_the_address_that_was_freed(town: Town) -> None:
    await bring(town, file_of([person(1), person(2), person(3)]))
    await bring(town, file_of([person(3)]))
    _, job = await send(
        town, file_of([person(3, courriel="agent2@interieur.example.org"), person(9, courriel="agent1@interieur.example.org")])
    )
    assert job["plan"] == {"reject": 2}, "not before the departure is over"
    await settle(town)
    lines = [person(3, courriel="agent2@interieur.example.org"), person(9, courriel="agent1@interieur.example.org")]
    assert (await bring(town, file_of(lines)))["done"] == {"update": 1, "create": 1}
    here = await aboard(town)
    assert {number: one.email for number, one in here.items()} == {
        "000003": "agent2@interieur.example.org", "000009": "agent1@interieur.example.org",
    }  # fmt: skip


async def test_the_address_of_who_is_leaving_elsewhere_is_not_betrayed(town: Town) -> None:
    await leave(town, "eve")
    eve = person(1, courriel="eve@ecologie.example.org")
    assert list((await reasons(town, (await send(town, file_of([eve])))[1])).values()) == ["email-taken"]
