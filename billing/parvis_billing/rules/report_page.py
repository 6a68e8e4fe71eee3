"""The report as one page that needs nothing else: a chart, and beside it the table that says the same."""

from collections.abc import Sequence
from html import escape

from parvis_billing.rules.costs import Benchmark
from parvis_billing.rules.money import THIN, said
from parvis_billing.rules.report import Line, Perimeter, Report
from parvis_billing.rules.report_texts import WORDS, named, per_agent, service_named

BAR, GAP, LABEL, WIDTH, HEAD = 22, 14, 300, 900, 30
"""Of the chart, in its own units."""
RANGE_STROKES = (("#fff", 6), ("#b34000", 2))
"""Orange alone could not be told from the bar that it lies on by those who see few colours: white around it can."""
TEXTS = {
    "fr": {
        "title": "Ce que coûte un agent par an",
        "lead": "Mois de {first} à {last} (UTC). Chaque montant par agent et par an vaut 12 × coût ÷ mois-agents. À côté : ce qu'il "
        "serait selon chaque clé de répartition admissible, du moins au plus.",
        "booked": "Tel que comptabilisé : une correction compte dans le mois où elle a été passée.",
        "restated": "Retraité : une correction compte dans le mois qu'elle concerne.",
        "open": "Mois encore ouverts, estimés jusqu'à leur fin : {months}.",
        "chart": "Euros par agent ouvert et par an, par ministère, face à la cible de {target}",
        "described": "Les mêmes nombres sont dans le tableau qui suit. Le trait fin montre la fourchette selon les clés.",
        "service": "Service", "months": "Mois-agents (ouverts / actifs)", "cost": "Coût", "per provisioned": "Par agent ouvert et par an",
        "per active": "Par agent actif et par an", "figures": "Chiffres", "benchmarks": "Chiffres publics, pour comparer",
        "benchmark": "Ce que c'est", "price": "Prix", "source": "Source, date et périmètre", "whole": "ensemble",
        "never": "Les trois périmètres ne s'additionnent jamais.", "colon": "\u00a0: ", "TTC": "TTC", "HT": "HT",
        "unknown": "taxes non précisées",
    },
    "en": {
        "title": "What an agent costs a year",
        "lead": "Months from {first} to {last} (UTC). Each amount per agent and year is 12 × cost ÷ user-months. Beside it: what it would "
        "be under each admissible allocation key, from the least to the greatest.",
        "booked": "As booked: a correction counts in the month in which it was booked.",
        "restated": "As restated: a correction counts in the month that it concerns.",
        "open": "Months still open, estimated to their end: {months}.",
        "chart": "Euros per provisioned agent and year, by ministry, against the target of {target}",
        "described": "The same numbers are in the table that follows. The thin line shows the range over allocation keys.",
        "service": "Service", "months": "User-months (provisioned / active)", "cost": "Cost",
        "per provisioned": "Per provisioned agent and year", "per active": "Per active agent and year", "figures": "Figures",
        "benchmarks": "Public figures, to compare", "benchmark": "What it is", "price": "Price", "source": "Source, date and scope",
        "whole": "in all", "never": "The three perimeters are never added up.", "colon": ": ",
        "TTC": "taxes included", "HT": "before taxes", "unknown": "taxes not stated",
    },
}  # fmt: skip
STYLE = """
:root{color-scheme:light}body{font:16px/1.5 system-ui,sans-serif;color:#161616;background:#fff;margin:2rem auto}
main{max-width:72rem;margin:auto;padding:0 1rem}
h1,h2,h3{line-height:1.2}table{border-collapse:collapse;width:100%;margin:1rem 0}caption{text-align:left;font-weight:600;padding:.4rem 0}
th,td{border-bottom:1px solid #929292;padding:.35rem .6rem;text-align:right;vertical-align:top}th,td.words{text-align:left}
th.number{text-align:right}tbody th[scope=row]{font-weight:400}tbody.total th,tbody.total td{font-weight:700}
tbody.of-one{border-top:2px solid #161616}td.figure{white-space:nowrap}.range{display:block;font-size:.875rem;color:#3a3a3a}
[tabindex]:focus{outline:3px solid #0a76f6;outline-offset:2px}.wide{overflow-x:auto}svg{max-width:100%;height:auto}
.alert{border-left:4px solid #b34000;padding:.3rem .8rem}
@media print{body{margin:0}}
"""


def as_html(report: Report, language: str) -> str:
    texts = TEXTS[language]
    lead = texts["lead"].format(first=report.months[0], last=report.months[-1])
    parts = [f"<h1>{texts['title']}</h1>", f"<p>{escape(lead)} {texts[report.basis]} {texts['never']}</p>"]
    if report.open_months:
        parts.append(f"<p>{escape(texts['open'].format(months=', '.join(report.open_months)))}</p>")
    for perimeter in sorted(report.perimeters, key=lambda one: not one.is_against_target):
        parts += _section(perimeter, report, language)
    if report.benchmarks:
        rows = "".join(
            f'<tr><th scope="row">{escape(one.title)}</th><td class="words">{escape(priced(one, language))}</td>'
            f'<td class="words">{escape(f"{one.source.title}, {one.source.date}. {one.source.scope}")}</td></tr>'
            for one in report.benchmarks
        )
        heads = "".join(f'<th scope="col">{texts[one]}</th>' for one in ("benchmark", "price", "source"))
        table = f"<table><caption>{texts['benchmarks']}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        parts.append(f'<div class="wide" role="region" tabindex="0" aria-label="{texts["benchmarks"]}">{table}</div>')
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{texts['title']} – {report.months[0]}/{report.months[-1]}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main></body>\n</html>\n"
    )


def _section(perimeter: Perimeter, report: Report, language: str) -> list[str]:
    texts, words = TEXTS[language], WORDS[language]
    name = words[perimeter.name]
    parts = [f'<section aria-labelledby="{perimeter.name}"><h2 id="{perimeter.name}">{escape(name)}</h2>']
    if perimeter.is_against_target:
        parts.append(_chart([*perimeter.lines, perimeter.total], report.target_cents, language))
    if perimeter.unallocated_cents:
        parts.append(
            f'<p class="alert"><strong>{words["unallocated"]}</strong>{texts["colon"]}{said(perimeter.unallocated_cents, language)}</p>'
        )
    labels = [words["ministry"].capitalize(), texts["service"]]
    numbers = [texts["months"], texts["cost"], texts["per provisioned"], texts["per active"]]
    head = "".join(f'<th scope="col">{one}</th>' for one in labels) + "".join(
        f'<th scope="col" class="number">{one}</th>' for one in numbers
    )
    rows = "".join(_rows(line, language) for line in (*perimeter.lines, perimeter.total))
    caption = f"{texts['figures']} – {escape(name)}"
    table = f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>{rows}</table>"
    agrees = perimeter.invoices_cents == perimeter.total.total.cents
    parts.append(f'<div class="wide" role="region" tabindex="0" aria-label="{caption}">{table}</div>')
    parts.append(f"<p>{said(perimeter.invoices_cents, language)}{texts['colon']}{words['agree' if agrees else 'differs']}.</p></section>")
    return parts


def priced(one: Benchmark, language: str) -> str:
    """`15 000 000 EUR, TTC: all of it`; in the words of its file."""
    whole, _, rest = one.price.partition(".")
    separators = (THIN, ",") if language == "fr" else (",", ".")
    amount = f"{int(whole):,}".replace(",", separators[0]) + (f"{separators[1]}{rest}" if rest else "")
    return f"{amount} {one.currency} ({TEXTS[language][one.tax_basis]}), {one.per}"


def _rows(line: Line, language: str) -> str:
    """A group: its name once, then in all and by service."""
    texts, words = TEXTS[language], WORDS[language]
    name, months = named(line, words), f"{line.provisioned_months} / {line.active_months}"
    figures = [(texts["whole"], line.total), *((service_named(one, language), of) for one, of in sorted(line.services.items()))]
    head = f'<th scope="rowgroup" rowspan="{len(figures)}">{escape(name[:1].upper() + name[1:])}</th>'
    rows = []
    for service, figure in figures:
        cells = f"<td>{months}</td><td>{escape(said(figure.cents, language))}</td>" + "".join(
            f'<td class="figure">{_figure(one)}</td>' for one in per_agent(figure, language)
        )
        rows.append(f'<tr>{head}<th scope="row">{escape(service)}</th>{cells}</tr>')
        head = ""
    return f'<tbody class="of-one{"" if line.name else " total"}">{"".join(rows)}</tbody>'


def _figure(text: str) -> str:
    """The range on a line of its own."""
    figure, _, ranged = text.partition(" (")
    return escape(figure) + (f' <span class="range">({escape(ranged)}</span>' if ranged else "")


def _chart(lines: Sequence[Line], target_cents: int, language: str) -> str:
    """Horizontal bars; whole numbers alone, so that the same report is the same page."""
    texts, words = TEXTS[language], WORDS[language]
    ends = [line.total.per_provisioned_greatest or 0 for line in lines] + [line.total.per_provisioned or 0 for line in lines]
    scale = max(*ends, target_cents, 1)
    room = WIDTH - LABEL - 110

    def at(cents: int) -> int:
        return LABEL + max(0, cents) * room // scale

    height = HEAD + len(lines) * (BAR + GAP) + 10
    title = escape(texts["chart"].format(target=said(target_cents, language)))
    drawn = [f'<text x="{at(target_cents)}" y="16" text-anchor="middle">{words["target"]} {said(target_cents, language)}</text>']
    for number, line in enumerate(lines):
        top, figure = HEAD + number * (BAR + GAP), line.total
        name = named(line, words)
        short = escape(name if len(name) <= 38 else f"{name[:37]}…")
        middle = top + BAR // 2
        drawn.append(f'<text x="{LABEL - 8}" y="{middle + 5}" text-anchor="end">{short}</text>')
        if figure.per_provisioned is None:
            continue
        drawn.append(f'<rect x="{LABEL}" y="{top}" width="{at(figure.per_provisioned) - LABEL}" height="{BAR}" fill="#000091"/>')
        least, most = at(figure.per_provisioned_least or 0), at(figure.per_provisioned_greatest or 0)
        path = f"M{least} {middle}H{most}M{least} {middle - 5}v10M{most} {middle - 5}v10"
        drawn += [f'<path d="{path}" stroke="{colour}" stroke-width="{width}"/>' for colour, width in RANGE_STROKES]
        drawn.append(
            f'<text x="{max(most, at(figure.per_provisioned)) + 8}" y="{middle + 5}">{said(figure.per_provisioned, language)}</text>'
        )
    drawn.append(
        f'<line x1="{at(target_cents)}" x2="{at(target_cents)}" y1="{HEAD - 8}" y2="{height}" stroke="#161616" stroke-dasharray="6 4"/>'
    )
    return (
        f'<figure><svg role="img" aria-labelledby="chart-title chart-words" viewBox="0 0 {WIDTH} {height}" font-size="14">'
        f'<title id="chart-title">{title}</title><desc id="chart-words">{escape(texts["described"])}</desc>{"".join(drawn)}</svg>'
        f"<figcaption>{title}. {escape(texts['described'])}</figcaption></figure>"
    )
