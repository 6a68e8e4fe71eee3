"""What the portal asks messaging: notices in the agent's words, what was read, preferences, the account."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from parvis_kit import access
from parvis_kit.testing.databases import queries
from parvis_messaging.rules.notices import Names, Notice, span, words_of

from .bridge import invited, joined, nearly_full, shared
from .conftest import SERVER, Town

API = "/api/messaging/v1"


def signed(town: Town, name: str, scope: str = "messaging:read messaging:write") -> str:
    now = town.clock()
    claims = access.Claims(
        iss=access.issuer_of(town.platform.public_url), aud="parvis", iat=int(now.timestamp()),
        exp=int((now + timedelta(hours=1)).timestamp()), sub=town.ids[name], sid=uuid4(), ministry=town.ministries["interieur"],
        roles=("agent",), scope=scope,
    )  # fmt: skip
    return access.sign(claims, town.key)


async def ask(town: Town, method: str, path: str, body: Any = None, *, by: str, scope: str = "messaging:read messaging:write") -> Any:
    headers = {"Authorization": f"Bearer {signed(town, by, scope)}"}
    async with town.client.request(method, f"{API}/{path}", json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None) if answer.content_length else None


async def listed(town: Town, name: str, query: str = "") -> list[Any]:
    status, page = await ask(town, "GET", f"notices{query}", by=name)
    assert status == 200, page
    return list(page["items"])


async def test_notices_are_listed_in_pages_the_newest_first(town: Town) -> None:
    await joined(town, "bob")
    file_id = uuid4()
    await town.hears(shared(town, "ada", "bob", file_id, name="Note.odt"), nearly_full(town, "bob", 80, uuid4()))
    status, first = await ask(town, "GET", "notices?limit=2", by="bob")
    _, second = await ask(town, "GET", f"notices?limit=2&after={first['next']}", by="bob")
    assert [one["kind"] for one in first["items"] + second["items"]] == ["quota", "file_shared", "welcome"]
    assert second["next"] is None
    told = first["items"][1]
    assert told["text"]["title"] == "Ada Martin partage avec vous « Note.odt »"
    assert told["text"]["link"] == f"http://{SERVER}/files/items/{file_id}"
    assert (told["subject_kind"], told["subject_id"], told["actor_id"], told["read"]) == (
        "file", str(file_id), str(town.ids["ada"]), False,
    )  # fmt: skip


async def test_nobody_reads_what_others_are_told(town: Town) -> None:
    await town.hears(shared(town, "ada", "bob"))
    assert await listed(town, "ada") == []
    [told] = await listed(town, "bob")
    assert (await ask(town, "POST", "notices/read", {"ids": [told["id"]]}, by="ada"))[0] == 204
    assert [one["read"] for one in await listed(town, "bob")] == [False]


async def test_what_was_read_is_read_and_all_can_be(town: Town) -> None:
    await town.hears(shared(town, "ada", "bob", name="un"), shared(town, "ada", "bob", name="deux"))
    second, first = await listed(town, "bob")
    for _ in range(2):
        assert (await ask(town, "POST", "notices/read", {"ids": [first["id"]]}, by="bob"))[0] == 204
    assert [one["id"] for one in await listed(town, "bob", "?unread=true")] == [second["id"]]
    assert (await ask(town, "POST", "notices/read", {"all": True}, by="bob"))[0] == 204
    await town.hears(shared(town, "ada", "bob", name="trois"))
    assert [one["read"] for one in await listed(town, "bob")] == [False, True, True]


async def test_a_team_s_notices_are_its_members_but_for_who_did_it(town: Town) -> None:
    await town.team("Projet", "ada", "bob")
    await town.hears(shared(town, "ada", "Projet", kind="team"))
    assert [one["text"]["title"] for one in await listed(town, "bob")] == ["Ada Martin partage avec l'équipe Projet « Budget.ods »"]
    assert await listed(town, "ada") == []
    await town.team("Projet", "ada")
    assert await listed(town, "bob") == []


async def test_preferences_are_kept_and_count(town: Town) -> None:
    _, before = await ask(town, "GET", "preferences", by="bob")
    assert set(before["kinds"]) == {"file_shared", "meeting_invited", "meeting_answered", "quota"}
    assert all(one == {"matrix": True, "portal": True} for one in before["kinds"].values())
    chosen = {"kinds": {"file_shared": {"matrix": True, "portal": False}}}
    status, after = await ask(town, "PUT", "preferences", chosen, by="bob")
    assert status == 200 and after["kinds"]["file_shared"] == {"matrix": True, "portal": False}
    assert (await ask(town, "GET", "preferences", by="bob"))[1] == after
    await town.hears(shared(town, "ada", "bob"), invited(town, "ada", "bob", uuid4()))
    assert [one["kind"] for one in await listed(town, "bob")] == ["meeting_invited"]


@pytest.mark.parametrize(
    ("method", "path", "body", "scope", "status"),
    [
        ("GET", "notices", None, "files:read", 403),
        ("POST", "notices/read", {"all": True}, "messaging:read", 403),
        ("PUT", "preferences", {"kinds": {}}, "messaging:read", 403),
        ("POST", "notices/read", {}, "messaging:write", 422),
        ("POST", "notices/read", {"ids": ["no id"]}, "messaging:write", 422),
        ("POST", "notices/read", {"ids": [str(uuid4())] * 201}, "messaging:write", 422),
        ("GET", "notices?after=x", None, "messaging:read", 422),
        ("GET", "notices?after=99999999999999999999999", None, "messaging:read", 422),
        ("PUT", "preferences", {"kinds": {"weather": {"matrix": True, "portal": True}}}, "messaging:write", 422),
        ("PUT", "preferences", {"kinds": {"quota": {"matrix": 1, "portal": True}}}, "messaging:write", 422),
    ],
)
async def test_what_is_wrong_is_refused(town: Town, method: str, path: str, body: Any, scope: str, status: int) -> None:
    assert (await ask(town, method, path, body, by="bob", scope=scope))[0] == status


async def test_the_account_says_what_to_type_into_a_client(town: Town) -> None:
    assert await ask(town, "GET", "account", by="bob") == (
        200, {"user_id": f"@bob.martin:{SERVER}", "server_name": SERVER, "homeserver_url": f"http://{SERVER}"},
    )  # fmt: skip


async def test_the_number_of_questions_does_not_grow_with_the_list(town: Town) -> None:
    await listed(town, "bob")  # the first one asks for the key as well
    counts = []
    for count in (1, 30):
        await town.hears(*(shared(town, "ada", "bob", name=f"{count} {number}") for number in range(count)))
        with queries(town.messaging.database) as sent:
            await listed(town, "bob", "?limit=100")
        counts.append(len(sent))
    assert counts[0] == counts[1]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """November 2026, in Paris: an hour before it in UTC."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC) - timedelta(hours=1)


@pytest.mark.parametrize(
    ("starts", "ends", "french", "english"),
    [
        (at(30, 14), at(30, 15, 5), "lundi 30 novembre 2026, de 14 h à 15 h 05", "Monday 30 November 2026, from 14:00 to 15:05"),
        (at(1, 0), at(2, 0), "dimanche 1er novembre 2026, toute la journée", "Sunday 1 November 2026, all day"),
        (
            at(2, 0), at(4, 0), "du lundi 2 novembre 2026 au mardi 3 novembre 2026",
            "from Monday 2 November 2026 to Tuesday 3 November 2026",
        ),
        (
            at(2, 22), at(3, 1, 30), "du lundi 2 novembre 2026 à 22 h au mardi 3 novembre 2026 à 1 h 30",
            "from Monday 2 November 2026 at 22:00 to Tuesday 3 November 2026 at 01:30",
        ),
    ],
)  # fmt: skip
def test_times_are_spelled_for_people_as_it_is_in_paris(starts: datetime, ends: datetime, french: str, english: str) -> None:
    assert (span(starts, ends, "fr"), span(starts, ends, "en")) == (french, english)


def test_every_kind_has_its_words_in_both_languages() -> None:
    details: dict[str, Any] = {
        "name": "Budget", "role": "editor", "starts_at": at(3, 9).isoformat(), "ends_at": at(3, 10).isoformat(), "recurs": True,
        "answer": "tentative", "percent": 90, "used_bytes": 9 * 2**30, "limit_bytes": 10 * 2**30,
    }  # fmt: skip
    kinds: Any = (
        "welcome", "file_shared", "meeting_invited", "meeting_moved", "meeting_withdrawn", "meeting_answered", "answer_noted", "quota",
    )  # fmt: skip
    for kind in kinds:
        notice = Notice(uuid4(), kind, "none", None, UUID(int=1), None, UUID(int=2), details, at(3, 9))
        said = [words_of(notice, language, Names("Ada Martin", "", "Bob"), "https://parvis.test/") for language in ("fr", "en")]
        assert said[0].title != said[1].title and all(one.link == "https://parvis.test/" for one in said), kind
        assert all(one.title and "None" not in one.body and "{" not in one.body for one in said), kind
