"""A ministry's agents come aboard: its file tried, priced, confirmed and watched; and those who have left, with who has done their part."""

import asyncio
from typing import Any

from aiohttp import web
from parvis_kit.http import Request, Routes

from parvis_portal.calling import Refused
from parvis_portal.looks import Mistake, said
from parvis_portal.pages.common import id_in, id_of
from parvis_portal.pages.costs import PERIMETERS
from parvis_portal.pages.sending import taken
from parvis_portal.portal import PORTAL, Form, Portal, Wrong, act, check_role, page, see, words_for
from parvis_portal.visitors import Language, Visitor

ROUTES = Routes("portal", "1")
FILE_BYTES_MAX = 16 * 2**20
"""As directory has it."""
LINES_SHOWN, JOBS_SHOWN, LEAVERS_SHOWN = 50, 10, 20
MEETINGS = {
    "meetings kept": "did.meetings-kept",
    "meetings handed over": "did.meetings-handed-over",
    "meetings cancelled": "did.meetings-cancelled",
}
"""As calendar says it."""
VERDICTS = ("create", "adopt", "update", "unchanged", "deactivate", "later", "repeated", "reject")


async def ministry_of(request: Request, visitor: Visitor) -> tuple[str, list[Any]]:
    """One's own; operators choose one. Raises Forbidden."""
    check_role(visitor.is_administrator)
    chosen = request.query.get("ministry", "")
    ministries: list[Any] = []
    if visitor.is_operator:
        ministries = (await request[PORTAL].get(visitor, "directory", "ministries", limit=100))["items"]
    return (id_of(chosen) if chosen and visitor.is_operator else visitor.ministry_id), ministries


@ROUTES.raw("GET", "/onboarding")
@page
async def show_jobs(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await jobs(request, visitor)


async def jobs(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    portal = request[PORTAL]
    ministry, ministries = await ministry_of(request, visitor)
    way, after_job, after_leaver = f"ministries/{ministry}", request.query.get("after", ""), request.query.get("left", "")
    paging: dict[str, str | int] = {"limit": JOBS_SHOWN, **({"after": after_job} if after_job else {})}
    turning: dict[str, str | int] = {"limit": LEAVERS_SHOWN, **({"after": after_leaver} if after_leaver else {})}
    found, leavers = await asyncio.gather(
        portal.calling.panel("directory", portal.get(visitor, "directory", f"{way}/onboardings", **paging)),
        portal.calling.panel("directory", portal.get(visitor, "directory", f"{way}/leavers", **turning)),
    )
    return portal.show(
        "onboarding.html", visitor, request, jobs=found, leavers=leavers, ministry=ministry, ministries=ministries, status=status,
        after_job=after_job, after_leaver=after_leaver, whose=f"ministry={ministry}&" if ministries else "", meetings_done=meetings_done,
        may_choose="ministry_administrator" in visitor.roles and ministry == visitor.ministry_id, **{"detail": "", **more},
    )  # fmt: skip


def meetings_done(language: Language, departure: Any) -> str:
    """What calendar has done last with the meetings of one who left; what waits in it to be done is on their own page."""
    step = next((one for one in departure["done"] if one["service"] == "calendar"), None)
    if step is None:
        return said(language, "meetings.not-yet")
    return next((said(language, MEETINGS[what]) for what in reversed(step["what"]) if what in MEETINGS), said(language, "meetings.nothing"))


@ROUTES.raw("POST", "/onboarding")
@page
async def send_file(request: Request, visitor: Visitor) -> web.StreamResponse:
    """A dry run: nothing is done yet."""
    portal = request[PORTAL]
    ministry, _ = await ministry_of(request, visitor)
    async with taken(request, visitor, FILE_BYTES_MAX) as one:
        query = {"complete": "false" if "partial" in one.fields else "true"}
        await asyncio.to_thread(one.file.seek, 0)
        raw = await asyncio.to_thread(one.file.read)
        way, headers = f"ministries/{ministry}/onboardings", {"Content-Type": "text/csv"}
        try:
            job = await portal.ask(visitor, "directory", "POST", way, data=raw, query=query, headers=headers)
        except Refused as refused:
            if refused.status not in (409, 413, 422):
                raise
            return await jobs(request, visitor, refused.status, **why_not(visitor.language, refused))
    return see(f"/onboarding/{job['id']}")


def why_not(language: Language, refused: Refused) -> dict[str, Any]:
    """What is wrong with the file as a whole; the service's own words, which are English, where ours say less."""
    if missing := [str(error["at"][-1]) for error in refused.errors if error.get("type") == "missing" and error.get("at")]:
        return {"mistake": Mistake("file", said(language, "onboarding.missing", names=", ".join(missing)))}
    words = said(language, "onboarding.unreadable") if refused.status == 422 else words_for(language, refused)
    return {"mistake": Mistake("file", words), "detail": refused.detail}


@ROUTES.raw("GET", "/onboarding/{onboarding_id}")
@page
async def show_job(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await job(request, visitor)


async def job(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    check_role(visitor.is_administrator)
    portal, way = request[PORTAL], f"onboardings/{id_in(request, 'onboarding_id')}"
    found = await portal.get(visitor, "directory", way)
    if "HX-Request" in request.headers:
        return portal.show("_job.html", visitor, request, job=found, verdicts=VERDICTS)
    verdict = request.query.get("verdict", "")
    after = request.query.get("after", "")
    query: dict[str, str | int] = {"limit": LINES_SHOWN, "language": visitor.language}
    query |= {"verdict": verdict} if verdict in VERDICTS else {}
    query |= {"after": after} if after.isdecimal() else {}
    lines, price = await asyncio.gather(
        portal.calling.panel("directory", portal.get(visitor, "directory", f"{way}/lines", **query)),
        portal.calling.panel("billing", price_of(portal, visitor, found)),
    )
    return portal.show(
        "job.html", visitor, request, job=found, lines=lines, price=price, verdict=verdict, verdicts=VERDICTS, status=status, **more
    )


async def price_of(portal: Portal, visitor: Visitor, found: Any) -> Any:
    """What those who would come would cost in a year; nothing where nobody comes."""
    agents = found["plan"].get("create", 0)
    if found["state"] != "draft" or not agents:
        return None
    price = await portal.get(visitor, "billing", "simulate", ministry_id=found["ministry_id"], agents=agents)
    price["perimeters"].sort(key=lambda one: PERIMETERS.index(one["perimeter"]))
    return price


@ROUTES.raw("POST", "/onboarding/{onboarding_id}/confirm")
@act(job)
async def confirm(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """Where the file closes many accounts, their number is typed: a box alone is ticked too quickly."""
    portal, way = request[PORTAL], f"onboardings/{id_in(request, 'onboarding_id')}"
    found = await portal.get(visitor, "directory", way)
    body: dict[str, Any] = {}
    if found["guard_rails"]:
        typed = form.get("deactivations", "").strip()
        if not typed.isdecimal() or int(typed) != found["closings"]:
            raise Wrong("deactivations", "wrong.deactivations", number=found["closings"])
        body = {"accept_deactivations": True, "deactivations": int(typed)}
    await portal.ask(visitor, "directory", "POST", f"{way}/confirm", body=body)
    return see(f"/onboarding/{found['id']}?done=confirmed")


@ROUTES.raw("POST", "/onboarding/{onboarding_id}/discard")
@act(job)
async def discard(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    await request[PORTAL].ask(visitor, "directory", "DELETE", f"onboardings/{id_in(request, 'onboarding_id')}")
    return see("/onboarding?done=discarded")


@ROUTES.raw("GET", "/onboarding/{onboarding_id}/rejects")
@page
async def download_rejects(request: Request, visitor: Visitor) -> web.StreamResponse:
    check_role(visitor.is_administrator)
    portal, onboarding_id = request[PORTAL], id_in(request, "onboarding_id")
    path = f"/api/directory/v1/onboardings/{onboarding_id}/rejects?language={visitor.language}"
    name = f"rejets-{onboarding_id[:8]}.csv" if visitor.language == "fr" else f"rejects-{onboarding_id[:8]}.csv"
    answer: web.StreamResponse | None = None
    async for piece in portal.calling.stream("directory", path, visitor.token):
        if answer is None:
            headers = {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": f'attachment; filename="{name}"'}
            answer = web.StreamResponse(headers=headers | {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
            await answer.prepare(request)
        await answer.write(piece)
    if answer is None:
        return see(f"/onboarding/{onboarding_id}")
    await answer.write_eof()
    return answer
