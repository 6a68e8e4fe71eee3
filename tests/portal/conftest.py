"""The whole suite with its demonstration, a client with cookies, and a real Chromium that reports what it was not allowed to load."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from axe_playwright_python.sync_playwright import Axe
from parvis_kit.settings import Platform
from parvis_kit.testing.databases import DATABASES, Place, PostgresServer
from parvis_kit.testing.plugin import missing
from parvis_kit.testing.servers import ServerMissing, started
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from pydantic import SecretStr
from yarl import URL

from ..conftest import free_port
from ..suite.running import made_once

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS_MAX = 300.0
"""Of patience with a loaded machine."""
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
).split()
AXE = Axe()
DEMO_ROLES = {"administrator": 0, "finance": 3, "operator": 4, "agent": 6, "colleague": 9, "english": 29, "leaver": 15, "other leaver": 21}
"""Of the demonstration's people, by their place in its list: agent, colleague and leavers are of the administrator's ministry."""


@dataclass
class Suite:
    """`parvis up --demo`, running."""

    folder: Path
    port: int
    environ: dict[str, str]
    process: "subprocess.Popen[bytes]"
    demo: dict[str, Any] = field(default_factory=dict)
    sessions: dict[str, dict[str, str]] = field(default_factory=dict)
    """Cookies by person: nobody signs in thirty times a minute."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def platform(self) -> Platform:
        return Platform(data=self.folder, database_url=SecretStr(self.environ.get("PARVIS_DATABASE_URL", "")), port=self.port)

    def person(self, who: str) -> dict[str, Any]:
        found: dict[str, Any] = self.demo["agents"][DEMO_ROLES[who]]
        return found

    def command(self, *arguments: str) -> str:
        """`parvis …`, beside it."""
        command = [sys.executable, "-m", "parvis_suite", *arguments]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=90, check=True).stdout


@contextmanager
def running(folder: Path, database_url: str, **environ: str) -> Iterator[Suite]:
    port = free_port()
    path = os.pathsep.join(filter(None, sys.path))
    environ = {
        **os.environ,
        "PARVIS_DATA": str(folder),
        "PARVIS_PORT": str(port),
        "PARVIS_METRICS_PORT": "0",
        "PYTHONPATH": path,
        **environ,
    }
    if database_url:
        environ["PARVIS_DATABASE_URL"] = database_url
    (folder / "demo.json").unlink(missing_ok=True)  # of where it was made
    log = folder.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-m", "parvis_suite", "up", "--demo"], env=environ, stdout=output, stderr=output)
    try:
        until = time.monotonic() + READY_SECONDS_MAX
        while not (folder / "demo.json").exists():
            assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.05)
        yield Suite(folder, port, environ, process, json.loads((folder / "demo.json").read_text()))
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def suites(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Suite]]:
    """One of each kind for the whole run, from a demonstration that was made once for all tests."""
    with ExitStack() as stack, ThreadPoolExecutor(1) as apart:  # Playwright's loop runs in this thread already
        known: dict[str, Suite] = {}

        def suite(kind: str) -> Suite:
            if kind not in known:
                server: PostgresServer | None = request.getfixturevalue("postgres") if kind != "sqlite" else None
                place = Place(tmp_path_factory.mktemp("suite"), server, AsyncExitStack(), tmp_path_factory.getbasetemp() / "prepared")
                apart.submit(asyncio.run, place.prepare("demonstration", made_once)).result()
                known[kind] = stack.enter_context(running(place.folder / "data", place.url))
            return known[kind]

        yield suite


@pytest.fixture(params=DATABASES)
def suite(request: pytest.FixtureRequest, suites: Callable[[str], Suite]) -> Suite:
    """The whole suite, on SQLite and on PostgreSQL."""
    return suites(request.param)


class Visitor:
    """A browser without JavaScript: cookies, forms, links."""

    def __init__(self, suite: Suite, session: aiohttp.ClientSession) -> None:
        self.suite, self.session = suite, session
        self.url, self.text, self.status = "", "", 0
        self.headers: Any = {}

    async def see(self, path: str, **headers: str) -> str:
        async with self.session.get(self.suite.base + path, headers=headers) as answer:
            return await self._saw(answer)

    async def post(self, path: str, data: Any = None, *, csrf: bool = True, **headers: str) -> str:
        """As a form of the page that was seen last would."""
        if csrf and not isinstance(data, aiohttp.FormData):
            data = {"csrf": self.csrf, **(data or {})}
        async with self.session.post(self.suite.base + path, data=data, headers={"Sec-Fetch-Site": "same-origin", **headers}) as answer:
            return await self._saw(answer)

    async def _saw(self, answer: aiohttp.ClientResponse) -> str:
        self.url, self.status, self.headers = str(answer.url), answer.status, answer.headers
        self.text = await answer.text(errors="replace")
        return self.text

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" (?:content|value)="([^"]+)"', self.text)
        assert found, self.text[:500]
        return found[1]

    async def come(self, who: str) -> "Visitor":
        """Signed in, with a session that other tests use too."""
        if who not in self.suite.sessions:
            await self.sign_in(who)
            self.suite.sessions[who] = {one.key: one.value for one in self.session.cookie_jar}
        self.session.cookie_jar.update_cookies(self.suite.sessions[who], URL(self.suite.base))
        await self.see("/")
        assert self.status == 200 and "sign-out" in self.text, self.text
        return self

    async def sign_in(self, who: str) -> "Visitor":
        """With a session of their own."""
        person = self.suite.person(who)
        await self.post("/sign-in", {"email": person["email"], "password": person["password"]}, csrf=False)
        assert self.status == 200 and "sign-out" in self.text, self.text
        return self

    def link(self, words: str) -> str:
        """Where the link leads whose text begins so."""
        found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>\s*{re.escape(words)}', self.text)
        assert found, f"no link {words!r} in {self.text}"
        return unescape(found[1])


@pytest.fixture
async def visit(suite: Suite) -> AsyncIterator[Callable[..., Any]]:
    """`await visit("agent")`: signed in; `await visit()`: not."""
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:

        async def one(who: str = "", **headers: str) -> Visitor:
            jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address that is no name
            visitor = Visitor(suite, await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar, headers=headers)))
            return await visitor.come(who) if who else visitor

        yield one


@pytest.fixture(scope="session")
def executable() -> str:
    try:
        with started(ROOT / "infra/servers/chromium.py") as said:
            return said["executable"]
    except ServerMissing as reason:
        missing("Chromium", str(reason))
        raise


@pytest.fixture
def chromium(executable: str) -> Iterator[Browser]:
    """Anew for each test: Playwright's loop in this thread must not outlive it, or no coroutine could be tested after."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Screen:
    """A page in Chromium, and all that went wrong on it."""

    suite: Suite
    page: Page
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.suite.base + path, wait_until="networkidle")

    def sign_in(self, who: str) -> "Screen":
        person = self.suite.person(who)
        self.go("/sign-in")
        self.page.fill("#field-email", person["email"])
        self.page.fill("#field-password", person["password"])
        self.page.click("form[action='/sign-in'] button")
        self.page.wait_for_selector("nav.main")
        return self

    def check(self) -> None:
        """Axe finds nothing, and nothing was refused by the page's own policy."""
        found = AXE.run(self.page)
        violations = [(one["id"], one["help"], [node["html"] for node in one["nodes"]]) for one in found.response["violations"]]
        assert not violations, f"{self.page.url}: {violations}"
        assert not self.wrong, f"{self.page.url}: {self.wrong}"

    def check_but(self, expected: str) -> None:
        """The same, when something was made to fail on purpose."""
        self.wrong = [one for one in self.wrong if expected not in one]
        self.check()

    def shoot(self, name: str) -> None:
        """For people to look at, where PARVIS_TEST_SCREENSHOTS says."""
        from parvis_kit.testing.plugin import ASKED

        if folder := ASKED.get("PARVIS_TEST_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture
def database() -> str:
    """The database is of no matter to a browser: one walk of each kind has both, by its own parameter."""
    return "sqlite"


@pytest.fixture
def screens(chromium: Browser, suites: Callable[[str], Suite], database: str) -> Iterator[Callable[..., Screen]]:
    """`screens("agent", javascript=False, viewport=…)`."""
    opened: list[tuple[BrowserContext, Screen]] = []

    def screen(who: str = "", *, javascript: bool = True, locale: str = "fr-FR", **more: Any) -> Screen:
        context = chromium.new_context(
            java_script_enabled=javascript, locale=locale, **({"viewport": {"width": 1280, "height": 900}} | more)
        )
        context.set_default_timeout(15_000)
        page = context.new_page()
        found = Screen(suites(database), page)
        page.on("console", lambda said: found.wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: found.wrong.append(str(error)))
        page.on(
            "request",
            lambda asked: found.wrong.append(asked.url) if not asked.url.startswith((found.suite.base, "data:", "about:")) else None,
        )
        opened.append((context, found))
        return found.sign_in(who) if who else found

    yield screen
    for context, found in opened:
        context.close()
        assert not found.wrong, found.wrong
