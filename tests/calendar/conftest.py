"""A desk: calendar behind its doors on either database, agents of two ministries with app passwords and tokens."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from joserfc.jwk import RSAKey
from lxml import etree
from parvis_calendar.app import build
from parvis_contracts.directory import AgentJoined, AgentState, CredentialState, SigningKeyState
from parvis_kit import access
from parvis_kit.events import Fact
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.reactions import Many
from parvis_kit.http import mount
from parvis_kit.http.chain import LIMITS
from parvis_kit.serve import runner_options
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_kit.testing.clocks import FrozenClock
from parvis_kit.testing.databases import Place
from parvis_kit.testing.plugin import missing
from parvis_kit.testing.servers import ServerMissing, started
from parvis_suite.assembly import migrate
from pydantic import SecretStr
from yarl import URL

API = "/api/calendar/v1"
CLIENTS = Path(__file__).resolve().parents[2] / "infra/servers/davclients.py"
NAMESPACES = {"D": "DAV:", "C": "urn:ietf:params:xml:ns:caldav", "CS": "http://calendarserver.org/ns/", "A": "http://apple.com/ns/ical/"}
DECLARED = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in NAMESPACES.items())


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def root(self) -> Any:
        return etree.fromstring(self.body)

    def texts(self, path: str) -> list[str]:
        """What stands in the elements of a path, as `.//D:href`."""
        return [one.text or "" for one in self.root.iterfind(path, NAMESPACES)]

    def names(self, path: str) -> list[str]:
        """The names of the elements in those of a path."""
        return [etree.QName(child).localname for one in self.root.iterfind(path, NAMESPACES) for child in one]

    @property
    def hrefs(self) -> list[str]:
        return self.texts("D:response/D:href")

    def of(self, href: str) -> Any:
        """The response about one thing."""
        return next(one for one in self.root.iterfind("D:response", NAMESPACES) if one.findtext("D:href", namespaces=NAMESPACES) == href)

    @property
    def precondition(self) -> str:
        """The first element in the error."""
        return str(etree.QName(self.root[0]).localname)


@dataclass
class Desk:
    platform: Platform
    clock: FrozenClock
    calendar: Service
    client: "TestClient[Any, Any]"
    key: RSAKey
    tokens: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    ids: dict[str, UUID] = field(default_factory=dict)
    ministries: dict[str, UUID] = field(default_factory=dict)

    async def dav(self, method: str, path: str, body: str | bytes = b"", *, by: str = "ada", **headers: str) -> Answer:
        """As a DAV client, with an app password; `by=""`: as nobody."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if by:
            sent["Authorization"] = self.basic(by)
        octets = body.encode() if isinstance(body, str) else body
        if octets:
            sent.setdefault("Content-Type", "application/xml; charset=utf-8")
        url = URL(path, encoded=True)
        async with self.client.request(method, url, data=octets, headers=sent, allow_redirects=False) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    def basic(self, name: str) -> str:
        return "Basic " + b64encode(f"{name}@example.org:{self.passwords[name]}".encode()).decode()

    async def put(self, path: str, octets: bytes, *, by: str = "ada", **headers: str) -> Answer:
        return await self.dav("PUT", path, octets, by=by, Content_Type="text/calendar; charset=utf-8", **headers)

    async def propfind(self, path: str, *names: str, depth: str = "0", by: str = "ada", **headers: str) -> Answer:
        body = f"<D:propfind {DECLARED}><D:prop>{''.join(f'<{name}/>' for name in names)}</D:prop></D:propfind>"
        return await self.dav("PROPFIND", path, body, by=by, Depth=depth, **headers)

    async def report(self, path: str, root: str, inside: str, *, by: str = "ada", method: str = "REPORT", **headers: str) -> Answer:
        return await self.dav(method, path, f"<{root} {DECLARED}>{inside}</{root}>", by=by, **headers)

    async def sync(self, path: str, token: str = "", limit: int = 0, *, props: str = "<D:getetag/>", by: str = "ada") -> Answer:
        limits = f"<D:limit><D:nresults>{limit}</D:nresults></D:limit>" if limit else ""
        inside = f"<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>{limits}<D:prop>{props}</D:prop>"
        return await self.report(path, "D:sync-collection", inside, by=by)

    async def query(
        self, path: str, start: str, end: str, *, data: str = "<C:calendar-data/>", component: str = "VEVENT", by: str = "ada"
    ) -> Answer:
        times = f'<C:time-range start="{start}" end="{end}"/>'
        asked = filtered(f'<C:comp-filter name="{component}">{times}</C:comp-filter>')
        return await self.report(path, "C:calendar-query", f"<D:prop><D:getetag/>{data}</D:prop>{asked}", by=by, Depth="1")

    async def get(self, path: str, *, by: str = "ada") -> Any:
        """JSON."""
        async with self.client.get(f"{API}/{path}", headers={"Authorization": f"Bearer {self.tokens[by]}"}) as answer:
            body = await answer.json()
            assert answer.status == 200, body
            return body

    async def call(self, method: str, path: str, body: Any = None, *, by: str = "ada", **more: str) -> tuple[int, Any]:
        """JSON: status and answer."""
        headers = {"Authorization": f"Bearer {self.tokens[by]}", **({"Idempotency-Key": uuid4().hex} if method == "POST" else {})}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        async with self.client.request(method, f"{API}/{path}", json=body, headers=headers) as answer:
            text = await answer.read()
            return answer.status, await answer.json(content_type=None) if text else None

    async def answer(self, name: str, meeting_id: Any, said: str) -> int:
        return (await self.call("POST", f"meetings/{meeting_id}/answer", {"answer": said}, by=name))[0]

    async def hears(self, *facts: Fact) -> None:
        """What the log would bring, without its way through it: the roster first, then what calendar does about it."""
        for fact in facts:
            async with self.calendar.database.transaction() as tx:
                for table in (self.calendar.projections[0].on, self.calendar.reactions):
                    handler: Any = table.get(type(fact))
                    if handler is not None:
                        await (handler.handler(tx, [fact]) if isinstance(handler, Many) else handler(tx, fact))

    async def add(self, name: str, ministry: str) -> UUID:
        """An agent with a home, an app password and a token."""
        one, of = self.ids.setdefault(name, uuid4()), self.ministries.setdefault(ministry, uuid4())
        password, credential = access.make_app_password(), uuid4()
        await self.hears(
            AgentState(
                at=self.clock(), about=str(one), agent_id=one, ministry_id=of, kind="agent", state="active",
                email=f"{name}@example.org", given_name=name.title(), family_name="Martin", roles=("agent",),
            ),
            CredentialState(
                at=self.clock(), about=str(credential), credential_id=credential, agent_id=one, kind="app_password", state="active",
                prefix=password.prefix, digest=password.digest, scopes=("dav:calendars",),
            ),
            AgentJoined(at=self.clock(), about=str(one), agent_id=one, ministry_id=of, kind="agent"),
        )  # fmt: skip
        self.passwords[name] = str(password)
        now = self.clock()
        claims = access.Claims(
            iss=access.issuer_of(self.platform.public_url), aud="parvis", iat=int(now.timestamp()),
            exp=int((now + timedelta(days=36_500)).timestamp()), sub=one, sid=uuid4(), ministry=of, roles=("agent",),
            scope="calendar:read calendar:write",
        )  # fmt: skip
        self.tokens[name] = access.sign(claims, self.key)
        return one

    def home(self, name: str = "ada") -> str:
        return f"/dav/calendars/{self.ids[name]}/"

    def principal(self, name: str = "ada") -> str:
        return f"/dav/principals/{self.ids[name]}/"

    def agenda(self, name: str = "ada", agenda: str = "agenda") -> str:
        return f"{self.home(name)}{agenda}/"

    async def said(self) -> list[str]:
        """The types of all facts of calendar, in order."""
        return [kind for kind, _ in await self.facts()]

    async def facts(self) -> list[tuple[str, Any]]:
        """Type and content of each, in order."""
        log, outbox = tables_of("calendar")["log"].c, tables_of("calendar")["outbox"].c
        carried = sa.select(log.type, log.data, sa.literal(0), log.seq)
        waiting = sa.select(outbox.type, outbox.data, sa.literal(1), outbox.id)
        async with self.calendar.database.read() as conn:
            rows = await conn.execute(sa.union_all(carried, waiting).order_by(sa.text("3, 4")))
            return [(row[0].removeprefix("calendar."), json.loads(row[1])) for row in rows]

    async def rows(self, query: str) -> list[Any]:
        async with self.calendar.database.read() as conn:
            return list(await conn.execute(sa.text(query)))

    def later(self, seconds: float = 0, **more: float) -> None:
        """The clock goes on, and the copy of the directory with it."""
        self.clock.advance(seconds, **more)
        self.calendar.projections[0].reached_end()


def filtered(inside: str) -> str:
    return f'<C:filter><C:comp-filter name="VCALENDAR">{inside}</C:comp-filter></C:filter>'


def event(
    uid: str, *lines: str, start: str = "DTSTART:20261124T090000Z", end: str = "DTEND:20261124T100000Z", title: str = "Réunion"
) -> bytes:
    """A small event, with these lines more."""
    inside = [f"UID:{uid}", "DTSTAMP:20261101T000000Z", start, *([end] if end else []), f"SUMMARY:{title}", *lines]
    return calendar("BEGIN:VEVENT", *inside, "END:VEVENT")


def calendar(*lines: str) -> bytes:
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//Test//EN", *lines, "END:VCALENDAR", ""]).encode()


@pytest.fixture(scope="session")
def clients() -> Iterator[dict[str, str]]:
    """Where the clients lie, with an interpreter of their own."""
    try:
        with started(CLIENTS) as said:
            yield said
    except ServerMissing as reason:
        missing("CalDAV clients", str(reason))


@pytest.fixture(scope="session")
def key() -> RSAKey:
    return access.make_key()


@pytest.fixture
async def desk(place: Place, tmp_path: Path, clock: FrozenClock, key: RSAKey) -> AsyncIterator[Desk]:
    async def tables(folder: Path, url: str) -> None:
        anywhere = Platform(data=folder, database_url=SecretStr(url))
        service = build(anywhere, clock)
        await migrate([service], anywhere)
        await service.database.close()

    await place.prepare("calendar", tables)
    url = "" if place.server is None else place.url_of("any")
    platform = Platform(data=tmp_path, database_url=SecretStr(url), access_log=False, public_url="http://parvis.test")
    service = build(platform, clock)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(service.database.close)
        service.projections[0].reached_end()
        app = web.Application(client_max_size=LIMITS.body_bytes)
        mount(app, service, platform)
        client = await stack.enter_async_context(TestClient(TestServer(app, **runner_options(LIMITS))))
        desk = Desk(platform, clock, service, client, key)
        kid, end = str(key.kid), clock() + timedelta(days=36_500)
        await desk.hears(SigningKeyState(at=clock(), about=kid, kid=kid, jwk=access.public_jwk(key), not_after=end))
        for name, ministry in (("ada", "interieur"), ("bob", "interieur"), ("eve", "ecologie")):
            await desk.add(name, ministry)
        yield desk
