"""`parvis cost` at the keyboard, from the import of a file to the page that finance reads."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from parvis_kit.audit.rows import tables_of

from .conftest import FOLDER, GB, State

SMALL = str(FOLDER / "small.toml")


@pytest.fixture
async def people(state: State) -> State:
    """A year of use imported, a file stored, nothing run yet; the commands' clock is the machine's."""
    from parvis_kit.clock import utc_now

    state.clock.now = utc_now()
    await state.join("ada", "interieur", "finance")
    await state.join("bob", "ecologie")
    await state.store("a", "ada", "interieur", 3 * GB)
    await state.settle()
    return state


USAGE = """month;ministry;agent;meter;quantity
2026-01;110014016;ada@interieur.example.org;seats;1
2026-01;110014016;ada@interieur.example.org;files.gb_hours;2232
2026-01;110068012;bob@ecologie.example.org;seats;1
2026-01;110068012;bob@ecologie.example.org;active;1
2026-01;110068012;bob@ecologie.example.org;files.gb_hours;744
2026-02;110014016;ada@interieur.example.org;seats;1
"""


async def test_usage_is_tried_approved_and_taken_in_once(people: State, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text(USAGE + "2026-02;110014016;nobody@example.org;seats;1\n")
    tried = await people.parvis("cost", "import-usage", str(file), "--dry-run", "--refused", str(tmp_path / "refused.csv"))
    assert tried.exit_code == 0 and "6 new, 0 changed, 0 unchanged, 1 refused" in tried.output
    assert "line 8: agent: nobody has the address 'nobody@example.org'" in tried.output
    assert "line,reason" in (tmp_path / "refused.csv").read_text(encoding="utf-8-sig")
    refused = await people.parvis("cost", "import-usage", str(file), "--yes")
    assert refused.exit_code == 2 and "nothing was taken in" in refused.output
    file.write_text(USAGE)
    assert (await people.parvis("cost", "import-usage", str(file), answer="n\n")).exit_code == 1
    done = await people.parvis("cost", "import-usage", str(file), answer="y\n")
    assert done.exit_code == 0 and "done: 6 lines taken in" in done.output, done.output
    again = await people.parvis("cost", "import-usage", str(file), "--yes")
    assert again.exit_code == 0 and "nothing to do" in again.output
    file.write_text(USAGE.replace(";744", ";745"))
    changed = await people.parvis("cost", "import-usage", str(file), "--yes")
    assert "0 new, 1 changed, 5 unchanged" in changed.output and "done: 1 lines" in changed.output
    row = tables_of("billing")["audit"].c
    async with people.billing.database.read() as conn:
        acts = await conn.execute(row.seq.table.select().with_only_columns(row.what, row.about).order_by(row.seq))
        assert [tuple(one) for one in acts] == [("usage.import", "usage.csv")] * 2


async def test_costs_are_tried_and_taken_in_once(people: State, tmp_path: Path) -> None:
    tried = await people.parvis("cost", "import-costs", SMALL, "--dry-run")
    assert tried.exit_code == 0 and "4 new or changed" in tried.output and "line 14: new item hosting-2026" in tried.output
    assert "4 taken in" in (await people.parvis("cost", "import-costs", SMALL, "--yes")).output
    assert "0 new or changed, 4 unchanged" in (await people.parvis("cost", "import-costs", SMALL, "--yes")).output
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(Path(SMALL).read_text().replace('key = "storage"', 'key = "moon"'))
    refused = await people.parvis("cost", "import-costs", str(wrong), "--yes")
    assert refused.exit_code == 2 and "line 14, hosting-2026: key: no [[key]] moon is known" in refused.output


@pytest.fixture
async def run(people: State, tmp_path: Path) -> State:
    file = tmp_path / "usage.csv"
    file.write_text(USAGE)
    for command in (("import-usage", str(file), "--yes"), ("import-costs", SMALL, "--yes"), ("run",)):
        done = await people.parvis("cost", *command)
        assert done.exit_code == 0, done.output
    return people


async def test_the_report_says_the_same_in_every_shape(run: State, tmp_path: Path) -> None:
    asked = ("cost", "report", "--from", "2026-01", "--to", "2026-02")
    found = json.loads((await run.parvis(*asked, "--format", "json")).output)
    hosting = found["perimeters"][0]
    assert hosting["total"]["total"]["cents"] == 5900 == hosting["invoices_cents"]
    lines = {line["name"]: line for line in hosting["lines"]}
    january = lines["Ministère ecologie"]["total"]
    assert (january["cents"], january["per_provisioned"], january["per_active"]) == (775, 12 * 775, 12 * 775)
    assert (lines["Ministère interieur"]["provisioned_months"], lines["Ministère interieur"]["active_months"]) == (2, 0)
    assert lines["Ministère interieur"]["total"]["per_active"] is None
    rows = list(csv.DictReader(io.StringIO((await run.parvis(*asked, "--format", "csv")).output)))
    by_place = {(row["perimeter"], row["ministry"], row["service"]): row for row in rows}
    for perimeter in found["perimeters"]:
        for line in (*perimeter["lines"], perimeter["total"]):
            row = by_place[perimeter["name"], line["name"] or "all", "all"]
            assert row["cost_eur"] == f"{line['total']['cents'] // 100}.{line['total']['cents'] % 100:02}"
    assert "(UTC), tel que comptabilisé" in (await run.parvis(*asked, "--lang", "fr")).output
    table = (await run.parvis(*asked, "--lang", "en")).output
    assert "€7.75" in table and "agrees with the invoices to the cent" in table and "target: €50.00" in table
    for language, words in (("fr", "Ce que coûte un agent par an"), ("en", "What an agent costs a year")):
        page = tmp_path / f"{language}.html"
        assert (await run.parvis(*asked, "--format", "html", "--lang", language, "--output", str(page))).exit_code == 0
        text = page.read_text()
        assert f'<html lang="{language}">' in text and words in text
        check_page(text)
        assert ("Fichiers" if language == "fr" else "Files") in text, "services are called as people call them"
        assert ("7,75\u00a0€" if language == "fr" else "€7.75") in text


class Balanced(HTMLParser):
    """Every tag is closed, ids are there once, and labels lead to one."""

    VOID = frozenset({"meta", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.named: set[str] = set()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.seen.add(tag)
        self.ids += [found["id"]] if found.get("id") else []
        self.named |= set((found.get("aria-labelledby") or "").split())
        if tag == "th":
            assert found.get("scope") in ("row", "rowgroup", "col")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(text: str) -> None:
    page = Balanced()
    page.feed(text)
    assert not page.open and len(page.ids) == len(set(page.ids)) and page.named <= set(page.ids)
    assert {"main", "h1", "h2", "table", "caption", "svg", "title", "figcaption"} <= page.seen
    assert "<script" not in text and "http" not in text.replace("http://www.w3.org", "").split("</style>")[1].split("<h2>")[0]
    svg = re.search(r"<svg.*?</svg>", text, re.DOTALL)
    assert svg and ElementTree.fromstring(svg[0]).tag == "svg"


async def test_an_agent_s_figure_is_walked_back_to_the_invoice(run: State) -> None:
    said = await run.parvis("cost", "explain", "bob@ecologie.example.org", "2026-01", "--reason", "asked")
    assert said.exit_code == 0, said.output
    assert "hosting 7.750000 €" in said.output and "365.00 € from 2026-01-01 to 2026-12-31, 31 of 365 days: 31.00 €" in said.output
    assert "Hosting (F-2026-001); Invoice F-2026-001" in said.output and "recomputed to the same micro-euro" in said.output
    found = json.loads((await run.parvis("cost", "explain", str(run.ids["bob"]), "2026-01", "--format", "json")).output)
    assert found["agrees"] and found["micro_eur"]["hosting"] == 7_750_000
    assert (await run.parvis("cost", "explain", "nobody@example.org")).exit_code == 2
    row = tables_of("billing")["audit"].c
    async with run.billing.database.read() as conn:
        acts = await conn.execute(row.seq.table.select().with_only_columns(row.what, row.about, row.reason).order_by(row.seq))
        looked = [tuple(one) for one in acts if one[0] == "cost.explain"]
    assert looked[0] == ("cost.explain", str(run.ids["bob"]), "asked") and len(looked) == 2


async def test_months_are_closed_and_verified_at_the_keyboard(run: State) -> None:
    closed = await run.parvis("cost", "close", "2026-01")
    assert closed.exit_code == 0 and "2026-01 is closed: " in closed.output
    assert (await run.parvis("cost", "close", "2026-01")).output == closed.output
    assert (await run.parvis("cost", "close", "January")).exit_code == 2
    assert "2026-01 is closed" in (await run.parvis("cost", "run", "2026-01")).output
    verified = await run.parvis("cost", "verify")
    assert verified.exit_code == 0 and "all as booked" in verified.output, verified.output
    async with run.billing.database.transaction() as tx:
        from parvis_billing.store import POSTING

        await tx.execute(POSTING.update().values(cents=POSTING.c.cents + 1).where(POSTING.c.booked == "2026-02"))
    broken = await run.parvis("cost", "verify")
    assert broken.exit_code == 1 and "WRONG posting 2026-02: network-2026" in broken.output


async def test_a_month_that_is_none_of_the_ledger_s_is_not_run(run: State) -> None:
    """It would stand there for ever, and the last twelve months would be counted from it."""
    before = (await run.parvis("cost", "report", "--format", "csv")).output
    for month, said in (("2199-01", "2199-01 has not begun"), ("2001-01", "Nothing was paid or used in 2001-01")):
        refused = await run.parvis("cost", "run", month)
        assert refused.exit_code == 2 and said in refused.output, refused.output
    assert (await run.parvis("cost", "report", "--format", "csv")).output == before
    assert (await run.parvis("cost", "close", "2026-01")).exit_code == 0
    assert (await run.parvis("cost", "run", "2025-12")).exit_code == 2


async def test_nothing_about_few_agents_leaves_finance(run: State) -> None:
    found = json.loads((await run.parvis("cost", "report", "--format", "json", "--public")).output)
    assert all(not perimeter["lines"] for perimeter in found["perimeters"])
    for total in (perimeter["total"] for perimeter in found["perimeters"]):
        assert (total["provisioned_months"], total["active_months"]) == (0, 0), "both of them are few"
        assert all(value is None for name, value in total["total"].items() if name.startswith("per_")) and total["total"]["cents"] > 0


ROSTER = "Matricule;NOM;Prénom;Courriel;Direction\r\n" + "".join(
    f"{number:06};Nom{number};Zoé;a{number}@interieur.example.org;DTNUM\r\n" for number in range(12)
)


async def test_the_dry_run_of_an_onboarding_shows_what_it_will_cost(run: State, tmp_path: Path) -> None:
    file = tmp_path / "agents.csv"
    file.write_bytes(ROSTER.encode("cp1252"))
    said = await run.parvis("onboard", str(file), "--ministry", "110014016", "--dry-run", "--partial")
    assert said.exit_code == 0 and "12 create" in said.output, said.output
    assert "12 more agents would cost, a year" in said.output and "suite, against the target" in said.output


async def test_before_anything_was_run_the_dry_run_says_that_the_price_is_not_known(people: State, tmp_path: Path) -> None:
    file = tmp_path / "agents.csv"
    file.write_bytes(ROSTER.encode("cp1252"))
    said = await people.parvis("onboard", str(file), "--ministry", "110014016", "--dry-run", "--partial")
    assert said.exit_code == 0 and "what it would cost is not known yet: No month was computed yet" in said.output, said.output


@pytest.mark.parametrize("command", ["report", "explain"])
async def test_before_the_first_run_a_command_says_what_to_do(people: State, command: str) -> None:
    more: dict[str, Any] = {"report": (), "explain": ("ada@interieur.example.org",)}
    said = await people.parvis("cost", command, *more[command])
    assert said.exit_code == 2 and "run" in said.output
