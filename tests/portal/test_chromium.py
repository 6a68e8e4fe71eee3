"""What people do, in a real Chromium: with and without JavaScript, at any zoom; axe looks at what comes of it."""

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from parvis_kit.testing.databases import DATABASES

from .conftest import Screen

Screens = Callable[..., Screen]
MIB = 2**20
FIRST_PAGE_BYTES_MAX = 100_000


def open_folder(screen: Screen) -> str:
    screen.go("/files")
    screen.page.click("a.button.first")
    screen.page.wait_for_url("**/files/folders/*")
    return screen.page.url.removeprefix(screen.suite.base)


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "no javascript"])
def test_signing_in_is_clean_and_says_what_was_wrong(screens: Screens, javascript: bool) -> None:
    screen = screens(javascript=javascript)
    screen.go("/sign-in")
    screen.page.fill("#field-email", "nobody@example.org")
    screen.page.fill("#field-password", "wrong")
    screen.page.click("form[action='/sign-in'] button")
    screen.page.wait_for_selector("#mistake")
    assert screen.page.locator("#field-email").get_attribute("aria-invalid") == "true"
    screen.wrong = [one for one in screen.wrong if "401" not in one]  # Chromium says aloud that the answer was a refusal
    if javascript:
        screen.check()
        screen.shoot("sign-in-wrong")


@pytest.mark.parametrize("database", DATABASES)
def test_an_agent_sends_files_sees_how_far_they_are_and_shares_one(screens: Screens, tmp_path: Path) -> None:
    screen = screens("agent")
    open_folder(screen)
    small, large = tmp_path / f"note {uuid4()}.txt", tmp_path / f"film {uuid4()}.bin"
    small.write_text("bonjour")
    large.write_bytes(os.urandom(37 * MIB + 5))
    told: list[str] = []
    screen.page.expose_function("tell", lambda one: told.append(one))
    screen.page.evaluate(
        "new MutationObserver(() => document.querySelectorAll('.sending progress').forEach((one) => tell(String(one.value))))"
        ".observe(document.querySelector('.sendings'), {subtree: true, childList: true, attributes: true, characterData: true})"
    )
    screen.page.set_input_files("#field-file", [str(small), str(large)])
    screen.check()
    screen.page.click(".uploader button.first")
    screen.page.wait_for_selector("#done", timeout=60_000)
    assert any(0 < float(one) < 100 for one in told), "it was shown how far the upload is"
    for sent in (small, large):
        assert digest_of(screen, sent.name) == hashlib.sha256(sent.read_bytes()).hexdigest()
    screen.page.get_by_role("row", name=small.name).get_by_role("link", name="Détails et partage").click()
    screen.page.wait_for_selector("#sharing")
    screen.check()
    colleague = screen.suite.person("colleague")
    screen.page.locator("#field-email").press_sequentially(colleague["email"][:5])
    screen.page.wait_for_selector(f"#people option[value='{colleague['email']}']", state="attached")
    screen.page.fill("#field-email", colleague["email"])
    screen.page.select_option("#field-role", "editor")
    screen.page.click("section[aria-labelledby=sharing] form.card button.first")
    screen.page.wait_for_selector("#done")
    assert screen.page.get_by_role("row", name=re.compile(colleague["name"])).get_by_text("Modification").is_visible()
    screen.check()
    screen.shoot("item")
    other = screens("colleague")
    other.go("/files")
    assert other.page.get_by_role("link", name=small.name).is_visible()


def digest_of(screen: Screen, name: str) -> str:
    path = screen.page.get_by_role("link", name=name, exact=True).get_attribute("href")
    answer = screen.page.context.request.get(f"{screen.suite.base}{path}")
    assert answer.status == 200
    return hashlib.sha256(answer.body()).hexdigest()


def test_an_upload_goes_on_after_the_line_broke_and_after_the_page_was_closed(screens: Screens, tmp_path: Path) -> None:
    screen = screens("agent")
    folder = open_folder(screen)
    large = tmp_path / f"long {uuid4()}.bin"
    large.write_bytes(os.urandom(40 * MIB))
    sent: list[str] = []

    def some_get_through(route: Any) -> None:
        if len(sent) >= 2:
            route.abort()
        else:
            sent.append(route.request.url)
            route.continue_()

    screen.page.route("**/blobs/**", some_get_through)
    screen.page.set_input_files("#field-file", str(large))
    screen.page.click(".uploader button.first")
    screen.page.locator(".sending .state", has_text="coupée").wait_for()
    screen.page.on("dialog", lambda dialog: dialog.accept())
    screen.go(folder)
    screen.page.unroute("**/blobs/**")
    assert screen.page.get_by_text("Envois interrompus").is_visible()
    screen.check_but("Failed to load resource")
    again: list[str] = []
    screen.page.on("request", lambda asked: again.append(asked.url) if "/blobs/" in asked.url else None)
    screen.page.set_input_files("#field-file", str(large))
    screen.page.click(".uploader button.first")
    screen.page.wait_for_selector("#done", timeout=60_000)
    assert len(again) == 5 - 2, "what the store had already was not sent again"
    assert digest_of(screen, large.name) == hashlib.sha256(large.read_bytes()).hexdigest()


def test_without_javascript_a_file_is_sent_shared_and_thrown_away(screens: Screens, tmp_path: Path) -> None:
    screen = screens("agent", javascript=False)
    open_folder(screen)
    note = tmp_path / f"simple {uuid4()}.txt"
    note.write_text("sans script")
    assert screen.page.get_by_text("Sans JavaScript").is_visible()
    screen.page.set_input_files("#field-file", str(note))
    screen.page.click(".uploader button.first")
    screen.page.wait_for_selector("#done")
    screen.page.get_by_role("row", name=note.name).get_by_role("link", name="Détails et partage").click()
    screen.page.fill("#field-email", screen.suite.person("colleague")["email"])
    screen.page.click("section[aria-labelledby=sharing] form.card button.first")
    screen.page.wait_for_selector("#done")
    screen.page.get_by_role("button", name="Mettre à la corbeille").click()
    screen.page.wait_for_selector("#done")
    assert not screen.page.get_by_text(note.name).is_visible()


@pytest.mark.parametrize("zoom, width", [("200 %", 640), ("400 %", 320)])
def test_zoomed_nothing_is_cut_and_nothing_scrolls_sideways(screens: Screens, zoom: str, width: int) -> None:
    for who, path in [("agent", "/files"), ("finance", "/finance")]:
        screen = screens(who, viewport={"width": width, "height": 512})
        screen.go(path)
        assert screen.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), (zoom, path)
        screen.check()
        screen.shoot(f"{path.strip('/')}-{width}")


def test_on_a_narrow_screen_a_file_s_own_page_does_not_scroll_sideways(screens: Screens, tmp_path: Path) -> None:
    screen = screens("agent", viewport={"width": 360, "height": 740})
    open_folder(screen)
    note = tmp_path / f"{'sans-espace-' * 8}{uuid4().hex}.odt"
    note.write_text("x")
    screen.page.set_input_files("#field-file", str(note))
    screen.page.click(".uploader button.first")
    screen.page.wait_for_selector("#done")
    screen.page.get_by_role("link", name=f"Détails et partage {note.name}").click()
    screen.page.wait_for_selector("#sharing")
    assert screen.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    screen.check()
    screen.shoot("item-360")


def test_a_second_click_while_the_answer_is_awaited_sends_nothing(screens: Screens) -> None:
    screen = screens("agent")
    screen.go("/agenda/meet")
    held: list[Any] = []
    screen.page.route("**/agenda/meet", lambda route: held.append(route) if route.request.method == "POST" else route.continue_())
    for number in (1, 2):
        screen.page.fill("#field-title", f"Impatience {uuid4().hex[:8]}")
        twice = "const one = document.querySelector('button[value=make]'); setTimeout(() => one.click(), 20); "
        with screen.page.expect_console_message(lambda said: said.text == "clicked twice"):
            screen.page.evaluate(f"() => {{ {twice} setTimeout(() => {{ one.click(); console.info('clicked twice') }}, 400) }}")
        assert len(held) == number, "also from the page that one comes back to"
        held[-1].continue_()
        screen.page.wait_for_selector("#done")
        screen.go("/agenda/meet")


def test_reduced_motion_and_forced_colours_are_heeded(screens: Screens) -> None:
    screen = screens("agent", reduced_motion="reduce", forced_colors="active")
    screen.go("/files")
    assert screen.page.evaluate("getComputedStyle(document.querySelector('.button')).transitionDuration") == "0s"
    assert screen.page.evaluate("getComputedStyle(document.querySelector('.wide')).borderTopStyle") == "solid"
    screen.check()
    screen.shoot("files-forced-colours")


def test_the_first_page_weighs_less_than_a_hundred_kilobytes(screens: Screens) -> None:
    """On the wire, everything that it loads, from an empty cache."""
    screen = screens("agent")
    client = screen.page.context.new_cdp_session(screen.page)
    client.send("Network.enable")
    client.send("Network.setCacheDisabled", {"cacheDisabled": True})
    weighed: list[float] = []
    client.on("Network.loadingFinished", lambda done: weighed.append(done["encodedDataLength"]))
    screen.go("/")
    assert len(weighed) >= 4 and sum(weighed) <= FIRST_PAGE_BYTES_MAX, f"{sum(weighed):.0f} bytes in {len(weighed)} answers"
    print(f"the first page: {sum(weighed):.0f} bytes on the wire in {len(weighed)} answers")


def test_an_agent_answers_an_invitation(screens: Screens) -> None:
    screen = screens("agent")
    title = f"Point {uuid4().hex[:8]}"
    invite(screen, "colleague", "agent", title)
    card = screen.page.locator("li.card", has_text=title)
    for _ in range(100):
        screen.go("/agenda")
        if card.count():
            break
    assert card.get_by_text("réponse attendue").is_visible()
    screen.check()
    screen.shoot("invitation")
    card.get_by_role("button", name=re.compile("^Oui")).click()
    screen.page.wait_for_selector("#done")
    assert screen.page.locator("li.card", has_text=title).get_by_text("vous venez").is_visible()
    screen.check()


def invite(screen: Screen, organizer: str, invited: str, title: str) -> None:
    """As a client of CalDAV does, with an app password."""
    by, to, ask = screen.suite.person(organizer), screen.suite.person(invited), screen.page.context.request
    agendas = ask.get(f"{screen.suite.base}/api/calendar/v1/calendars", headers={"Authorization": f"Bearer {by['token']}"}).json()["items"]
    starts = (datetime.now(UTC) + timedelta(days=1)).replace(hour=9, minute=0, second=0)
    uid = str(uuid4())
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN", "BEGIN:VEVENT", f"UID:{uid}", f"DTSTAMP:{starts:%Y%m%dT%H%M%SZ}",
        f"DTSTART:{starts:%Y%m%dT%H%M%SZ}", "DURATION:PT1H", f"SUMMARY:{title}", f"ORGANIZER:mailto:{by['email']}",
        f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{by['email']}", f"ATTENDEE;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:{to['email']}", "END:VEVENT",
        "END:VCALENDAR", "",
    ]  # fmt: skip
    basic = b64encode(f"{by['email']}:{by['app_password']}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "text/calendar"}
    href = f"/dav/calendars/{by['id']}/{agendas[0]['name']}/{uid}.ics"
    answer = ask.put(f"{screen.suite.base}{href}", headers=headers, data="\r\n".join(lines))
    assert answer.status == 201, answer.text()


@pytest.mark.parametrize(
    "javascript, database", [(True, "sqlite"), (False, "sqlite"), (True, "postgresql")], ids=["javascript", "no javascript", "postgresql"]
)
def test_an_administrator_brings_a_file_of_agents_aboard(screens: Screens, tmp_path: Path, javascript: bool) -> None:
    screen = screens("administrator", javascript=javascript)
    one = uuid4().hex[:8]
    roster = tmp_path / "agents.csv"
    lines = [
        "matricule;nom;prénom;courriel;direction;date de départ",
        f"{one};Durand;Anne;anne.{one}@interieur.example.org;Direction de la transformation numérique;",
        f"{one}x;Faux;Jean;pas-une-adresse;Direction de la transformation numérique;",
    ]
    roster.write_text("\r\n".join(lines) + "\r\n", encoding="cp1252")
    screen.go("/onboarding")
    screen.page.check("input[name=partial]")
    screen.page.set_input_files("#field-file", str(roster))
    screen.page.get_by_role("button", name="Essayer à blanc").click()
    screen.page.wait_for_selector("#price")
    assert screen.page.locator("section[aria-labelledby=price] table").get_by_text("€").first.is_visible(), "the dry run has its price"
    assert screen.page.get_by_text("pas-une-adresse n’est pas une adresse électronique").is_visible()
    if javascript:
        screen.check()
        screen.shoot("onboarding-dry-run")
        with screen.page.expect_download() as saved:
            screen.page.get_by_role("link", name=re.compile("lignes refusées \\(CSV")).click()
        assert "pas-une-adresse" in saved.value.path().read_text(encoding="utf-8-sig")
    screen.page.get_by_role("button", name="Faire ce que montre l’essai").click()
    screen.page.wait_for_selector("#done")
    finished = screen.page.locator("#job .tag", has_text="terminé")
    for _ in range(200):
        if javascript or finished.count():  # htmx looks again by itself
            break
        screen.page.get_by_role("link", name="Actualiser").click()
    finished.wait_for(timeout=30_000)
    if javascript:
        screen.check()
        screen.shoot("onboarding-done")


def test_an_app_password_is_shown_once_and_revoked(screens: Screens) -> None:
    screen = screens("agent")
    screen.go("/devices")
    name = f"téléphone {uuid4().hex[:6]}"
    screen.page.select_option("#field-client", "davx5")
    screen.page.fill("#field-name", name)
    screen.page.get_by_role("button", name="Créer le mot de passe").click()
    secret = screen.page.locator("#secret").inner_text()
    assert secret.startswith("parvis_") and screen.page.locator(".qr svg").is_visible()
    screen.check()
    screen.shoot("devices-made")
    assert knocks(screen, secret) == 207, "it opens what it is for"
    screen.go("/devices")
    assert secret not in screen.page.content()
    screen.page.on("dialog", lambda dialog: dialog.accept())
    screen.page.get_by_role("row", name=re.compile(name)).get_by_role("button").click()
    screen.page.wait_for_selector("#done")
    assert not screen.page.get_by_role("row", name=re.compile(name)).count()
    for _ in range(200):
        if knocks(screen, secret) == 401:
            break
    assert knocks(screen, secret) == 401


def knocks(screen: Screen, secret: str) -> int:
    person = screen.suite.person("agent")
    basic = b64encode(f"{person['email']}:{secret}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Depth": "0"}
    path = f"{screen.suite.base}/dav/principals/{person['id']}/"
    return screen.page.context.request.fetch(path, method="PROPFIND", headers=headers).status


@pytest.mark.parametrize("database", DATABASES)
def test_finance_reads_what_an_agent_costs_as_a_picture_and_as_a_table(screens: Screens) -> None:
    screen = screens("finance")
    screen.go("/finance")
    assert screen.page.evaluate("document.querySelector('img.chart').naturalWidth") > 0
    assert screen.page.get_by_role("table", name=re.compile("Chiffres – Suite")).get_by_text("Tous les ministères").first.is_visible()
    screen.page.select_option("#field-basis", "restated")
    screen.page.click("form.row button")
    screen.page.wait_for_url("**basis=restated*")
    screen.check()
    with screen.page.expect_download() as saved:
        screen.page.click("a[href*='report.csv']")
    text = saved.value.path().read_text(encoding="utf-8-sig")
    assert text.count("\n") > 10 and "Ministère de l'Intérieur" in text


def test_a_page_that_tries_to_load_from_elsewhere_is_caught(screens: Screens) -> None:
    """The control: what the other tests hold would be seen."""
    screen = screens("agent")
    screen.page.evaluate(
        "document.body.append(Object.assign(document.createElement('img'), {src: 'https://elsewhere.test/x.png', alt: ''}))"
    )
    screen.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"/x.png\" style=\"color:red\">')")
    with pytest.raises(AssertionError, match="image-alt"):
        screen.check()
    assert any("Content Security Policy" in one for one in screen.wrong)
    screen.wrong.clear()
