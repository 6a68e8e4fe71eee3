"""Axe looks at every screen, in light and in dark colours, in French and in English; and each fits a telephone."""

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from parvis_directory.store import onboarding
from parvis_suite.services import build as build_service
from playwright.sync_api import Route

from .conftest import Screen, Suite
from .test_chromium import Screens, open_folder

PAGES = {
    "agent": ["/", "/files", "/agenda", "/agenda?view=list", "/agenda/meet", "/notices", "/devices", "/cost"],
    "administrator": ["/onboarding"],
    "finance": ["/finance", "/finance?first=2026-13"],
    "operator": ["/health", "/onboarding"],
}
LOOKS = [("fr", "light"), ("fr", "dark"), ("en", "light")]
REFUSED = re.compile("status of (403|404|422)")
"""Chromium says aloud that an answer was a refusal."""


@pytest.mark.parametrize("who", PAGES)
@pytest.mark.parametrize("language, scheme", LOOKS, ids=[f"{language}-{scheme}" for language, scheme in LOOKS])
def test_axe_finds_nothing_on_any_screen(screens: Screens, who: str, language: str, scheme: str) -> None:
    screen = screens(who, color_scheme=scheme)
    further = {"agent": pages_of_an_agent, "administrator": pages_of_people}.get(who)
    paths = [*PAGES[who], *(further(screen) if further else ["/administration"])]
    with speaking(screen, language):
        for number, path in enumerate(paths):
            screen.page.goto(screen.suite.base + path)
            assert screen.page.locator("html").get_attribute("lang") == language
            screen.wrong = [one for one in screen.wrong if not REFUSED.search(one)]
            screen.check()
            screen.shoot(f"{who}-{number:02}-{language}-{scheme}")
            if (language, scheme) == LOOKS[0]:
                on_a_telephone(screen, f"{who}-{number:02}")


def on_a_telephone(screen: Screen, name: str) -> None:
    """Nothing of it scrolls sideways."""
    screen.page.set_viewport_size({"width": 360, "height": 740})
    assert screen.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), screen.page.url
    screen.shoot(f"{name}-360")
    screen.page.set_viewport_size({"width": 1280, "height": 900})


@contextmanager
def speaking(screen: Screen, language: str) -> Iterator[None]:
    """By the button at the foot of every page; and back, for who comes after."""
    turn = "form[action='/language'] button"
    if language == "fr":
        yield
        return
    screen.page.goto(screen.suite.base + "/notices")
    screen.page.click(turn)
    screen.page.wait_for_selector("html[lang=en]")
    try:
        yield
    finally:
        screen.page.goto(screen.suite.base + "/notices")
        screen.page.click(turn)
        screen.page.wait_for_selector("html[lang=fr]")


def pages_of_an_agent(screen: Screen) -> list[str]:
    owner = opens_agenda(screen)
    return [*pages_of_files(screen), event_of(screen), "/agenda", f"/agenda/of/{owner}", f"/agenda/meet?of={owner}"]


def opens_agenda(screen: Screen) -> str:
    """Who does: a colleague, whose agenda one's own page names from now on."""
    ask, people = screen.page.context.request, screen.suite
    url = f"{people.base}/api/calendar/v1/privacy/{people.person('agent')['id']}"
    given = ask.put(url, data={"level": "delegate"}, headers={"Authorization": f"Bearer {people.person('colleague')['token']}"})
    assert given.status == 204, given.text()
    return str(people.person("colleague")["id"])


def event_of(screen: Screen) -> str:
    """The page of a series with a guest."""
    ask, one, day = screen.page.context.request, uuid4().hex, datetime.now(UTC) + timedelta(days=4)
    body = {
        "title": "Point", "starts_at": f"{day:%Y-%m-%d}T09:00:00Z", "ends_at": f"{day:%Y-%m-%d}T10:00:00Z", "recurrence": "FREQ=WEEKLY",
        "attendees": [screen.suite.person("colleague")["id"]],
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {screen.suite.person('agent')['token']}", "Idempotency-Key": one}
    made = ask.post(f"{screen.suite.base}/api/calendar/v1/events", data=body, headers=headers)
    assert made.status == 201, made.text()
    return f"/agenda/events/{made.json()['event_id']}"


def pages_of_files(screen: Screen) -> list[str]:
    """A folder, its trash, a search that finds and one that cannot, and an address where nothing is."""
    folder = open_folder(screen)
    links = {one: screen.page.locator(f"p.links a[href$='/{one}']").get_attribute("href") for one in ("trash", "search")}
    screen.page.locator("tbody a[href^='/files/items/']:not([href$=download])").first.click()
    item = screen.page.url.removeprefix(screen.suite.base)
    return [
        folder,
        item,
        f"{item}/move",
        *links.values(),
        f"{links['search']}?name=e",
        f"{links['search']}?name=!",
        f"/files/items/{uuid4()}",
    ]  # type: ignore[list-item]


def pages_of_people(screen: Screen) -> list[str]:
    """One who has left and one who is here, a file that is tried, and one that failed."""
    ask, one = screen.page.context.request, uuid4().hex[:8]
    token = {"Authorization": f"Bearer {screen.suite.person('administrator')['token']}"}
    body = {"email": f"part.{one}@interieur.example.org", "given_name": "Pars", "family_name": f"Axe-{one}"}
    agents = f"{screen.suite.base}/api/directory/v1/agents"
    made = ask.post(agents, data=body, headers={**token, "Idempotency-Key": one})
    leaver = made.json()["id"]
    left = ask.patch(f"{agents}/{leaver}", data={"state": "left"}, headers={**token, "If-Match": made.headers["etag"]})
    assert left.status == 200, left.text()
    jobs = [tried(screen, number) for number in range(2)]
    with ThreadPoolExecutor(1) as apart:  # Playwright's loop runs in this thread already
        apart.submit(asyncio.run, give_up(screen.suite, jobs[1])).result()
    return [
        f"/onboarding/leavers/{leaver}",
        f"/onboarding/leavers/{screen.suite.person('agent')['id']}",
        *(f"/onboarding/{one}" for one in jobs),
    ]


def tried(screen: Screen, number: int) -> str:
    lines = (
        f"matricule;nom;prénom;courriel;direction\r\n{uuid4().hex};Durand;Anne;a{uuid4().hex}@interieur.example.org;\r\n{number};X;Y;z;\r\n"
    )
    screen.go("/onboarding")
    screen.page.check("input[name=partial]")
    screen.page.set_input_files("#field-file", {"name": "agents.csv", "mimeType": "text/csv", "buffer": lines.encode()})
    screen.page.click("section[aria-labelledby=send] button.first")
    screen.page.wait_for_selector("#lines")
    return screen.page.url.rpartition("/")[2]


async def give_up(suite: Suite, onboarding_id: str) -> None:
    """As after several failures on its way."""
    directory = build_service("directory", suite.platform)
    try:
        async with directory.database.transaction() as tx:
            failed = sa.update(onboarding).where(onboarding.c.id == UUID(onboarding_id))
            await tx.execute(failed.values(state="failed", finished_at=directory.clock(), failed_why="RuntimeError: essai"))
    finally:
        await directory.database.close()


def stays(body: str, headers: dict[str, str]) -> Callable[[Route], None]:
    return lambda route: route.fulfill(body=body, headers=headers)


def test_the_page_that_reloads_once_is_clean_too(screens: Screens) -> None:
    """What comes after a click on another site's link; it stays for no moment, so it is looked at without its turning."""
    screen = screens()
    for language in ("fr", "en"):
        answer = screen.page.context.request.get(
            f"{screen.suite.base}/files", headers={"Sec-Fetch-Site": "cross-site", "Accept-Language": language}
        )
        turning = '<meta http-equiv="refresh" content="0">'
        assert turning in answer.text()
        still = answer.text().replace(turning, "")
        policy = answer.headers["content-security-policy"]
        screen.page.route("**/files", stays(still, {"Content-Type": "text/html", "Content-Security-Policy": policy}))
        screen.page.goto(f"{screen.suite.base}/files")
        assert screen.page.locator("html").get_attribute("lang") == language and screen.page.get_by_role("link").is_visible()
        screen.check()
        screen.page.unroute("**/files")
