"""What happens in the suite arrives in rooms: once, in the right one and in its thread; and an answer there is a fact."""

from datetime import timedelta
from uuid import uuid4

import nio
import pytest
from parvis_contracts.directory import AgentLeft, AgentReinstated
from parvis_kit.testing.waiting import until

from .bridge import (
    answered,
    deliver,
    facts,
    invited,
    joined,
    members,
    messages,
    nearly_full,
    room_of,
    shared,
    team_gone,
    thread,
    told,
    withdrawn,
)
from .conftest import ON_EVERY_HOMESERVER, SERVER, Town


@pytest.fixture
async def bridged(town: Town) -> Town:
    """Everybody has joined, is signed in, and was welcomed."""
    await joined(town, "ada", "bob")
    await deliver(town)
    await town.sign_in("ada", "bob")
    return town


async def test_who_joins_is_welcomed_in_a_room_of_their_own(bridged: Town) -> None:
    room_id = await room_of(bridged, "ada")
    assert await told(bridged, "ada") == ["Bienvenue dans Parvis, Ada"]
    assert await members(bridged, "ada", room_id) == {bridged.id_of("ada"), f"@parvis:{SERVER}"}
    state = await bridged.ok("GET", f"rooms/{room_id}/state/fr.parvis.link", by="ada")
    assert state == {"kind": "direct", "agent_id": str(bridged.ids["ada"])}
    assert {one["agent_id"] for one in await facts(bridged, "messaging.room.linked.v1")} >= {str(bridged.ids["ada"])}
    assert [one["agent_id"] for one in await facts(bridged, "messaging.account.ready.v1")].count(str(bridged.ids["ada"])) == 1


@ON_EVERY_HOMESERVER
async def test_who_joins_before_anything_is_known_of_them_is_welcomed_when_it_is(town: Town) -> None:
    town.ids["zoe"] = uuid4()
    await joined(town, "zoe")
    await deliver(town)
    await town.add("zoe", given_name="Zoé")
    await deliver(town)
    await town.sign_in("zoe")
    assert await told(town, "zoe") == ["Bienvenue dans Parvis, Zoé"]


@ON_EVERY_HOMESERVER
async def test_a_shared_file_is_told_with_who_and_a_link_and_answers_go_into_its_thread(bridged: Town) -> None:
    file_id = uuid4()
    await bridged.hears(shared(bridged, "ada", "bob", file_id))
    await deliver(bridged)
    room_id = await room_of(bridged, "bob")
    notice = (await messages(bridged, "bob", room_id))[-1]
    assert notice["content"]["body"].splitlines()[0] == f"Ada {bridged.family} partage avec vous « Budget.ods »"
    assert notice["content"]["body"].splitlines()[-1] == f"http://{SERVER}/files/items/{file_id}"
    written = await bridged.say("bob", room_id, "Merci, je regarde.", **thread(notice["event_id"]))
    await bridged.say("bob", room_id, "Et bonjour.")
    await deliver(bridged)
    posted = await facts(bridged, "messaging.message.posted.v1")
    assert [(one["subject_kind"], one["subject_id"]) for one in posted] == [("file", str(file_id)), ("none", None)]
    assert posted[0]["message_id"] == written and posted[0]["agent_id"] == str(bridged.ids["bob"])
    assert posted[0]["ministry_id"] == str(bridged.ministries["interieur"])
    assert "Merci" not in str(posted)
    await bridged.hears(shared(bridged, "ada", "bob", file_id, name="Budget v2.ods"))
    await deliver(bridged)
    second = (await messages(bridged, "bob", room_id))[-1]
    assert second["content"]["m.relates_to"]["event_id"] == notice["event_id"]
    assert second["content"]["m.relates_to"]["rel_type"] == "m.thread" and second["content"]["m.relates_to"]["is_falling_back"]


@ON_EVERY_HOMESERVER
async def test_a_fact_that_comes_twice_is_told_once(bridged: Town) -> None:
    fact = shared(bridged, "ada", "bob")
    await bridged.hears(fact, fact)
    await deliver(bridged)
    assert len(await told(bridged, "bob")) == 2


async def test_what_was_shared_while_messaging_was_away_for_hours_is_told(bridged: Town) -> None:
    """In one batch: the first of it seemed late to the last, which then waited for itself."""
    away = timedelta(hours=3)
    facts_of_the_night = [shared(bridged, "ada", "bob", name=f"{number}.ods") for number in range(4)]
    for number, fact in enumerate(facts_of_the_night):
        facts_of_the_night[number] = fact.model_copy(update={"at": fact.at - away + number * timedelta(minutes=40)})
    await bridged.hears(*facts_of_the_night)
    await deliver(bridged)
    assert len(await told(bridged, "bob")) == 1 + len(facts_of_the_night)


async def test_an_english_agent_reads_english(town: Town) -> None:
    await town.add("eve", "ecologie", language="en")
    await town.hears(shared(town, "ada", "eve"))
    await deliver(town)
    await town.sign_in("eve")
    assert await told(town, "eve") == ["Ada Martin shares “Budget.ods” with you"]


async def test_a_team_is_told_in_english_when_all_of_it_reads_english_and_in_french_otherwise(town: Town) -> None:
    for name in ("eve", "oscar"):
        await town.add(name, "ecologie", language="en")
    await town.team("Project", "eve", "oscar")
    await town.team("Mixte", "eve", "bob")
    for team in ("Project", "Mixte"):
        await town.hears(shared(town, "ada", team, kind="team"))
    await deliver(town)
    await town.sign_in("eve")
    english, french = [(await messages(town, "eve", await room_of(town, team, "team")))[-1] for team in ("Project", "Mixte")]
    assert "shares “Budget.ods”" in english["content"]["body"] and "partage" in french["content"]["body"]


@ON_EVERY_HOMESERVER
async def test_a_team_has_a_room_that_its_members_follow(bridged: Town) -> None:
    await bridged.add("cleo")
    await bridged.team("Projet", "ada", "bob")
    await deliver(bridged)
    room_id = await room_of(bridged, "Projet", "team")
    assert await members(bridged, "ada", room_id) == {bridged.id_of("ada"), bridged.id_of("bob"), f"@parvis:{SERVER}"}
    await bridged.team("Projet", "ada", "cleo")
    await deliver(bridged)
    assert await members(bridged, "ada", room_id) == {bridged.id_of("ada"), bridged.id_of("cleo"), f"@parvis:{SERVER}"}
    assert (await bridged.ok("GET", f"rooms/{room_id}/state/m.room.name", by="ada"))["name"] == "Projet"
    await team_gone(bridged, "Projet")
    await deliver(bridged)
    assert (await bridged.call("GET", f"rooms/{room_id}/joined_members", by="ada"))[0] == 403


async def test_who_is_in_a_team_before_they_have_an_account_comes_in_with_it(town: Town) -> None:
    town.ids["zoe"] = uuid4()
    await town.team("Projet", "ada", "zoe")
    await deliver(town)
    await town.add("zoe")
    await deliver(town)
    await town.sign_in("ada")
    assert f"@zoe.martin:{SERVER}" in await members(town, "ada", await room_of(town, "Projet", "team"))


async def test_who_leaves_a_team_s_room_is_not_fetched_back(bridged: Town) -> None:
    await bridged.team("Projet", "ada", "bob")
    await deliver(bridged)
    room_id = await room_of(bridged, "Projet", "team")
    await bridged.ok("POST", f"rooms/{room_id}/leave", {}, by="bob")
    await bridged.team("Projet", "ada", "bob")
    await deliver(bridged)
    assert bridged.id_of("bob") not in await members(bridged, "ada", room_id)


async def test_a_file_shared_with_a_team_is_told_in_its_room(bridged: Town) -> None:
    await bridged.team("Projet", "ada", "bob")
    await bridged.hears(shared(bridged, "ada", "Projet", kind="team"))
    await deliver(bridged)
    found = await messages(bridged, "bob", await room_of(bridged, "Projet", "team"))
    assert found[-1]["content"]["body"].startswith(f"Ada {bridged.family} partage avec l'équipe Projet « Budget.ods »")
    assert len(await told(bridged, "bob")) == 1


@ON_EVERY_HOMESERVER
async def test_a_meeting_is_told_moved_and_withdrawn_in_one_thread(bridged: Town) -> None:
    meeting = uuid4()
    await bridged.hears(invited(bridged, "ada", "bob", meeting))
    await bridged.hears(invited(bridged, "ada", "bob", meeting))
    await bridged.hears(invited(bridged, "ada", "bob", meeting, hours=24, sequence=1))
    await bridged.hears(withdrawn(bridged, "ada", "bob", meeting), withdrawn(bridged, "ada", "bob", meeting))
    await deliver(bridged)
    found = (await messages(bridged, "bob", await room_of(bridged, "bob")))[1:]
    assert [one["content"]["body"].splitlines()[:2] for one in found] == [
        [f"Ada {bridged.family} vous invite à une réunion", "lundi 30 novembre 2026, de 14 h à 15 h 30"],
        [f"Ada {bridged.family} déplace une réunion", "mardi 1er décembre 2026, de 14 h à 15 h 30"],
        [f"Ada {bridged.family} retire son invitation à une réunion", "mardi 1er décembre 2026, de 14 h à 15 h 30"],
    ]
    assert [one["content"].get("m.relates_to", {}).get("event_id") for one in found] == [None, found[0]["event_id"], found[0]["event_id"]]


@pytest.mark.parametrize(
    "said, command",
    [("!oui", "accept"), ("!non merci", "decline"), ("!peut-être", "tentative"), ("!Yes", "accept"), ("👍🏽", "accept"), ("👎", "decline"),
     ("🤔", "tentative"), ("oui", None), ("🎉", None)],
)  # fmt: skip
async def test_an_answer_in_a_meeting_s_thread_is_a_fact(bridged: Town, said: str, command: str | None) -> None:
    meeting = uuid4()
    await bridged.hears(invited(bridged, "ada", "bob", meeting))
    await deliver(bridged)
    room_id = await room_of(bridged, "bob")
    root = (await messages(bridged, "bob", room_id))[-1]["event_id"]
    if said.isascii() or "!" in said:
        await bridged.say("bob", room_id, said, **thread(root))
    else:
        reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": root, "key": said}}
        await bridged.ok("PUT", f"rooms/{room_id}/send/m.reaction/1", reaction, by="bob")
    await deliver(bridged)
    found = await facts(bridged, "messaging.command.received.v1")
    wanted = [(command, str(meeting), str(bridged.ids["bob"]), str(meeting))] if command else []
    assert [(one["command"], one["meeting_id"], one["agent_id"], one["about"]) for one in found] == wanted


async def test_a_command_outside_of_a_meeting_s_thread_is_a_message(bridged: Town) -> None:
    await bridged.hears(shared(bridged, "ada", "bob"))
    await deliver(bridged)
    room_id = await room_of(bridged, "bob")
    await bridged.say("bob", room_id, "!oui")
    await bridged.say("bob", room_id, "!oui", **thread((await messages(bridged, "bob", room_id))[1]["event_id"]))
    await deliver(bridged)
    assert await facts(bridged, "messaging.command.received.v1") == []
    assert len(await facts(bridged, "messaging.message.posted.v1")) == 2


@ON_EVERY_HOMESERVER
async def test_what_is_written_elsewhere_is_not_said(bridged: Town) -> None:
    room_id = await bridged.room("ada", "bob")
    await bridged.say("ada", room_id, "Entre nous")
    await deliver(bridged)
    assert await facts(bridged, "messaging.message.posted.v1") == []


async def test_an_edit_is_no_new_message(bridged: Town) -> None:
    room_id = await room_of(bridged, "bob")
    first = await bridged.say("bob", room_id, "Bonjour")
    edit = {"m.new_content": {"msgtype": "m.text", "body": "Bonsoir"}, "m.relates_to": {"rel_type": "m.replace", "event_id": first}}
    await bridged.say("bob", room_id, "* Bonsoir", **edit)
    await deliver(bridged)
    assert [one["message_id"] for one in await facts(bridged, "messaging.message.posted.v1")] == [first]


async def test_answers_reach_the_organizer_and_what_was_answered_in_a_room_is_confirmed_there(bridged: Town) -> None:
    meeting = uuid4()
    await bridged.hears(invited(bridged, "ada", "bob", meeting), answered(bridged, "bob", "ada", meeting, "declined", "messaging"))
    await deliver(bridged)
    assert (await told(bridged, "ada"))[-1] == f"Bob {bridged.family} décline votre réunion"
    assert (await told(bridged, "bob"))[-1] == "C'est noté : vous déclinez."
    assert "lundi 30 novembre 2026" in (await messages(bridged, "ada", await room_of(bridged, "ada")))[-1]["content"]["body"]


@ON_EVERY_HOMESERVER
async def test_a_quota_alert_is_quiet_and_is_edited_while_it_lasts(bridged: Town) -> None:
    space = uuid4()
    await bridged.hears(nearly_full(bridged, "bob", 80, space), nearly_full(bridged, "bob", 90, space))
    await deliver(bridged)
    found = (await messages(bridged, "bob", await room_of(bridged, "bob")))[1:]
    assert [one["content"]["msgtype"] for one in found] == ["m.notice", "m.notice"]
    assert found[0]["content"]["body"].startswith("Votre espace est plein à 80 %\n8,0 Gio sur 10,0")
    assert found[1]["content"]["m.relates_to"] == {"rel_type": "m.replace", "event_id": found[0]["event_id"]}
    assert found[1]["content"]["m.new_content"]["body"].startswith("Votre espace est plein à 90 %")


async def test_that_a_shared_space_is_nearly_full_is_told_to_those_who_manage_it(bridged: Town) -> None:
    await bridged.team("Projet", "ada", "bob")
    fact = nearly_full(bridged, "bob", 90, uuid4())
    managed = {"kind": "shared", "owner_id": None, "manager_ids": (bridged.ids["bob"],), "manager_team_ids": (bridged.ids["Projet"],)}
    await bridged.hears(fact.model_copy(update=managed))
    await deliver(bridged)
    assert (await told(bridged, "bob"))[1:] == ["Un espace partagé dont vous avez la gestion est plein à 90 %"]
    in_team = await messages(bridged, "ada", await room_of(bridged, "Projet", "team"))
    assert [one["content"]["msgtype"] for one in in_team] == ["m.notice"]
    assert len(await told(bridged, "ada")) == 1


async def out_of(bridged: Town, room_id: str, name: str) -> bool:
    return bridged.id_of(name) not in await members(bridged, "ada", room_id)


@ON_EVERY_HOMESERVER
async def test_who_leaves_is_out_of_all_rooms_and_comes_back_into_them(bridged: Town) -> None:
    await bridged.team("Projet", "ada", "bob")
    await deliver(bridged)
    room_id, bob = await room_of(bridged, "Projet", "team"), bridged.ids["bob"]
    of, now = bridged.ministries["interieur"], bridged.clock()
    await bridged.hears(AgentLeft(at=now, about=str(bob), agent_id=bob, ministry_id=of))
    await bridged.hears(shared(bridged, "ada", "bob"))
    await deliver(bridged)
    assert (await bridged.call("GET", "account/whoami", by="bob"))[0] == 401
    await until(lambda: out_of(bridged, room_id, "bob"), "bob is out of the room")  # Synapse does it a moment later
    [settled] = await facts(bridged, "messaging.leaver.settled.v1")
    assert settled["agent_id"] == str(bob) and "Matrix account closed" in settled["done"]
    await bridged.hears(AgentReinstated(at=now, about=str(bob), agent_id=bob))
    bridged.later(120)
    await deliver(bridged)
    assert bridged.id_of("bob") in await members(bridged, "ada", room_id)
    await bridged.sign_in("bob")
    assert (await told(bridged, "bob"))[0] == "Bienvenue dans Parvis, Bob"


@ON_EVERY_HOMESERVER
async def test_a_real_client_reads_a_notice_and_answers_in_its_thread(bridged: Town) -> None:
    file_id = uuid4()
    await bridged.hears(shared(bridged, "ada", "bob", file_id))
    await deliver(bridged)
    bob = await bridged.nio("bob")
    synced = await bob.sync(timeout=0, full_state=True)
    assert isinstance(synced, nio.SyncResponse), synced
    [(room_id, room)] = synced.rooms.join.items()
    notice = room.timeline.events[-1]
    assert isinstance(notice, nio.RoomMessageText) and notice.body.startswith(f"Ada {bridged.family} partage avec vous")
    content = {"msgtype": "m.text", "body": "Lu", **thread(notice.event_id)}
    assert isinstance(await bob.room_send(room_id, "m.room.message", content), nio.RoomSendResponse)
    await deliver(bridged)
    [posted] = await facts(bridged, "messaging.message.posted.v1")
    assert (posted["subject_kind"], posted["subject_id"]) == ("file", str(file_id))
