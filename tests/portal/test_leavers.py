"""Who leaves, on the administrator's pages: what each service has done, and what becomes of the meetings that they organize."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from parvis_kit.testing.waiting import until

LEAVERS = "/onboarding/leavers"


@dataclass
class Leaver:
    """An agent of the administrator's ministry, made for one test."""

    by: Any
    id: str
    email: str
    name: str
    tag: str

    @property
    def way(self) -> str:
        return f"{LEAVERS}/{self.id}"

    async def ask(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> tuple[int, Any]:
        asked = {"Authorization": f"Bearer {token or self.by.suite.person('administrator')['token']}", **headers}
        async with self.by.session.request(method, self.by.suite.base + path, json=body, headers=asked) as answer:
            return answer.status, (await answer.json() if answer.content_length or answer.content_type.endswith("json") else None)

    async def leave(self) -> None:
        status, _ = await self.ask("PATCH", f"/api/directory/v1/agents/{self.id}", {"state": "left"}, **{"If-Match": self.tag})
        assert status == 200

    async def sees(self, *words: str) -> None:
        """On their own page, in time."""

        async def are_there() -> bool:
            text = await self.by.see(self.way)
            assert self.by.status == 200, text
            return all(one in text for one in words)

        await until(are_there, f"{words} are on the page", 60)


@pytest.fixture
async def leaver(visit: Any) -> Leaver:
    return await one_more(await visit("administrator"))


async def one_more(by: Any) -> Leaver:
    one = uuid4().hex[:8]
    headers = {"Authorization": f"Bearer {by.suite.person('administrator')['token']}", "Idempotency-Key": one}
    body = {"email": f"part.{one}@interieur.example.org", "given_name": "Pars", "family_name": f"Bientôt-{one}"}
    async with by.session.post(f"{by.suite.base}/api/directory/v1/agents", json=body, headers=headers) as answer:
        made = await answer.json()
        assert answer.status == 201, made
        return Leaver(by, made["id"], body["email"], body["family_name"], answer.headers["ETag"])


async def in_the_list(leaver: Leaver) -> str:
    """Their row."""
    text = await leaver.by.see("/onboarding")
    assert leaver.name in text, "who has just left is on the first page"
    return str(text.partition(leaver.name)[2].partition("</tr>")[0])


async def test_who_left_stands_there_with_what_each_service_has_done_in_words(leaver: Leaver) -> None:
    await leaver.leave()
    assert "tag" in await in_the_list(leaver)
    await leaver.sees("agendas figés", "espace personnel figé", "n’est plus compté après la fin du mois")
    assert "aucune à venir" in await in_the_list(leaver), "they organized nothing"


async def meeting_of(organizer: Any, invited: Any, title: str) -> None:
    """Made by the page; the invitation stands in the other's agenda."""
    await organizer.see("/agenda/meet")
    day = f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}"
    email = invited.suite.person("colleague")["email"]
    await organizer.post("/agenda/meet", {"title": title, "email": email, "day": day, "hour": "10:00", "minutes": "30", "do": "make"})
    assert organizer.status == 200 and title in organizer.text, organizer.text

    async def is_invited() -> bool:
        return title in await invited.see("/agenda")

    await until(is_invited, "the invitation is there", 60)


async def somebody(visit: Any, who: str) -> Leaver:
    """Of the demonstration: they sign in, so they can organize a meeting first."""
    by = await visit("administrator")
    person = by.suite.person(who)
    leaver = Leaver(by, person["id"], person["email"], person["email"], "")
    async with by.session.get(
        f"{by.suite.base}/api/directory/v1/agents/{leaver.id}",
        headers={"Authorization": f"Bearer {by.suite.person('administrator')['token']}"},
    ) as answer:
        leaver.tag = answer.headers["ETag"]
    return leaver


async def test_meetings_of_one_who_left_are_kept_until_they_are_handed_over_and_that_is_done_at_once(visit: Any) -> None:
    leaver, colleague, title = await somebody(visit, "leaver"), await visit("colleague"), f"Comité {uuid4().hex[:8]}"
    await meeting_of(await (await visit()).sign_in("leaver"), colleague, title)
    await leaver.leave()

    async def is_kept() -> bool:
        return "réunions gardées" in await in_the_list(leaver)

    await until(is_kept, "calendar has done its part", 60)
    text = await leaver.by.see(leaver.way)
    assert "Une réunion à venir" in text or "réunions à venir" in text
    assert chosen(text) == "Les garder" and "Fait le" in text and "tout de suite" in text
    for form, field, words in (
        ({"meetings": "hand_over", "email": ""}, "email", "Indiquez l’adresse"),
        ({"meetings": "hand_over", "email": "nobody@example.org"}, "email", "nobody@example.org"),
        ({"meetings": "hand_over", "email": leaver.email}, "email", leaver.email),
        ({"meetings": "burn"}, "meetings", "Choisissez ce que deviennent"),
    ):
        text = await leaver.by.post(f"{leaver.way}/meetings", form)
        assert leaver.by.status == 422 and f'href="#field-{field}"' in text and words in text, (form, text)
        assert chosen(text) == "Les garder", "nothing is done"
    email = leaver.by.suite.person("agent")["email"]
    text = await leaver.by.post(f"{leaver.way}/meetings", {"meetings": "hand_over", "email": email})
    assert leaver.by.status == 200 and 'id="done"' in text
    assert chosen(text).startswith("Les confier à ") and "Aucune réunion à venir" in text
    assert title in await (await visit("agent")).see(f"/agenda?day={datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}"), "it is theirs"

    async def is_handed_over() -> bool:
        return "réunions confiées" in await in_the_list(leaver)

    await until(is_handed_over, "the list says so too", 60)
    await leaver.sees("réunions gardées, réunions confiées")


def chosen(text: str) -> str:
    found = re.search(r'id="chosen">([^<]+)<', text)
    assert found, text
    return found[1].strip()


async def test_meetings_of_one_who_will_leave_are_called_off_when_they_do(visit: Any) -> None:
    leaver, colleague, title = await somebody(visit, "other leaver"), await visit("colleague"), f"Atelier {uuid4().hex[:8]}"
    await meeting_of(await (await visit()).sign_in("other leaver"), colleague, title)
    await leaver.by.see("/onboarding")
    text = await leaver.by.post("/onboarding/leavers", {"email": "nobody@example.org"})
    assert leaver.by.status == 422 and 'id="error-email"' in text and "nobody@example.org" in text
    text = await leaver.by.post("/onboarding/leavers", {"email": leaver.email})
    assert leaver.by.url.endswith(leaver.way) and "personne n’est parti" in text and chosen(text) == "Les garder"
    text = await leaver.by.post(f"{leaver.way}/meetings", {"meetings": "hand_over", "email": leaver.email})
    assert leaver.by.status == 422 and "choisissez un autre collègue" in text and 'href="#field-email"' in text
    text = await leaver.by.post(f"{leaver.way}/meetings", {"meetings": "cancel"})
    assert chosen(text) == "Les annuler" and "Ce sera fait à son départ" in text and title in await colleague.see("/agenda")
    await leaver.leave()
    await leaver.sees("réunions annulées", "Fait le")

    async def is_gone() -> bool:
        return title not in (await colleague.see("/agenda")).partition('id="events"')[0]

    await until(is_gone, "the invitation is gone", 60)


@pytest.mark.parametrize("who, status", [("agent", 403), ("operator", 200)])
async def test_only_the_ministry_s_administrators_choose(visit: Any, leaver: Leaver, who: str, status: int) -> None:
    stranger = await visit(who)
    await stranger.see(f"/onboarding?ministry={stranger.suite.person('administrator')['ministry']}")
    assert stranger.status == status and f"{LEAVERS}/" not in stranger.text
    await stranger.see(leaver.way)
    assert stranger.status == status and 'name="meetings"' not in stranger.text
    await stranger.see("/")
    await stranger.post(f"{leaver.way}/meetings", {"meetings": "cancel"})
    assert stranger.status in (403, 404)


async def test_a_ministry_with_many_leavers_shows_them_by_pages_the_open_ones_first(visit: Any) -> None:
    by = await visit("administrator")
    made = [await one_more(by) for _ in range(26)]
    for one in made:
        await one.leave()
    text = await by.see("/onboarding")
    said = re.search(r"(\d+) départs sont en cours|Un départ est en cours|Aucun départ n’est en cours", text)
    assert said, "it is said how many are open"
    seen: list[str] = []
    while True:
        seen += re.findall(r'/onboarding/leavers/([0-9a-f-]+)"', by.text)
        further = re.search(r'href="(/onboarding\?left=[^"]+)"', by.text)
        if not further:
            break
        await by.see(further[1])
    assert {one.id for one in made} <= set(seen), "nobody is hidden, also who is settled between two pages"
