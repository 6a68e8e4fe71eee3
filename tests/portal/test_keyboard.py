"""The keyboard alone: where it goes, what opens and closes, and all that an agent does in a day."""

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

from .conftest import Screen
from .test_chromium import Screens, invite, open_folder

TABS_MAX = 150
"""Further than the end of any page."""


def test_the_keyboard_is_enough(screens: Screens) -> None:
    screen = screens()
    screen.go("/sign-in")
    person = screen.suite.person("agent")
    page = screen.page
    page.keyboard.press("Tab")
    assert focused(screen) == "Aller au contenu"
    assert page.locator(".skip").bounding_box()["x"] >= 0, "the skip link is seen when it has the focus"  # type: ignore[index]
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "field-email"
    page.keyboard.type(person["email"])
    page.keyboard.press("Tab")
    page.keyboard.type(person["password"])
    page.keyboard.press("Enter")
    page.wait_for_selector("nav.main")
    order = []
    for _ in range(9):
        page.keyboard.press("Tab")
        order.append(focused(screen))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", f"{order[-1]} shows its focus"
    assert order[:5] == ["Aller au contenu", "Parvis", "Se déconnecter", "Accueil", "Mes fichiers"]


def focused(screen: Screen) -> str:
    text: str = screen.page.evaluate("document.activeElement.textContent.trim()")
    return text


def tab_to(screen: Screen, selector: str) -> None:
    """By the Tab key; and it is seen where the focus is."""
    page = screen.page
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", f"{selector} shows its focus"
            return
    raise AssertionError(f"the Tab key does not come to {selector} on {page.url}")


def done(screen: Screen) -> None:
    """The page after an act, which puts the focus on what it says."""
    screen.page.wait_for_selector("#done:focus")


def send(screen: Screen, file: Path) -> None:
    """The browser's own dialog is the only thing that no page can hold."""
    tab_to(screen, "#field-file")
    with screen.page.expect_file_chooser() as chosen:
        screen.page.keyboard.press("Space")
    chosen.value.set_files(str(file))
    tab_to(screen, ".uploader button.first")
    screen.page.keyboard.press("Enter")
    done(screen)


def opened(screen: Screen, summary: str) -> bool:
    return bool(screen.page.evaluate(f"{summary}.parentElement.open"))


def test_by_the_keyboard_alone_a_file_is_sent_twice_and_shared_and_escape_closes_what_opened(screens: Screens, tmp_path: Path) -> None:
    screen = screens("agent")
    page, colleague = screen.page, screen.suite.person("colleague")
    page.on("filechooser", lambda _: None)  # from now on the dialog is caught; asked for with the key, it may come too late for it
    open_folder(screen)
    note = tmp_path / f"0 clavier {uuid4()}.txt"  # on the first page of a folder, whatever other tests put there
    note.write_text("sans souris")
    send(screen, note)
    assert page.get_by_role("link", name=note.name, exact=True).count() == 1
    send(screen, note)
    other = f"{note.stem} (2){note.suffix}"
    page.get_by_text(f"enregistré sous « {other} »").wait_for()
    screen.check()
    screen.shoot("kept-under-another-name")
    tab_to(screen, "details summary")
    page.keyboard.press("Enter")
    tab_to(screen, "#field-name")
    page.keyboard.type("à moitié écrit")
    page.keyboard.press("Escape")
    assert not page.locator("#field-name").is_visible(), "Escape closes what opened"
    assert focused(screen) == "Créer un dossier", "and the focus is where it was opened"
    page.keyboard.press("Enter")
    tab_to(screen, "#field-name")
    page.keyboard.press("Control+A")
    page.keyboard.type(f"dossier {uuid4()}")
    page.keyboard.press("Enter")
    done(screen)
    item = page.get_by_role("link", name=f"Détails et partage {other}").get_attribute("href")
    tab_to(screen, f"a[href='{item}']:not([href*=download])")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sharing")
    tab_to(screen, "section[aria-labelledby=sharing] #field-email")
    page.keyboard.type(colleague["email"])
    tab_to(screen, "#field-role")
    page.keyboard.press("ArrowDown")
    tab_to(screen, "section[aria-labelledby=sharing] form.card button.first")
    page.keyboard.press("Enter")
    done(screen)
    assert page.get_by_role("row", name=re.compile(colleague["name"])).get_by_text("Modification").is_visible()
    assert not screen.wrong


def test_by_the_keyboard_alone_an_invitation_is_answered_and_a_meeting_made_and_called_off(screens: Screens) -> None:
    screen = screens("agent")
    page, title = screen.page, f"Clavier {uuid4().hex[:8]}"
    invite(screen, "colleague", "agent", title)
    card: Any = page.locator("li.card", has_text=title)
    for _ in range(100):
        screen.go("/agenda")
        if card.count():
            break
    action = card.locator("form").get_attribute("action")
    tab_to(screen, f"form[action='{action}'] button[value=tentative]")
    page.keyboard.press("Enter")
    done(screen)
    assert page.locator("li.card", has_text=title).get_by_text("vous hésitez").is_visible()
    tab_to(screen, "a[href='/agenda/meet']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#field-title")
    own = f"À moi {uuid4().hex[:8]}"
    tab_to(screen, "#field-title")
    page.keyboard.type(own)
    tab_to(screen, "#field-email")
    page.keyboard.type(screen.suite.person("colleague")["email"])
    tab_to(screen, "#field-minutes")
    page.keyboard.press("ArrowUp")
    tab_to(screen, "button[value=make]")
    page.keyboard.press("Enter")
    done(screen)
    slot = page.locator(".slot", has_text=own)
    call_off = slot.locator("form").get_attribute("action")
    summary = f"details:has(form[action='{call_off}']) > summary"
    for key in ("Enter", "Space"):
        tab_to(screen, summary)
        page.keyboard.press(key)
        tab_to(screen, f"form[action='{call_off}'] button")
        page.keyboard.press("Escape")
        assert not slot.locator("button").is_visible() and focused(screen).startswith("Annuler…")
        page.keyboard.press("Shift+Tab")
    tab_to(screen, summary)
    page.keyboard.press("Enter")
    tab_to(screen, f"form[action='{call_off}'] button")
    page.keyboard.press("Enter")
    done(screen)
    assert not page.locator(".slot", has_text=own).count()
