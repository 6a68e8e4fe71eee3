"""What one uses and what it costs, and for finance what an agent costs a year: a chart, and the table that says the same."""

import csv
import io
import re
from calendar import monthrange
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from aiohttp import web
from markupsafe import Markup
from parvis_kit.http import Request, Routes

from parvis_portal.charts import bars
from parvis_portal.looks import Mistake, as_bytes, as_euros, as_number, said
from parvis_portal.portal import PORTAL, check_role, page
from parvis_portal.visitors import Language, Visitor

ROUTES = Routes("portal", "1")
PERIMETERS = ("suite", "hosting", "complete")
MONTH = re.compile(r"\d{4}-\d{2}")
MONTHS_A_YEAR, MICRO_PER_CENT = 12, 10_000
STORAGE, SECONDS_A_DAY = "files.byte_seconds", 86_400
METERS = {"files.actions": "used.file-actions", "calendar.meetings": "used.meetings", "messaging.messages": "used.messages"}
"""Billing's meters of use; what a file of use brings besides is shown by its own name."""
COSTED = ("files", "calendar", "messaging", "portal", "directory", "network")
"""Services that have a word of their own."""
RANGED = Markup('{} <span class="small">({} – {})</span>')
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would compute."""


@ROUTES.raw("GET", "/cost")
@page
async def show_own(request: Request, visitor: Visitor) -> web.StreamResponse:
    portal, month = request[PORTAL], month_in(request, "month")
    query = {"month": month} if month else {}
    cost = await portal.calling.panel("billing", portal.get(visitor, "billing", "me", **query))
    space = await portal.calling.panel("files", portal.get(visitor, "files", "spaces/personal"))
    services = list(by_service(cost.value, visitor.language)) if cost.value else []
    return portal.show(
        "cost.html", visitor, request, cost=cost, space=space, services=services, perimeters=PERIMETERS, months=MONTHS_A_YEAR
    )


def by_service(explanation: Any, language: Language) -> Iterator[tuple[str, list[str], dict[str, int], list[Any]]]:
    """Service, what was used of it in words, micro-euros of the month in each perimeter, and the steps that lead to them.

    Of what was booked of the month in a ministry the last counts: a correction is computed whole, and books the difference.
    """
    parts = list({part["ministry_id"]: part for part in sorted(explanation["parts"], key=lambda part: str(part["booked"]))}.values())
    steps = [step for part in parts for step in part["steps"]]
    used = Counter[str]()
    for part in parts:
        used.update(part["use"])
    seats = max((part["provisioned"] for part in parts), default=0)
    for service in sorted({step["service"] for step in steps} | {meter.partition(".")[0] for meter, much in used.items() if much}):
        mine = [step for step in steps if step["service"] == service]
        words = [
            in_words(meter, much, explanation["month"], language) for meter, much in sorted(used.items()) if meter.startswith(f"{service}.")
        ]
        sums = {name: sum(one["micro_eur"] for one in mine if name in one["perimeters"]) for name in PERIMETERS}
        yield service, words or [said(language, "used.seat" if seats else "used.nothing")], sums, mine


def in_words(meter: str, much: int, month: str, language: Language) -> str:
    """A meter as people speak of it: bytes for as long as they lay there become what lay there on average."""
    if meter == STORAGE:
        seconds = monthrange(int(month[:4]), int(month[5:7]))[1] * SECONDS_A_DAY
        return said(language, "used.stored", size=as_bytes(language, round(much / seconds)))
    key = METERS.get(meter)
    number = as_number(language, much)
    return said(language, key, number=number) if key else f"{meter} : {number}"


def month_in(request: Request, name: str) -> str:
    """A month of the query, or nothing for what is none."""
    text = request.query.get(name, "")
    return text if MONTH.fullmatch(text) else ""


def asked(request: Request) -> dict[str, str | int]:
    """What the report is asked for, as billing names it."""
    found: dict[str, str | int] = {name: month for name in ("first", "last") if (month := month_in(request, name))}
    if request.query.get("basis") == "restated":
        found["basis"] = "restated"
    return found


@ROUTES.raw("GET", "/finance")
@page
async def show_report(request: Request, visitor: Visitor) -> web.StreamResponse:
    check_role(visitor.is_finance)
    portal, query = request[PORTAL], asked(request)
    report = await portal.calling.panel("billing", portal.get(visitor, "billing", "report", **query))
    periods = await portal.calling.panel("billing", portal.get(visitor, "billing", "periods"))
    search = "&".join(f"{name}={value}" for name, value in query.items())
    perimeters = sorted((report.value or {"perimeters": []})["perimeters"], key=lambda one: PERIMETERS.index(one["name"]))
    is_wrong = report.refused is not None and report.refused.code == "invalid"
    return portal.show(
        "finance.html", visitor, request, report=report, periods=periods, query=query, search=search, perimeters=perimeters,
        rows=partial(rows_of, visitor.language),
        mistake=Mistake("first", said(visitor.language, "wrong.period")) if is_wrong else None, status=422 if is_wrong else 200,
    )  # fmt: skip


class Row(NamedTuple):
    """Of the table, in words: a ministry or all of them, with a service or all of those."""

    service: str
    months: str
    cost: str
    per_provisioned: str
    per_active: str


def rows_of(language: Language, line: Any) -> Iterator[Row]:
    """Made here and not in the template: with ten ministries they hold a thousand amounts."""
    months = f"{as_number(language, line['provisioned_months'])} / {as_number(language, line['active_months'])}"
    for service, figure in [("", line["total"]), *sorted(line["services"].items())]:
        yield Row(
            said(language, "finance.whole") if not service else said(language, f"costed.{service}") if service in COSTED else service,
            "" if service else months,
            as_euros(language, figure["cents"]),
            ranged(language, figure, "per_provisioned"),
            ranged(language, figure, "per_active"),
        )


def ranged(language: Language, figure: Any, name: str) -> str:
    """An amount, and between which ones it could be, where that is more than one."""
    amount, least, greatest = figure[name], figure[f"{name}_least"], figure[f"{name}_greatest"]
    if amount is None or least == greatest:
        return as_euros(language, amount)
    return RANGED.format(as_euros(language, amount), as_euros(language, least), as_euros(language, greatest))


@ROUTES.raw("GET", "/finance/chart.svg")
@page
async def show_chart(request: Request, visitor: Visitor) -> web.StreamResponse:
    """A picture by itself, so that no page needs inline style; the table beside it says the same."""
    check_role(visitor.is_finance)
    portal = request[PORTAL]
    report = await portal.get(visitor, "billing", "report", **asked(request))
    name = request.query.get("perimeter", "suite")
    chosen = next((one for one in report["perimeters"] if one["name"] == name), report["perimeters"][0])
    target = report["target_cents"] if chosen["is_against_target"] else None
    text = bars([named(one, visitor) for one in [*chosen["lines"], chosen["total"]]], target, visitor.language)
    return web.Response(text=text, content_type="image/svg+xml", headers={"Cache-Control": "private, no-store", "Vary": "Cookie"})


def named(line: Any, visitor: Visitor) -> tuple[str, Mapping[str, Any]]:
    return line["name"] or said(visitor.language, "finance.all"), line["total"]


@ROUTES.raw("GET", "/finance/report.csv")
@page
async def download_csv(request: Request, visitor: Visitor) -> web.StreamResponse:
    """For a spreadsheet: semicolons and decimal commas in French, and no cell that it would compute."""
    check_role(visitor.is_finance)
    report = await request[PORTAL].get(visitor, "billing", "report", **asked(request))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";" if visitor.language == "fr" else ",", lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for perimeter in report["perimeters"]:
        for line in [*perimeter["lines"], perimeter["total"]]:
            for service, figure in [("", line["total"]), *sorted(line["services"].items())]:
                writer.writerow([safe(one, visitor) for one in row(report, perimeter["name"], line, service, figure)])
    name = f"parvis-{report['months'][0]}-{report['months'][-1]}.csv"
    return web.Response(body=("\ufeff" + out.getvalue()).encode(), headers=saved(name, "text/csv; charset=utf-8"))


COLUMNS = (
    "months", "perimeter", "siren", "ministry", "service", "provisioned_user_months", "active_user_months", "cost_eur", "least_eur",
    "greatest_eur", "eur_per_provisioned_year", "eur_per_provisioned_year_least", "eur_per_provisioned_year_greatest",
    "eur_per_active_year", "eur_per_active_year_least", "eur_per_active_year_greatest",
)  # fmt: skip
AMOUNTS = (
    "cents", "least_cents", "greatest_cents", "per_provisioned", "per_provisioned_least", "per_provisioned_greatest", "per_active",
    "per_active_least", "per_active_greatest",
)  # fmt: skip


def row(report: Any, perimeter: str, line: Any, service: str, figure: Any) -> list[Any]:
    months = f"{report['months'][0]}/{report['months'][-1]}"
    amounts = [None if figure[name] is None else figure[name] / 100 for name in AMOUNTS]
    return [months, perimeter, line["siren"], line["name"], service, line["provisioned_months"], line["active_months"], *amounts]


def safe(cell: Any, visitor: Visitor) -> str:
    if isinstance(cell, float):
        text = f"{cell:.2f}"
        return text.replace(".", ",") if visitor.language == "fr" else text
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(FORMULA) else text


@ROUTES.raw("GET", "/finance/report.json")
@page
async def download_json(request: Request, visitor: Visitor) -> web.StreamResponse:
    """As billing answers it."""
    check_role(visitor.is_finance)
    portal = request[PORTAL]
    query = "&".join(f"{name}={value}" for name, value in asked(request).items())
    pieces = [piece async for piece in portal.calling.stream("billing", f"/api/billing/v1/report?{query}", visitor.token)]
    return web.Response(body=b"".join(pieces), headers=saved("parvis-report.json", "application/json"))


def saved(name: str, media_type: str) -> dict[str, str]:
    return {"Content-Type": media_type, "Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
