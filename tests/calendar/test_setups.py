"""The requests by which Thunderbird, DAVx5 and iOS set an account up, one after the other.

Written down from what is known of each client, and not recorded from a device: there was none here.
"""

import re
from pathlib import Path

import pytest

from .conftest import NAMESPACES, Answer, Desk, event

SETUPS = Path(__file__).parent / "setups"
STEP = re.compile(
    r"^### (?P<title>[^\n]*)\n(?P<method>[A-Z]+) (?P<path>\S+)\n(?P<headers>(?:[A-Za-z-]+: [^\n]*\n)*)\n(?P<body>.*?)(?=^### |\Z)",
    re.M | re.S,
)
"""A request with a title: its line, its headers, its body."""


def steps_of(name: str) -> list[dict[str, str]]:
    return [one.groupdict() for one in STEP.finditer((SETUPS / f"{name}.http").read_text())]


async def replay(desk: Desk, name: str) -> dict[str, Answer]:
    """Title → what was answered. `{principal}`, `{home}` and the like are what the answers before have told."""
    known = {"uuid": "6E4A1C5B-7F3D-4C6A-9B1E-0D2F3A4B5C6D"}
    answers: dict[str, Answer] = {}
    for step in steps_of(name):
        text = {part: re.sub(r"\{(\w+)\}", lambda found: known[found[1]], step[part]) for part in ("path", "headers", "body")}
        headers = dict(line.split(": ", 1) for line in text["headers"].splitlines())
        by = "" if headers.pop("Authorization", "none") == "none" else "ada"
        answer = await desk.dav(step["method"], text["path"], text["body"].strip(), by=by, **headers)
        answers[step["title"]] = answer
        assert answer.status < 500
        if answer.status == 207:
            learn(known, answer)
    return answers


def learn(known: dict[str, str], answer: Answer) -> None:
    """What a client takes from an answer to ask the next question with."""
    for name, path in (
        ("principal", ".//D:current-user-principal/D:href"), ("home", ".//C:calendar-home-set/D:href"),
        ("inbox", ".//C:schedule-inbox-URL/D:href"), ("outbox", ".//C:schedule-outbox-URL/D:href"), ("token", ".//D:sync-token"),
    ):  # fmt: skip
        if found := answer.texts(path):
            known[name] = found[-1] if name == "token" else found[0]
    for response in answer.root.iterfind("D:response", NAMESPACES):
        if response.find(".//D:resourcetype/C:calendar", NAMESPACES) is not None:
            known.setdefault("agenda", response.findtext("D:href", namespaces=NAMESPACES))
        elif not (href := response.findtext("D:href", namespaces=NAMESPACES)).endswith("/"):
            known.setdefault("object", href)


def statuses(answers: dict[str, Answer]) -> dict[str, int]:
    return {title: answer.status for title, answer in answers.items()}


@pytest.fixture
async def filled(desk: Desk) -> Desk:
    await desk.put(desk.agenda() + "a.ics", event("a"))
    return desk


async def test_ios_sets_itself_up(filled: Desk) -> None:
    answers = await replay(filled, "ios")
    assert statuses(answers) == {
        "well-known, as nobody": 401, "root, as nobody": 401, "principals, as nobody": 401, "well-known": 207,
        "options of the principal": 200, "principal": 207, "home": 207, "a calendar for reminders": 201,
        "its colour and place": 207, "home again": 207, "inbox": 207,
        "agenda's changes": 207, "objects": 207, "how the home was left": 207,
    }  # fmt: skip
    for title in ("well-known, as nobody", "root, as nobody", "principals, as nobody"):
        assert answers[title].headers["WWW-Authenticate"].startswith("Basic ")
    assert "calendar-access" in answers["options of the principal"].headers["DAV"]
    assert all(href.startswith("/") for href in answers["home"].hrefs)
    made = filled.agenda(agenda="6E4A1C5B-7F3D-4C6A-9B1E-0D2F3A4B5C6D")
    again = answers["home again"].of(made)
    assert again.findtext(".//A:calendar-color", namespaces=NAMESPACES) == "#FF2968FF"
    assert [one.get("name") for one in again.iterfind(".//C:comp", NAMESPACES)] == ["VTODO"]
    assert b"404 Not Found" not in answers["home"].body, "it asked by Brief for what is there alone"
    assert answers["objects"].texts(".//C:calendar-data") == [event("a").decode()]


async def test_thunderbird_sets_itself_up(filled: Desk) -> None:
    answers = await replay(filled, "thunderbird")
    assert statuses(answers) == {
        "well-known, as nobody": 401, "well-known": 207, "principal": 207, "home": 207, "agenda": 207, "options of the agenda": 200,
        "all there is": 207, "objects": 207, "what has changed": 207, "who is it": 207, "may I ask when they are busy": 200,
    }  # fmt: skip
    assert "calendar-auto-schedule" in answers["options of the agenda"].headers["DAV"]
    for title in ("home", "agenda"):
        assert all(one.find(".//D:resourcetype", NAMESPACES) is not None for one in answers[title].root.iterfind("D:response", NAMESPACES))
    assert answers["what has changed"].hrefs == [] and answers["what has changed"].texts("D:sync-token")
    assert answers["may I ask when they are busy"].texts(".//C:request-status")[0].startswith("2.")


async def test_davx5_sets_itself_up(filled: Desk) -> None:
    answers = await replay(filled, "davx5")
    assert statuses(answers) == {
        "well-known, as nobody": 401, "well-known": 207, "options of the principal": 200, "principal": 207, "home": 207, "agenda": 207,
        "first listing": 207, "what lies ahead, with an open end": 207, "objects": 207, "a change made here": 201, "it is gone again": 204,
        "a token that is not believed": 403,
    }  # fmt: skip
    assert "calendar-access" in answers["options of the principal"].headers["DAV"]
    assert answers["what lies ahead, with an open end"].hrefs == [filled.agenda() + "a.ics"]
    assert answers["a token that is not believed"].precondition == "valid-sync-token"
    assert answers["a change made here"].headers["ETag"]
