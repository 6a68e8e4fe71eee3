"""How the portal asks the services: over HTTP like any other client, within a time, and with a name for each way to fail."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import uuid4

import aiohttp
from multidict import CIMultiDictProxy
from parvis_kit.context import CAUSE
from pydantic_core import from_json
from yarl import URL

T = TypeVar("T")
CONNECTIONS_MAX = 128
"""To all services together; a page asks for about four things at once."""
IDLE_SECONDS = 10.0
"""Below the services' own 15 s: a connection that they are about to close is not used again."""
ACT_SECONDS_MAX = 25.0
"""Below the 30 s after which a service gives a request up by itself."""
ANSWER_BYTES_MAX = 8 * 2**20
PROBLEM = "urn:parvis:problem:"


ASKED: ContextVar[set[str] | None] = ContextVar("ASKED", default=None)
"""While a page is made: the services that judged the visitor's token for it."""
LATE: ContextVar[dict[str, int] | None] = ContextVar("LATE", default=None)
"""While a page is made: the services whose answers say that nothing of what others say has come in, and for how many seconds."""
LATE_HEADER = "Parvis-Late-Seconds"


class Away(Exception):
    """A service did not answer, or said that it cannot now."""

    def __init__(self, service: str) -> None:
        super().__init__(service)
        self.service = service


class Refused(Exception):
    """A service refused what was asked: its status, the code of its problem, its words, and where in the input it points."""

    def __init__(self, service: str, status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(f"{service}: {status} {code}")
        self.service, self.status, self.code, self.detail, self.errors = service, status, code, detail, errors or []


def note_asked(service: str) -> None:
    if (asked := ASKED.get()) is not None:
        asked.add(service)


@dataclass(frozen=True, slots=True)
class Said:
    """What a service answered."""

    json: Any
    headers: "CIMultiDictProxy[str]"
    status: int


@dataclass(frozen=True, slots=True)
class Panel(Generic[T]):
    """A part of a page: what it shows, or why it cannot."""

    value: T | None = None
    refused: Refused | None = None
    away: str = ""

    @property
    def is_there(self) -> bool:
        return self.refused is None and not self.away


@dataclass(slots=True)
class Calling:
    """The services' addresses, and the connections to them."""

    own: str
    """The portal's own address, where every service answers that is not named."""
    addresses: Mapping[str, str]
    panel_seconds: float
    _session: aiohttp.ClientSession | None = field(default=None, repr=False)

    async def open(self) -> None:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=IDLE_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None, "it is opened before any request"  # noqa: S101
        return self._session

    def base_of(self, service: str) -> str:
        return self.addresses.get(service, self.own)

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        *,
        token: str = "",
        body: Any = None,
        data: Any = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = ACT_SECONDS_MAX,
    ) -> Said:
        """Raises Refused, Away."""
        asked = {"X-Request-Id": CAUSE.get().request_id, **(headers or {})}
        if token:
            asked["Authorization"] = f"Bearer {token}"
        if method == "POST" and "Idempotency-Key" not in asked:
            asked["Idempotency-Key"] = uuid4().hex
        url = URL(self.base_of(service) + path, encoded=True)
        try:
            async with (
                asyncio.timeout(seconds),
                self.session.request(
                    method, url.update_query(query) if query else url, json=body, data=data, headers=asked, allow_redirects=False
                ) as answer,
            ):
                if (answer.content_length or 0) > ANSWER_BYTES_MAX:
                    raise Away(service)
                raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise Away(service) from None
        if answer.status == 503:
            raise Away(service)
        if token:
            note_asked(service)
        if (said_late := answer.headers.get(LATE_HEADER, "")).isdecimal() and (late := LATE.get()) is not None:
            late[service] = int(said_late)
        try:
            said = from_json(raw) if raw else None
        except ValueError:
            raise Away(service) from None
        if answer.status >= 400:
            document = said if isinstance(said, dict) else {}
            code = str(document.get("type", "")).removeprefix(PROBLEM)
            raise Refused(service, answer.status, code, str(document.get("detail", "")), document.get("errors"))
        return Said(said, answer.headers, answer.status)

    async def stream(self, service: str, path: str, token: str) -> AsyncIterator[bytes]:
        """A download of a service, piece by piece. Raises Refused, Away, before the first piece."""
        try:
            async with self.session.get(
                self.base_of(service) + path, headers={"Authorization": f"Bearer {token}", "X-Request-Id": CAUSE.get().request_id}
            ) as answer:
                if answer.status >= 400:
                    raise Refused(service, answer.status, "", "")
                note_asked(service)
                async for piece in answer.content.iter_chunked(65536):
                    yield piece
        except (aiohttp.ClientError, OSError):
            raise Away(service) from None

    async def panel(self, service: str, asked: Awaitable[T]) -> Panel[T]:
        """What came within the time of a panel. A session that has ended is no panel's matter: it is raised."""
        try:
            async with asyncio.timeout(self.panel_seconds):
                return Panel(await asked)
        except Refused as refused:
            if refused.status == 401:
                raise
            return Panel(refused=refused)
        except Away as away:
            return Panel(away=away.service)
        except TimeoutError:
            return Panel(away=service)
