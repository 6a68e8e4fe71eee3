"""Charts as SVG, made here: bars against a target, each with the range that it could have been."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from parvis_portal.looks import as_euros, said
from parvis_portal.visitors import Language

BAR, GAP, LABEL, WIDTH, HEAD, TAIL = 24, 16, 300, 960, 44, 150
"""In the chart's own units."""
LABEL_MAX = 40
INK, MAIN, RANGE, GRID = "#1b2326", "#0b5c6b", "#b35400", "#d3dcde"


def bars(lines: Sequence[tuple[str, Mapping[str, Any]]], target_cents: int | None, language: Language) -> str:
    """Cents per provisioned agent and year, one bar a line."""
    amounts = [one[name] or 0 for _, one in lines for name in ("per_provisioned", "per_provisioned_greatest")]
    scale = max(*amounts, target_cents or 0, 1)
    height = HEAD + len(lines) * (BAR + GAP) + 8

    def at(cents: int) -> int:
        return LABEL + max(0, cents) * (WIDTH - LABEL - TAIL) // scale

    drawn = [f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', f'<path d="M{LABEL} {HEAD - 10}V{height - 6}" stroke="{GRID}"/>']
    for number, (name, figure) in enumerate(lines):
        top = HEAD + number * (BAR + GAP)
        drawn += _bar(name, figure, top, at, language)
    if target_cents is not None:
        where, words = at(target_cents), f"{said(language, 'finance.target')} {as_euros(language, target_cents, 0)}"
        drawn.append(f'<path d="M{where} {HEAD - 12}V{height - 4}" stroke="{INK}" stroke-width="2" stroke-dasharray="6 4"/>')
        drawn.append(f'<text x="{where}" y="{HEAD - 20}" text-anchor="middle" font-weight="600">{escape(words)}</text>')
    title = escape(said(language, "finance.chart"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-size="15" '
        f'font-family="system-ui, sans-serif" fill="{INK}"><title>{title}</title>{"".join(drawn)}</svg>'
    )


def _bar(name: str, figure: Mapping[str, Any], top: int, at: Any, language: Language) -> list[str]:
    short, middle = name if len(name) <= LABEL_MAX else f"{name[: LABEL_MAX - 1]}…", top + BAR // 2
    drawn = [f'<text x="{LABEL - 12}" y="{middle + 5}" text-anchor="end">{escape(short)}</text>']
    value = figure["per_provisioned"]
    if value is None:
        return [*drawn, f'<text x="{LABEL + 8}" y="{middle + 5}">–</text>']
    least, most = at(figure["per_provisioned_least"] or 0), at(figure["per_provisioned_greatest"] or 0)
    drawn.append(f'<rect x="{LABEL}" y="{top}" width="{max(1, at(value) - LABEL)}" height="{BAR}" rx="3" fill="{MAIN}"/>')
    if most > least:
        drawn.append(
            f'<path d="M{least} {middle}H{most}M{least} {middle - 6}v12M{most} {middle - 6}v12" stroke="{RANGE}" stroke-width="2.5"/>'
        )
    drawn.append(f'<text x="{max(most, at(value)) + 10}" y="{middle + 5}" font-weight="600">{escape(as_euros(language, value))}</text>')
    return drawn
