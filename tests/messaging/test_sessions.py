"""Who may sign in to the homeserver, and for how long: by an app password for messages, as long as it and its agent stand."""

import asyncio

import pytest
import sqlalchemy as sa
from parvis_contracts.directory import AgentLeft, AgentReinstated

from .conftest import SERVER, Town, deliver


async def is_out(town: Town, who: str) -> bool:
    status, body = await town.call("GET", "account/whoami", by=who)
    return status == 401 and body["errcode"] == "M_UNKNOWN_TOKEN"


@pytest.mark.parametrize("user", ["ada.martin", f"@ada.martin:{SERVER}", "Ada.Martin", "ada@example.org", "ADA@example.org"])
async def test_one_signs_in_by_user_id_localpart_or_address(town: Town, user: str) -> None:
    said = await town.ok("POST", "login", town.login_body("ada", user))
    assert said["user_id"] == f"@ada.martin:{SERVER}"
    town.tokens["ada"] = said["access_token"]
    who = await town.ok("GET", "account/whoami", by="ada")
    assert (who["user_id"], who["device_id"]) == (said["user_id"], said["device_id"])


async def test_by_an_address_as_a_third_party_identifier_too(town: Town) -> None:
    body = town.login_body("ada") | {"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "ada@example.org"}}
    assert (await town.ok("POST", "login", body))["user_id"] == town.id_of("ada")


async def test_namesakes_are_numbered_and_nobody_is_called_as_parvis_is(town: Town) -> None:
    await town.add("ada2", given_name="Ada", family_name="Martin")
    assert (await town.ok("POST", "login", town.login_body("ada2", "ada2@example.org")))["user_id"] == f"@ada.martin2:{SERVER}"
    await town.add("par", given_name="Parvis", family_name="")
    assert (await town.ok("POST", "login", town.login_body("par", "par@example.org")))["user_id"] == f"@parvis-1:{SERVER}"
    await town.add("lea", given_name="Léa", family_name="Le Goff-O’Neil")
    assert (await town.ok("POST", "login", town.login_body("lea", "lea@example.org")))["user_id"] == f"@lea.le-goff-o-neil:{SERVER}"


async def test_a_wrong_password_and_another_s_are_refused_alike(town: Town) -> None:
    wrong = town.login_body("ada") | {"password": "parvis_abcdefghijkl_wrong"}
    others = town.login_body("ada") | {"password": str(town.passwords["bob"])}
    nobody = town.login_body("ada", "nobody.here")
    for body in (wrong, others, nobody, town.login_body("ada") | {"password": "hunter2"}):
        status, said = await town.call("POST", "login", body)
        assert (status, said["errcode"]) == (403, "M_FORBIDDEN"), said


async def test_who_guesses_for_long_is_told_when_to_come_back(town: Town) -> None:
    wrong = town.login_body("ada") | {"password": "parvis_abcdefghijkl_wrong"}
    for _ in range(20):
        status, said = await town.call("POST", "login", wrong)
        if status == 429:
            break
    assert said["errcode"] == "M_LIMIT_EXCEEDED" and said["retry_after_ms"] >= 1000


async def test_an_app_password_for_something_else_does_not_let_in(town: Town) -> None:
    await town.hears(town.credential_of("ada", scopes=("dav:files",)))
    status, said = await town.call("POST", "login", town.login_body("ada"))
    assert (status, said["errcode"]) == (403, "M_FORBIDDEN")


async def test_a_revoked_app_password_is_out_at_once(town: Town) -> None:
    await town.sign_in("ada", "bob")
    await town.hears(town.credential_of("ada", state="revoked"))
    assert await is_out(town, "ada")
    assert not await is_out(town, "bob")
    assert (await town.call("POST", "login", town.login_body("ada")))[0] == 403


@pytest.mark.parametrize("state", ["suspended", "left"])
async def test_who_may_not_act_any_more_is_out_at_once(town: Town, state: str) -> None:
    await town.sign_in("ada")
    await town.hears(town.state_of("ada", state=state))
    assert await is_out(town, "ada")
    await town.hears(town.state_of("ada"))
    assert not await is_out(town, "ada")


async def test_a_guest_ends_with_their_last_day(town: Town) -> None:
    await town.hears(town.state_of("ada", expires_at=town.clock.now.replace(hour=12)))
    await town.sign_in("ada")
    town.later(hours=4)
    assert await is_out(town, "ada")


async def test_a_long_poll_ends_when_its_password_is_revoked(town: Town) -> None:
    await town.sign_in("ada")
    since = (await town.sync("ada"))["next_batch"]
    waiting = asyncio.create_task(town.call("GET", f"sync?timeout=40000&since={since}", by="ada"))
    while not town.home.waiters.all:
        await asyncio.sleep(0.01)
    await town.hears(town.credential_of("ada", state="revoked"))
    await town.look_after_waiters()
    status, said = await asyncio.wait_for(waiting, 5)
    assert (status, said["errcode"]) == (401, "M_UNKNOWN_TOKEN")


async def test_a_leaver_s_sessions_end_and_their_rooms_are_left_and_it_is_said(town: Town) -> None:
    await town.sign_in("ada", "bob")
    room = await town.room("ada", "bob")
    left = AgentLeft(at=town.clock(), about=str(town.ids["bob"]), agent_id=town.ids["bob"], ministry_id=town.ministries["interieur"])
    await deliver(town)
    await town.hears(left, left)
    assert await is_out(town, "bob"), "at once, whenever their rooms are left"
    await deliver(town)
    members = await town.ok("GET", f"rooms/{room}/joined_members", by="ada")
    assert set(members["joined"]) == {town.id_of("ada")}
    assert await town.said("messaging.leaver") == ["messaging.leaver.settled.v1"]
    back = AgentReinstated(at=town.clock(), about=str(town.ids["bob"]), agent_id=town.ids["bob"])
    await town.hears(back)
    assert await is_out(town, "bob"), "they sign in anew"
    await town.sign_in("bob")
    assert (await town.call("GET", f"rooms/{room}/joined_members", by="bob"))[0] == 403, "they are invited anew"


async def test_each_agent_s_account_is_said_to_be_ready_once(town: Town) -> None:
    await town.hears(town.state_of("ada"), town.state_of("ada", family_name="Dupont"))
    await deliver(town)
    assert await town.said("messaging.account") == ["messaging.account.ready.v1"] * 3
    await town.sign_in("ada")
    assert (await town.ok("GET", f"profile/{town.id_of('ada')}", by="ada"))["displayname"] == "Ada Dupont"


async def test_signed_in_again_on_a_device_its_last_token_is_none(town: Town) -> None:
    await town.sign_in("ada")
    for _ in range(2):
        said = await town.ok("POST", "login", town.login_body("ada", device_id="PHONE"))
        first, town.tokens["phone"] = town.tokens.get("phone"), said["access_token"]
    town.tokens["first"] = str(first)
    assert await is_out(town, "first") and not await is_out(town, "phone") and not await is_out(town, "ada")
    assert len((await town.ok("GET", "devices", by="ada"))["devices"]) == 2
    await town.ok("POST", "logout/all", by="ada")
    assert await is_out(town, "ada") and await is_out(town, "phone")


async def test_the_tokens_themselves_are_not_kept(town: Town) -> None:
    await town.sign_in("ada")
    async with town.messaging.database.read() as conn:
        rows = (await conn.execute(sa.text("SELECT * FROM messaging.device"))).all()
    assert rows and town.tokens["ada"] not in str(rows)
