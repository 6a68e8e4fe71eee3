"""Refused lines as a file that Excel opens: the columns as they came, the line's number, the reason; no formula among them."""

import csv
from collections.abc import Sequence
from io import StringIO

from parvis_directory.rules.onboarding import Step
from parvis_directory.rules.reasons import said

BYTE_ORDER_MARK = "\ufeff"
"""Without it Excel takes UTF-8 for Windows-1252."""
FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")
"""What makes Excel compute a cell instead of showing it (OWASP, CSV injection)."""
MORE_TITLES = {"fr": ("ligne", "motif"), "en": ("line", "reason")}


def rejects_head(titles: Sequence[str], language: str) -> str:
    return BYTE_ORDER_MARK + _row([*titles, *MORE_TITLES[language]])


def rejects_line(titles: Sequence[str], step: Step, language: str) -> str:
    cells = (step.cells or [])[: len(titles)]
    padded = [*cells, *[""] * (len(titles) - len(cells))]
    return _row([*padded, str(step.line or ""), said(step.code, step.about, language)])


def _row(cells: Sequence[str]) -> str:
    written = StringIO()
    csv.writer(written, delimiter=";", lineterminator="\r\n").writerow([harmless(cell) for cell in cells])
    return written.getvalue()


def harmless(cell: str) -> str:
    """An apostrophe before what would be a formula; Excel shows the rest as text."""
    return f"'{cell}" if cell.lstrip(" \u00a0\n").startswith(FORMULA_BEGINS) else cell
