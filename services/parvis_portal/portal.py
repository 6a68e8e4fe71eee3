"""What every page finds on its request, and how a page is asked for: by whom, from where, and what becomes of a refusal."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

from aiohttp import web
from parvis_kit.http import Handler, Limiter, Request
from parvis_kit.problems import BadRequest, Forbidden, Problem, RequestTimeout, TooLarge

from parvis_portal.calling import ASKED, LATE, Away, Calling, Refused
from parvis_portal.looks import Looks, Mistake, said
from parvis_portal.settings import Settings
from parvis_portal.visitors import Language, SignedOut, Visitor, Visitors, language_of

FORM_BYTES_MAX = 64 * 1024
FORM_SECONDS_MAX = 15.0
FIELDS_MAX = 200
PATH_MAX = 2_000
"""Of the page to come back to after signing in."""

Form = Mapping[str, str]
Door = Callable[[Request, Visitor], Awaitable[web.StreamResponse]]
Act = Callable[[Request, Visitor, Form], Awaitable[web.StreamResponse]]
Again = Callable[..., Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Portal:
    """The portal of this process."""

    settings: Settings
    calling: Calling
    visitors: Visitors
    looks: Looks
    by_address: Limiter
    """Of those who try to sign in."""
    uploads: asyncio.Semaphore
    """Files that are being taken in from browsers without JavaScript."""
    spool: Any
    """The folder where those lie meanwhile."""

    async def ask(self, visitor: Visitor, service: str, method: str, path: str, **more: Any) -> Any:
        """The JSON of an answer. Raises Refused, Away."""
        return (await self.calling.ask(service, method, f"/api/{service}/v1/{path}", token=visitor.token, **more)).json

    async def get(self, visitor: Visitor, service: str, path: str, **query: str | int) -> Any:
        return await self.ask(visitor, service, "GET", path, query=query or None, seconds=self.calling.panel_seconds)

    def show(self, template: str, visitor: Visitor, request: Request, *, status: int = 200, **values: Any) -> web.Response:
        """A page for somebody who is signed in. `?done=` names what has just been done."""
        done = request.query.get("done", "")
        return self.looks.page(
            template, visitor.language, visitor, status=status, path=request.path, here=here(request), done=done if done in DONE else "",
            mistake=values.pop("mistake", None), typed=values.pop("typed", {}), late_services=late_services(), **values,
        )  # fmt: skip


def late_services() -> list[tuple[str, int]]:
    """The services that this page has asked and that have heard nothing of the others for a while, and for how many minutes."""
    return [(service, max(1, seconds // 60)) for service, seconds in sorted((LATE.get() or {}).items())]


PORTAL = web.RequestKey("PORTAL", Portal)
DONE = frozenset(
    "shared unshared trashed restored purged renamed moved restricted opened folder version revoked uploaded confirmed discarded replayed "
    "thrown preferences read answered created changed cancelled rebuilt meetings given".split()
)
"""What pages say after an act, each with words of its own."""


def page(door: Door) -> Handler:
    """A page for whoever is signed in; others sign in first, and come back to it.

    Each page that shows anything asks a service at least once, which judges the visitor's token: whoever has left, or signed out
    elsewhere, sees no more of them, although they are remembered here for some minutes.
    """

    @wraps(door)
    async def shown(request: Request) -> web.StreamResponse:
        portal = request[PORTAL]
        visitor: Visitor | None = None
        LATE.set({})
        judged = set[str]()
        ASKED.set(judged)
        try:
            visitor = await portal.visitors.of(request)
            answer = await door(request, visitor)
            if not judged and answer.status != 303:  # nobody has looked yet whether who is remembered still has a session
                await portal.calling.panel("directory", portal.get(visitor, "directory", f"agents/{visitor.id}"))
            return answer
        except SignedOut:
            return to_sign_in(request)
        except Refused as refused:
            if refused.status == 401:
                portal.visitors.forget(request)
                return to_sign_in(request)
            return failed(request, visitor, refused.status, words_for(language(request, visitor), refused), refused.detail)
        except Away as away:
            return failed(request, visitor, 503, said_away(language(request, visitor), away))
        except Problem as problem:
            return failed(request, visitor, problem.status, words_of(language(request, visitor), problem.code), problem.detail)

    return shown


def act(again: Again | None = None, field: str = "") -> Callable[[Act], Handler]:
    """What a form asks for. When it is refused, `again` shows the form once more, with what was typed and what is wrong with it.

    `field`: where a refusal is told that names none itself.
    """

    def around(door: Act) -> Handler:
        @page
        @wraps(door)
        async def done(request: Request, visitor: Visitor) -> web.StreamResponse:
            form = await read_form(request)
            request[PORTAL].visitors.check_site(request)
            request[PORTAL].visitors.check_form(visitor, form.get("csrf", "") or request.headers.get("X-CSRF-Token", ""))
            try:
                return await door(request, visitor, form)
            except Wrong as wrong:
                mistake, status = Mistake(wrong.field, said(visitor.language, wrong.key, **wrong.values)), 422
            except Refused as refused:
                if refused.status in (401, 403, 404) or again is None:
                    raise
                mistake, status = Mistake(field_of(refused) or field, words_for(visitor.language, refused), refused.code), refused.status
            if again is None:
                return failed(request, visitor, status, mistake.words)
            return await again(request, visitor, mistake=mistake, typed=form, status=status)

        return done

    return around


class Wrong(Exception):
    """A field of a form holds what cannot be; `key` names the words for it."""

    def __init__(self, field: str, key: str, **values: Any) -> None:
        super().__init__(key)
        self.field, self.key, self.values = field, key, values


FIELDS = {
    "name": "name", "title": "title", "location": "place", "attendees": "email", "starts_at": "hour", "ends_at": "hour", "role": "role",
    "find": "email", "deactivations": "deactivations",
}  # fmt: skip
"""What services call a value → the field of the form that it was typed into."""


def field_of(refused: Refused) -> str:
    """Where what the service found wrong was typed; nothing where no field is known."""
    named = (one for error in refused.errors for one in reversed(error.get("at", ())) if isinstance(one, str))
    return next((FIELDS[one] for one in named if one in FIELDS), "")


async def read_form(request: Request) -> Form:
    """Raises BadRequest, TooLarge, RequestTimeout."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise BadRequest("A form is sent here.")
    if (request.content_length or 0) > FORM_BYTES_MAX:
        raise TooLarge(f"At most {FORM_BYTES_MAX} bytes.")
    try:
        async with asyncio.timeout(FORM_SECONDS_MAX):
            form = await request.post()
    except TimeoutError:
        raise RequestTimeout("The form did not come in time.") from None
    except (ValueError, LookupError, web.HTTPRequestEntityTooLarge):  # LookupError: a charset that nobody knows
        raise BadRequest("This form cannot be read.") from None
    found: dict[str, str] = {}
    for name, value in list(form.items())[:FIELDS_MAX]:
        if isinstance(value, str):
            found[name] = f"{found[name]} {value}" if name in found else value  # boxes of one name, ticked: their values in a row
    return found


def to_sign_in(request: Request) -> web.StreamResponse:
    """Strict cookies are not sent with a click on another site's link: such a visitor reloads once, from our own page."""
    portal = request[PORTAL]
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method == "GET":
        return portal.looks.page("again.html", language_of(request), status=200)
    where = request.path_qs if request.method == "GET" and len(request.path_qs) <= PATH_MAX else "/"
    target = "/sign-in" if where == "/" else f"/sign-in?next={quote(where, safe='')}"
    if "HX-Request" in request.headers:
        return web.Response(status=200, headers={"HX-Redirect": "/sign-in"})
    return see(target)


def see(path: str) -> web.StreamResponse:
    """After an act: the page that shows what it did (303)."""
    return web.Response(status=303, headers={"Location": path})


def language(request: Request, visitor: Visitor | None) -> Language:
    return visitor.language if visitor else language_of(request)


def failed(request: Request, visitor: Visitor | None, status: int, words: str, detail: str = "") -> web.StreamResponse:
    """A page that says why there is no page."""
    return request[PORTAL].looks.page(
        "failed.html", language(request, visitor), visitor, status=status, words=words, detail=detail, path=request.path, done="",
        here=here(request), back=came_from(request),
    )  # fmt: skip


def here(request: Request) -> str:
    """The page that somebody looks at: after a form that was refused, the one that holds it."""
    return request.path if request.method == "GET" else came_from(request) or "/"


def came_from(request: Request) -> str:
    """The page of ours with the form that was refused; nothing where it was no form, or the browser does not say."""
    try:
        page = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return ""
    if request.method != "POST" or page.netloc != request.host:
        return ""
    return local(page.path if not page.query or "done=" in page.query else f"{page.path}?{page.query}")


def local(path: str) -> str:
    """A page of ours to come back to: never another site's."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and len(path) <= PATH_MAX and path.isprintable() else "/"


def once(form: Form) -> dict[str, str]:
    """What a form makes, it makes once, however often it is sent: the same page with the same words is the same act."""
    shown = form.get("once", "") or uuid4().hex
    said_in_it = "\n".join(f"{name}={value}" for name, value in sorted(form.items()) if name not in ("csrf", "once"))
    return {"Idempotency-Key": hashlib.sha256(f"{shown}\n{said_in_it}".encode()).hexdigest()[:32]}


async def lost(request: Request) -> web.StreamResponse:
    """An address where nothing is: told to whoever asks, signed in or not."""
    visitor: Visitor | None = None
    LATE.set({})
    with suppress(SignedOut, Refused, Away):
        visitor = await request[PORTAL].visitors.of(request)
    return failed(request, visitor, 404, words_of(language(request, visitor), "not-found"))


def said_away(language: Language, away: Away) -> str:
    return said(language, "away", service=said(language, f"service.{away.service}"))


def words_for(language: Language, refused: Refused) -> str:
    if refused.code == "invalid" and any(error.get("type") == "string_too_long" for error in refused.errors):
        return said(language, "problem.too-long")
    return words_of(language, refused.code)


KNOWN = frozenset(
    "bad-request unauthorized forbidden not-found request-timeout conflict key-reused precondition-failed too-large unsupported-media-type "
    "invalid too-many-requests quota-exceeded holds-restricted in-trash bad-name".split()
)


def words_of(language: Language, code: str) -> str:
    """The sentence for a problem's code; the service's own, which is English, stands beside it in small print."""
    return said(language, f"problem.{code}" if code in KNOWN else "problem.other")


def check_role(is_so: bool) -> None:
    """For pages that only some have. Raises Forbidden."""
    if not is_so:
        raise Forbidden("This page is for others.")
