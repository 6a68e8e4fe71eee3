"""A real Matrix client at the loopback homeserver: it signs in, syncs, reads, writes, answers in threads, reacts."""

import asyncio

import nio
from nio.api import RelationshipType

from .conftest import Town


async def test_a_real_client_signs_in_writes_and_another_reads(town: Town) -> None:
    ada, bob = await town.nio("ada"), await town.nio("bob")
    made = await ada.room_create(name="Projet", invite=[town.id_of("bob")])
    assert isinstance(made, nio.RoomCreateResponse), made
    first = await bob.sync(timeout=0, full_state=True)
    assert isinstance(first, nio.SyncResponse), first
    assert list(first.rooms.invite) == [made.room_id]
    assert isinstance(await bob.join(made.room_id), nio.JoinResponse)
    sent = await ada.room_send(made.room_id, "m.room.message", {"msgtype": "m.text", "body": "Bonjour"})
    assert isinstance(sent, nio.RoomSendResponse), sent
    got = await bob.sync(timeout=0)
    assert isinstance(got, nio.SyncResponse)
    events = got.rooms.join[made.room_id].timeline.events
    assert [one.body for one in events if isinstance(one, nio.RoomMessageText)] == ["Bonjour"]
    assert bob.rooms[made.room_id].display_name == "Projet"
    assert {one.display_name for one in bob.rooms[made.room_id].users.values()} == {"Ada Martin", "Bob Martin"}


async def test_a_waiting_client_is_told_at_once(town: Town) -> None:
    ada, bob = await town.nio("ada"), await town.nio("bob")
    made = await ada.room_create(invite=[town.id_of("bob")], is_direct=True)
    assert isinstance(made, nio.RoomCreateResponse)
    await bob.join(made.room_id)
    await bob.sync(timeout=0)
    waiting = asyncio.create_task(bob.sync(timeout=30_000))
    while not town.home.waiters.all:
        await asyncio.sleep(0.01)
    await ada.room_send(made.room_id, "m.room.message", {"msgtype": "m.text", "body": "Tout de suite"})
    got = await asyncio.wait_for(waiting, 5)
    assert isinstance(got, nio.SyncResponse)
    assert [getattr(one, "body", "") for one in got.rooms.join[made.room_id].timeline.events] == ["Tout de suite"]


async def test_a_thread_is_answered_and_reacted_to_and_is_read_back(town: Town) -> None:
    ada, bob = await town.nio("ada"), await town.nio("bob")
    made = await ada.room_create(invite=[town.id_of("bob")])
    assert isinstance(made, nio.RoomCreateResponse)
    room_id = made.room_id
    await bob.join(room_id)
    root = await ada.room_send(room_id, "m.room.message", {"msgtype": "m.text", "body": "rapport.odt"})
    assert isinstance(root, nio.RoomSendResponse)
    relation = {"rel_type": "m.thread", "event_id": root.event_id, "is_falling_back": True, "m.in_reply_to": {"event_id": root.event_id}}
    answer = {"msgtype": "m.text", "body": "Merci", "m.relates_to": relation}
    replied = await bob.room_send(room_id, "m.room.message", answer)
    assert isinstance(replied, nio.RoomSendResponse)
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": root.event_id, "key": "👍"}}
    assert isinstance(await bob.room_send(room_id, "m.reaction", reaction), nio.RoomSendResponse)
    got = await ada.room_messages(room_id, start="", direction=nio.MessageDirection.back)
    assert isinstance(got, nio.RoomMessagesResponse), got
    kinds = [type(one).__name__ for one in got.chunk[:3]]
    assert kinds == ["ReactionEvent", "RoomMessageText", "RoomMessageText"], kinds
    found = [one async for one in ada.room_get_event_relations(room_id, root.event_id, RelationshipType.thread)]
    assert [one.event_id for one in found] == [replied.event_id]
    [thread] = [one async for one in ada.room_get_threads(room_id)]
    assert thread.event_id == root.event_id


async def test_a_message_is_edited_and_taken_back(town: Town) -> None:
    ada = await town.nio("ada")
    made = await ada.room_create()
    assert isinstance(made, nio.RoomCreateResponse)
    sent = await ada.room_send(made.room_id, "m.room.message", {"msgtype": "m.text", "body": "Lundi"})
    assert isinstance(sent, nio.RoomSendResponse)
    new = {"msgtype": "m.text", "body": "Mardi"}
    edit = {**new, "body": "* Mardi", "m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": sent.event_id}}
    await ada.room_send(made.room_id, "m.room.message", edit)
    got = await ada.room_get_event(made.room_id, sent.event_id)
    assert isinstance(got, nio.RoomGetEventResponse)
    assert got.event.source["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"] == "Mardi"
    assert isinstance(await ada.room_redact(made.room_id, sent.event_id, "faute"), nio.RoomRedactResponse)
    got = await ada.room_get_event(made.room_id, sent.event_id)
    assert isinstance(got, nio.RoomGetEventResponse) and got.event.source["content"] == {}


async def test_a_picture_goes_up_and_comes_down(town: Town) -> None:
    ada, bob = await town.nio("ada"), await town.nio("bob")
    sent, _ = await ada.upload(lambda *_: b"\x89PNG picture", content_type="image/png", filename="a b.png", filesize=12)
    assert isinstance(sent, nio.UploadResponse), sent
    got = await bob.download(sent.content_uri)
    assert isinstance(got, nio.MemoryDownloadResponse), got
    assert (got.body, got.content_type, got.filename) == (b"\x89PNG picture", "image/png", "a b.png")


async def test_who_signs_out_is_out(town: Town) -> None:
    ada = await town.nio("ada")
    assert isinstance(await ada.whoami(), nio.WhoamiResponse)
    token = ada.access_token
    assert isinstance(await ada.logout(), nio.LogoutResponse)
    ada.access_token = token
    said = await ada.whoami()
    assert isinstance(said, nio.WhoamiError) and said.status_code == "M_UNKNOWN_TOKEN"
