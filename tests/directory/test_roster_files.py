"""Files read: every program's way of writing the same people, names, dates, bad lines, and whatever else may be sent."""

import csv
from datetime import date
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parvis_directory.rules import roster
from parvis_directory.rules.columns import NAMES, plain
from parvis_directory.rules.names import cleaned, is_same_shouted, presentable
from parvis_directory.rules.onboarding import Step
from parvis_directory.rules.reasons import REASONS
from parvis_directory.rules.rejects import FORMULA_BEGINS, rejects_head, rejects_line
from parvis_kit.problems import Invalid, Problem, TooLarge

from .roster_files import TITLES, file_of, person

SAMPLES = sorted((Path(__file__).parent / "rosters").glob("*.csv"))
PEOPLE = {
    "000101": ("Hélène", "LEFÈVRE", "helene.lefevre@interieur.example.org", "Direction du numérique", "agent", "fr", None),
    "000102": ("JEAN-PIERRE", "DUPONT", "jean-pierre.dupont@interieur.example.org", "Direction du numérique", "agent", "fr", None),
    "000103": ("CHARLES", "D'ARTAGNAN", "charles.dartagnan@interieur.example.org", "Direction générale des collectivités locales",
               "agent", "fr", None),
    "000104": ("MARIE", "DE LA TOUR", "marie.delatour@interieur.example.org", "Direction du numérique", "agent", "fr", None),
    "000105": ("Claire", "Martin", "claire.martin@interieur.example.org", "Direction du numérique", "agent", "fr", None),
    "000106": ("Claire", "Martin", "claire.martin2@interieur.example.org", "Direction générale des collectivités locales",
               "agent", "en", None),
    "000107": ("Œdipe", "Ndiaye", "oedipe.ndiaye@interieur.example.org", "", "agent", "fr", None),
    "000108": ("Inès", "Garcia; épouse Petit", "ines.garcia@interieur.example.org", "Direction du numérique", "guest", "fr",
               date(2030, 12, 31)),
    "000109": ('Maëlle "Mimi"', "O’Brien", "maelle.obrien@interieur.example.org", "Direction du numérique", "agent", "en", None),
    "000110": ("YANN", "LE GOFF", "yann.legoff@interieur.example.org", "Direction du numérique", "agent", "fr", None),
    "000111": ("Zoë", "Ÿnigo-Muñoz", "zoe.ynigo@interieur.example.org", "Direction du numérique", "agent", "fr", None),
}  # fmt: skip


def codes(read: roster.Roster) -> dict[int, str]:
    return {line.number: line.code for line in read.lines if line.code}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_program_s_way_of_writing_gives_the_same_people(path: Path) -> None:
    read = roster.read(path.read_bytes())
    assert not codes(read)
    entries = [line.entry for line in read.lines if line.entry]
    found = {e.external_id: (e.given_name, e.family_name, e.email, e.directorate, e.kind, e.language, e.leaves_on) for e in entries}
    assert found == PEOPLE
    assert [plain(title) for title in read.header.ignored] in (["telephone"], ["phone"])


def test_there_are_samples_of_each_kind() -> None:
    read = [roster.read(path.read_bytes()) for path in SAMPLES]
    assert {one.encoding for one in read} == {"windows-1252", "utf-8", "utf-8-sig", "utf-16"}
    assert {one.separator for one in read} == {";", ",", "\t"}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("JEAN-PIERRE", "Jean-Pierre"), ("D'ARTAGNAN", "D'Artagnan"), ("L’HÔTE", "L’Hôte"), ("DE LA TOUR", "De La Tour"),
        ("ELOISE", "Eloise"), ("ÉLOÏSE", "Éloïse"), ("ŒUVRARD", "Œuvrard"), ("X", "X"),
        ("McDonald", "McDonald"), ("de Gaulle", "de Gaulle"),
        ("ANNE 2", "Anne 2"), ("van der Berg", "van der Berg"),
    ],
)  # fmt: skip
def test_a_shouted_name_is_made_presentable_and_no_accent_is_invented(written: str, shown: str) -> None:
    assert presentable(written) == shown


@given(st.text(alphabet="ABCÇDEÉÈFGHIÏJKLMNOŒÔPQRSTUÜVWXYZÀ-' ", max_size=30))
def test_of_a_presentable_name_only_the_capitals_have_changed(name: str) -> None:
    assert presentable(name).upper() == name.upper() and is_same_shouted(presentable(name).upper(), presentable(name)) in (
        True, sum(one.isalpha() for one in name) > 1,
    )  # fmt: skip


@pytest.mark.parametrize("column, name", [(column, name) for column, names in NAMES.items() for name in names])
def test_a_column_is_known_by_each_of_its_names_however_it_is_written(column: str, name: str) -> None:
    for title in (name, name.upper(), f"  {name.title()} ", name.replace("'", "’")):
        titles = [NAMES[other][0] if other != column else title for other in ("external_id", "family_name", "given_name", "email", column)]
        assert column in roster.places_of(list(dict.fromkeys(titles))), title


@pytest.mark.parametrize("missing", ["matricule", "nom", "prénom", "courriel"])
def test_a_missing_column_is_named(missing: str) -> None:
    with pytest.raises(Invalid, match=missing):
        roster.read(file_of([], titles=[title for title in TITLES if title != missing]))


def test_a_column_that_is_there_twice_is_named() -> None:
    with pytest.raises(Invalid, match="'courriel' and 'E-mail'"):
        roster.read(file_of([], titles=[*TITLES, "E-mail"]))


BAD_LINES = [
    (person(1, courriel="no-address"), "email"),
    (person(1, courriel="anne@intérieur.fr"), "email"),
    (person(1, courriel=""), "empty"),
    (person(1, matricule="  "), "empty"),
    (person(1, nom=""), "empty"),
    (person(1, matricule="1,23457E+11"), "number"),
    (person(1, matricule="1E+11"), "number"),
    (person(1, matricule="=A1+1"), "formula"),
    (person(1, **{"date de départ": "31/12/99"}), "century"),
    (person(1, **{"date de départ": "31/12/50"}), "century"),
    (person(1, nom="x" * 121), "too-long"),
    (person(1, direction="x" * 1001), "too-long"),
    (person(1, nom="HÃ©lÃ¨ne"), "misread"),
    (person(1, nom="a\x07b"), "characters"),
    ([*person(1), "", "more"], "cells"),
    (person(1, **{"date de départ": "31/02/2027"}), "date"),
    (person(1, **{"date de départ": "12/31/2027"}), "date"),
    (person(1, **{"date de départ": "46387"}), "date"),
    (person(1, **{"date de départ": "31/12/8999"}), "date-far"),
    (person(1, **{"date de départ": "01/01/2200"}), "date-far"),
]


@pytest.mark.parametrize(("line", "code"), BAD_LINES, ids=[f"{number}-{code}" for number, (_, code) in enumerate(BAD_LINES)])
def test_a_bad_line_is_refused_by_itself(line: list[str], code: str) -> None:
    read = roster.read(file_of([person(8), line, person(9)]))
    assert codes(read) == {3: code}
    assert [entry.external_id for one in read.lines if (entry := one.entry)] == ["000008", "000009"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"type": "robot"}, "kind"), ({"type": "invité"}, "guest-end"), ({"langue": "latin"}, "language"),
        ({"type": "invité", "date de départ": "31/12/9999"}, "guest-end"), ({"date d'arrivée": "31/12/9999"}, "date-far"),
        ({"date d'arrivée": "02/01/2027", "date de départ": "01/01/2027"}, "dates"),
    ],
)  # fmt: skip
def test_a_bad_value_of_an_optional_column_is_refused(more: dict[str, str], code: str) -> None:
    line = dict(zip(TITLES, person(1), strict=True)) | more
    assert codes(roster.read(file_of([list(line.values())], titles=list(line)))) == {2: code}


def test_zeros_that_a_formula_keeps_are_read_and_an_e_may_be_a_letter() -> None:
    read = roster.read(file_of([person(1, matricule='="000123"'), person(2, matricule="12E34")]))
    assert [line.entry.external_id for line in read.lines if line.entry] == ["000123", "12E34"]


@pytest.mark.parametrize(("written", "year"), [("01/09/85", 1985), ("01/09/99", 1999), ("01/09/26", 2026), ("01/09/1985", 1985)])
def test_an_arrival_in_two_digits_is_of_the_century_that_it_can_be(written: str, year: int) -> None:
    [line] = roster.read(file_of([[*person(1, **{"date de départ": "31/12/31"}), written]], titles=[*TITLES, "date d'arrivée"])).lines
    assert line.entry and line.entry.arrives_on and line.entry.leaves_on
    assert (line.entry.arrives_on.year, line.entry.leaves_on.year) == (year, 2031)


def test_a_quotation_mark_that_is_not_closed_costs_its_line_alone() -> None:
    lines = file_of([person(number) for number in range(1, 31)]).split(b"\r\n")
    lines[5] = lines[5].replace(b"Dupont", b'"Dupont')
    read = roster.read(b"\r\n".join(lines))
    assert codes(read) == {6: "broken"} and len(read.lines) == 30


@pytest.mark.parametrize("name", ["QUALITÉ–PROJETS", "ANDRÉ’", "ÉŒ", "Zoë", "Łukasz"])
def test_letters_that_look_mangled_by_chance_are_left_alone(name: str) -> None:
    [line] = roster.read(file_of([person(1, direction=name)], encoding="utf-8")).lines
    assert line.entry and line.entry.directorate == name


def test_twins_are_told_from_repeated_lines() -> None:
    read = roster.read(
        file_of([
            person(1), person(2), person(1), person(2, nom="Autre"), person(3),
            person(4, courriel="agent3@interieur.example.org"), person(5),
        ])
    )  # fmt: skip
    assert [(line.number, line.code, line.about) for line in read.lines] == [
        (2, "", ""), (3, "id-twice", "5"), (4, "repeated", "2"), (5, "id-twice", "3"), (6, "email-twice", "7"), (7, "email-twice", "6"),
        (8, "", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "raw",
    [b"", b"\r\n \r\n", b"\x00", "matricule;nom".encode("utf-16")[:-1], b"\xff" * 10, b"matricule\x00;nom", b"\x81\x8d", b"a" * 200_000],
)
def test_what_is_no_such_file_is_refused_whole(raw: bytes) -> None:
    with pytest.raises(Invalid):
        roster.read(raw)


def test_a_file_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Invalid, match="at most 100"):
        roster.read(file_of([], titles=[*TITLES, *(f"c{n}" for n in range(100))]))
    monkeypatch.setattr(roster, "LINES_MAX", 3)
    assert len(roster.read(file_of(person(n) for n in range(3))).lines) == 3
    with pytest.raises(TooLarge, match="more than 3 lines"):
        roster.read(file_of(person(n) for n in range(4)))
    monkeypatch.setattr(roster, "FILE_BYTES_MAX", 10)
    with pytest.raises(TooLarge, match="at most 10"):
        roster.read(b"x" * 11)


def is_plain(text: str) -> bool:
    """What begins as Excel's formula for a text, `="…"`, is read as that text, and has a test of its own."""
    return not cleaned(text).startswith('="')


LETTERS = st.text(alphabet="abcéèçÀÉŒdDpP-'. ;,\t\n\r\"=+@", min_size=1, max_size=20).filter(
    lambda text: cleaned(text) != "" and is_plain(text)
)
LINES = st.lists(st.tuples(LETTERS, LETTERS, st.text(alphabet='abé;,\t\n\r" =', max_size=12).filter(is_plain)), max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    lines=LINES, separator=st.sampled_from(";,\t"), encoding=st.sampled_from(["cp1252", "utf-8", "utf-8-sig", "utf-16"]),
    ends=st.sampled_from(["\r\n", "\n", "\r"]), quoted=st.booleans(),
)  # fmt: skip
def test_whatever_was_written_is_read(lines: list[tuple[str, str, str]], separator: str, encoding: str, ends: str, quoted: bool) -> None:
    """The oracle is the writer: a table of texts, each quoted by hand."""
    table = [["Matricule", "Nom", "Prénom", "Courriel", "Direction"]]
    table += [[f"{n}", family, given_name, f"a{n}@b.fr", unit] for n, (family, given_name, unit) in enumerate(lines)]

    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if quoted or set(text) & set('";,\t\r\n') else text

    raw = "".join(separator.join(map(cell, row)) + ends for row in table).encode(encoding)
    read = roster.read(raw)
    assert not codes(read)
    found = [(e.external_id, e.family_name, e.given_name, e.directorate) for line in read.lines if (e := line.entry)]
    assert found == [(f"{n}", cleaned(family), cleaned(name), cleaned(unit)) for n, (family, name, unit) in enumerate(lines)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-1] * 9 + list(range(len(BAD_LINES)))), max_size=60))
def test_of_a_file_with_bad_lines_each_is_refused_and_no_other(which: list[int]) -> None:
    lines, expected = [], {}
    for number, bad in enumerate(which, 2):
        line = list(person(number)) if bad < 0 else list(BAD_LINES[bad][0])
        if bad >= 0:
            expected[number] = BAD_LINES[bad][1]
        lines.append(line)
    assert codes(roster.read(file_of(lines, encoding="utf-8"))) == expected


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_whatever_is_sent_is_read_or_refused_in_words(raw: bytes) -> None:
    head = file_of([])
    for sent in (raw, head + raw):
        try:
            read = roster.read(sent)
        except Problem as problem:
            assert problem.detail
            continue
        assert all(line.entry is not None or line.code in REASONS for line in read.lines)
        assert [line.number for line in read.lines] == sorted({line.number for line in read.lines})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet='=+-@\t\r\n ;"aé\u00a01', max_size=8), min_size=3, max_size=3), st.sampled_from(["fr", "en"]))
def test_refused_lines_come_back_as_they_were_and_compute_nothing(cells: list[str], language: str) -> None:
    step = Step(1, 7, "reject", "email-twice", "3", None, None, cells, None)
    text = rejects_head(["a", "b", "c"], language) + rejects_line(["a", "b", "c"], step, language)
    assert text.startswith("\ufeff")
    head, row = list(csv.reader(StringIO(text[1:], newline=""), delimiter=";"))
    assert head[3:] == (["ligne", "motif"] if language == "fr" else ["line", "reason"]) and row[3] == "7" and "3" in row[4]
    assert [one.removeprefix("'") if one.startswith("'") else one for one in row[:3]] == cells
    assert not [one for one in row if one.startswith(FORMULA_BEGINS)]


def test_the_page_for_ministries_explains_every_reason_and_names_every_column() -> None:
    page = (Path(__file__).parents[2] / "docs/onboarding.md").read_text()
    assert not [code for code in REASONS if f"| `{code}` |" not in page]
    columns = [line for line in page.splitlines() if line.startswith("| `") and line.count("|") == 5]
    for names in NAMES.values():
        [row] = [line for line in columns if line.startswith(f"| `{names[0]}` |")]
        assert not [name for name in names[1:] if name not in row]


def test_the_example_of_the_page_can_be_read() -> None:
    page = (Path(__file__).parents[2] / "docs/onboarding.md").read_text()
    read = roster.read(page.partition("```\n")[2].partition("```")[0].encode())
    assert len(read.lines) == 3 and not codes(read) and not read.header.ignored
