"""The report as a table on a terminal, as CSV and as JSON."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from parvis_billing.rules.money import plain, said
from parvis_billing.rules.report import Figure, Line, Perimeter, Report

WORDS = {
    "en": {
        "all": "all ministries", "ministry": "ministry", "a year": "€ a year and agent", "provisioned": "provisioned", "active": "active",
        "range": "range over keys", "cost": "cost", "target": "target", "unallocated": "unallocated", "open": "still open",
        "hosting": "Hosting: what running Parvis costs", "suite": "Suite: the sentence of the roadmap",
        "complete": "Complete: with the network and overheads", "agree": "agrees with the invoices to the cent",
        "differs": "DIFFERS FROM THE INVOICES", "booked": "as booked", "restated": "as restated",
    },
    "fr": {
        "all": "tous les ministères", "ministry": "ministère", "a year": "€ par an et par agent", "provisioned": "ouverts",
        "active": "actifs", "range": "fourchette selon les clés", "cost": "coût", "target": "cible", "unallocated": "non affecté",
        "open": "encore ouverts", "hosting": "Hébergement : ce que coûte l'exploitation de Parvis",
        "suite": "Suite : la phrase de la feuille de route", "complete": "Complet : avec le réseau et les frais généraux",
        "agree": "conforme aux factures au centime", "differs": "DIFFÈRE DES FACTURES",
        "booked": "tel que comptabilisé", "restated": "retraité",
    },
}  # fmt: skip
SERVICES = {
    "en": {
        "calendar": "Calendar", "directory": "Directory", "files": "Files", "messaging": "Messaging", "network": "Network",
        "portal": "Portal",
    },
    "fr": {
        "calendar": "Agendas", "directory": "Annuaire", "files": "Fichiers", "messaging": "Messagerie", "network": "Réseau",
        "portal": "Portail",
    },
}  # fmt: skip
COLUMNS = (
    "months", "basis", "perimeter", "siren", "ministry", "service", "provisioned_user_months", "active_user_months", "cost_eur",
    "least_eur", "greatest_eur", "eur_per_provisioned_year", "eur_per_provisioned_year_least", "eur_per_provisioned_year_greatest",
    "eur_per_active_year", "eur_per_active_year_least", "eur_per_active_year_greatest", "target_eur",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would compute."""


def as_json(report: Report) -> str:
    return json.dumps(asdict(report), default=str, ensure_ascii=False, indent=1)


def as_csv(report: Report) -> str:
    """One line for each ministry and service, and for their sums; amounts in euros with a point."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    head = [f"{report.months[0]}/{report.months[-1]}", report.basis]
    for perimeter in report.perimeters:
        target = plain(report.target_cents) if perimeter.is_against_target else ""
        for line in (*perimeter.lines, perimeter.total):
            who = [*head, perimeter.name, line.siren, safe(line.name) or "all"]
            for service, figure in (("all", line.total), *sorted(line.services.items())):
                writer.writerow([*who, service, line.provisioned_months, line.active_months, *amounts(figure), target])
        if perimeter.unallocated_cents:
            cost = plain(perimeter.unallocated_cents)
            writer.writerow([*head, perimeter.name, "", "unallocated", "all", 0, 0, cost, cost, cost, *[""] * 6, target])
    return written.getvalue()


def safe(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def amounts(figure: Figure) -> list[str]:
    yearly = (
        figure.per_provisioned, figure.per_provisioned_least, figure.per_provisioned_greatest, figure.per_active,
        figure.per_active_least, figure.per_active_greatest,
    )  # fmt: skip
    whole = (figure.cents, figure.least_cents, figure.greatest_cents)
    return [plain(one) for one in whole] + ["" if one is None else plain(one) for one in yearly]


def ranged(value: int | None, least: int | None, greatest: int | None, language: str) -> str:
    """`€47.12 (€38.00 – €61.00)`."""
    if value is None or least is None or greatest is None:
        return "–"
    return f"{said(value, language)} ({said(least, language)} – {said(greatest, language)})"


def as_table(report: Report, language: str) -> str:
    words = WORDS[language]
    lines = [f"{report.months[0]} – {report.months[-1]} (UTC), {words[report.basis]}"]
    if report.open_months:
        lines.append(f"{words['open']}: {', '.join(report.open_months)}")
    for perimeter in report.perimeters:
        lines += ["", words[perimeter.name], *_rows(_cells(perimeter, language, words))]
        if perimeter.is_against_target:
            lines.append(f"{words['target']}: {said(report.target_cents, language)}")
        if perimeter.unallocated_cents:
            lines.append(f"{words['unallocated']}: {said(perimeter.unallocated_cents, language)}")
        agrees = perimeter.invoices_cents == perimeter.total.total.cents
        lines.append(f"{said(perimeter.invoices_cents, language)}: {words['agree' if agrees else 'differs']}")
    if report.benchmarks:
        lines.append("")
    for one in report.benchmarks:
        lines.append(f"{one.title}: {one.price} {one.currency} {one.per} ({one.source.title}, {one.source.date})")
    return "\n".join(lines) + "\n"


def _cells(perimeter: Perimeter, language: str, words: dict[str, str]) -> Iterator[list[str]]:
    yield [words["ministry"], words["cost"], f"{words['a year']}, {words['provisioned']} ({words['range']})", words["active"]]
    for line in (*perimeter.lines, perimeter.total):
        for service, figure in (("", line.total), *sorted(line.services.items())):
            name = f"  {service_named(service, language)}" if service else line.name or words["all"]
            yield [name, said(figure.cents, language), *per_agent(figure, language)]


def per_agent(figure: Figure, language: str) -> list[str]:
    return [
        ranged(figure.per_provisioned, figure.per_provisioned_least, figure.per_provisioned_greatest, language),
        ranged(figure.per_active, figure.per_active_least, figure.per_active_greatest, language),
    ]


def _rows(cells: Iterator[list[str]]) -> list[str]:
    table = list(cells)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    padded = [[one.ljust(widths[0]), *(each.rjust(width) for each, width in zip(rest, widths[1:], strict=True))] for one, *rest in table]
    return ["  ".join(row).rstrip() for row in padded]


def service_named(service: str, language: str) -> str:
    """As people call it; one that a file of costs made up, as that file does."""
    return SERVICES[language].get(service, service)


def named(line: Line, words: dict[str, Any]) -> str:
    return line.name or str(words["all"])
