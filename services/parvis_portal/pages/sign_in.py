"""Signing in and out, and in which language the pages speak."""

import asyncio

from aiohttp import web
from parvis_kit.http import Request, Routes, client_address, limit_client
from parvis_kit.problems import Problem

from parvis_portal.calling import Away, Refused
from parvis_portal.looks import Mistake, said
from parvis_portal.portal import PORTAL, Form, Wrong, act, local, read_form, said_away, see
from parvis_portal.visitors import LANGUAGES, SignedOut, Visitor, language_of

ROUTES = Routes("portal", "1")
CSRF_HOURS = 24
"""As long as a session can be; it says nothing without one."""


@ROUTES.raw("GET", "/sign-in")
async def show_sign_in(request: Request) -> web.StreamResponse:
    """Whoever has a session already goes on."""
    portal, target = request[PORTAL], local(request.query.get("next", "/"))
    try:
        await portal.visitors.of(request)
    except (SignedOut, Refused, Away):
        return form(request, target)
    return see(target)


def form(request: Request, target: str, mistake: Mistake | None = None, email: str = "", status: int = 200) -> web.StreamResponse:
    portal = request[PORTAL]
    return portal.looks.page(
        "sign-in.html", language_of(request), status=status, target=target, mistake=mistake, email=email,
        public_url=portal.visitors.public_url, is_out="out" in request.query,
    )  # fmt: skip


@ROUTES.raw("POST", "/sign-in")
async def sign_in(request: Request) -> web.StreamResponse:
    """Directory's answer sets the session's cookie; the session's token against forged requests goes into a second one."""
    portal, language = request[PORTAL], language_of(request)
    target, email = "/", ""
    try:
        sent = await read_form(request)
        target, email = local(sent.get("next", "/")), sent.get("email", "").strip()[:254]
        portal.visitors.check_site(request)
        limit_client(portal.by_address, request)
        body = {"email": email, "password": sent.get("password", "")[:256]}
        said_ = await portal.calling.ask(
            "directory", "POST", "/auth/sign-in", body=body, headers={"X-Forwarded-For": client_address(request)}
        )
    except Away as away:
        return form(request, target, Mistake("", said_away(language, away)), email, 503)
    except Refused as refused:
        key = {404: "sign-in.elsewhere", 429: "problem.too-many-requests"}.get(refused.status, "sign-in.wrong")
        return form(request, target, Mistake("" if refused.status in (404, 429) else "email", said(language, key)), email, refused.status)
    except Problem as problem:
        key = {403: "sign-in.other-site", 429: "problem.too-many-requests"}.get(problem.status, "problem.other")
        return form(request, target, Mistake("", said(language, key, url=portal.visitors.public_url)), email, problem.status)
    answer = see(target)
    for cookie in said_.headers.getall("Set-Cookie", ()):
        answer.headers.add("Set-Cookie", cookie)
    portal.visitors.set_csrf(answer, said_.json["csrf_token"], CSRF_HOURS)
    return answer


@ROUTES.raw("POST", "/sign-out")
@act()
async def sign_out(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    portal = request[PORTAL]
    secret, csrf = portal.visitors.cookies_of(request)
    portal.visitors.forget(request)
    await asyncio.gather(
        portal.calling.ask("directory", "POST", "/auth/sign-out", headers=portal.visitors.as_session(secret, csrf)), return_exceptions=True
    )
    answer = see("/sign-in?out=1")
    portal.visitors.clear(answer)
    return answer


@ROUTES.raw("POST", "/language")
@act()
async def choose_language(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """Kept by directory: notices and messages speak it too."""
    portal = request[PORTAL]
    if form.get("language") not in LANGUAGES:
        raise Wrong("", "wrong.language")
    path = f"/api/directory/v1/agents/{visitor.id}"
    found = await portal.calling.ask("directory", "GET", path, token=visitor.token)
    headers = {"If-Match": found.headers["ETag"]}
    await portal.calling.ask("directory", "PATCH", path, token=visitor.token, body={"language": form["language"]}, headers=headers)
    portal.visitors.forget(request)
    return see(local(form.get("back", "/")))
