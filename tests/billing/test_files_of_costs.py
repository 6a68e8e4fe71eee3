"""Files of costs and of use: what is wrong is refused with its line, what is right is taken in once."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parvis_billing.rules import STORAGE, cost_files, usage_files
from parvis_billing.rules.costs import Benchmark, CostItem, PriceVersion, content_of, item_from
from parvis_billing.rules.money import cents_of, micro_of, plain, said
from parvis_billing.rules.usage_files import Known
from parvis_kit.problems import Invalid, TooLarge

from .conftest import FOLDER

SMALL = (FOLDER / "small.toml").read_text()
HERE, ADA = UUID(int=11), UUID(int=1)
KNOWN = Known({"110014016": HERE, str(HERE): HERE}, {"ada@interieur.example.org": (ADA, HERE)}, "2026-10")


def refusal(text: str, name: str = "costs.toml") -> str:
    with pytest.raises(Invalid) as refused:
        cost_files.read(text.encode(), name)
    return refused.value.detail


def test_things_are_read_with_their_lines() -> None:
    entries = cost_files.read(SMALL.encode(), "small.toml")
    assert [(one.line, one.thing.id) for one in entries] == [(14, "hosting-2026"), (28, "network-2026"), (2, "seats"), (8, "storage")]
    item = entries[0].thing
    assert isinstance(item, CostItem) and item.cents == 36_500 and item.keys == ("seats", "storage")
    assert item_from(content_of(item), item.cents) == item


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"365.00"', '"365.001"', "line 14, item hosting-2026: amount: '365.001' is no amount: write 1234.56"),
        ('"365.00"', "true", "write the amount as a text"),
        ("ends = 2026-12-31\nservice", "ends = 2025-12-31\nservice", "it ends before it starts"),
        ("ends = 2026-12-31\nservice", "ends = 9999-12-31\nservice", "at most 600 months"),
        ('["hosting", "suite", "complete"]', '["everything"]', "perimeters.0"),
        ('document = "F', 'dokument = "F', "dokument: Extra inputs are not permitted"),
        ('id = "network-2026"', 'id = "hosting-2026"', "line 28, item hosting-2026: stands already in line 14"),
        ("[[item]]", "[item]", "is no TOML"),
        ("[[item]]", "[[thing]]", "[[thing]] is nothing that costs"),
        ('source = { title = "Contract R-7", date = 2025-12-01, scope = "Interministerial network" }', "", "source: Field required"),
        ('meter = "seats"', 'meter = "active"', "counts seats"),
        ('meter = "files.byte_seconds"', 'meter = "DROP TABLE"', "meter"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_field(before: str, after: str, said: str) -> None:
    assert before in SMALL
    assert said in refusal(SMALL.replace(before, after, 1))


def test_an_amount_may_be_a_decimal_of_toml_and_never_becomes_a_float() -> None:
    [first, *_] = cost_files.read(SMALL.replace('"365.00"', "365.10").encode(), "small.toml")
    assert isinstance(first.thing, CostItem) and first.thing.cents == 36_510


def test_versions_of_a_price_in_one_file_must_not_overlap() -> None:
    price = """
[[price]]
id = "storage"
title = "t"
meter = "files.byte_seconds"
unit = "GB-month"
price = "0.0146"
tax_basis = "HT"
valid_from = "{}"
source = {{ title = "t", date = 2026-01-01, scope = "s" }}
"""
    twice = price.format("2026-01") + price.format("2026-03")
    assert "line 12, price storage: valid_from: overlaps the version of line 2" in refusal(twice)
    [one] = cost_files.read(price.format("2026-01").encode(), "p.toml")
    assert isinstance(one.thing, PriceVersion) and one.thing.cents_for(1000 * 10**9 * 2_629_800) == 1460


CSV = (
    "id;title;amount;tax_basis;starts;months;services;perimeters;key;admissible;source_title;source_date;source_scope\r\n"
    "build;Development;1200,50;TTC;2026-01-15;12;files:3,messaging:1;suite,complete;seats;seats,active;Report;2024-07-01;Until 2023\r\n"
)


def test_items_come_from_csv_as_excel_writes_it() -> None:
    [one] = cost_files.read(b"\xef\xbb\xbf" + CSV.encode(), "items.csv")
    item = one.thing
    assert isinstance(item, CostItem) and one.line == 2
    assert (item.cents, str(item.ends), dict(item.services)) == (120_050, "2027-01-14", {"files": 3, "messaging": 1})
    assert sum(item.cents_in(month) for month in item.months) == 120_050
    assert "line 2, item build: amount" in refusal(CSV.replace("1200,50", "viel"), "items.csv")
    assert "line 2" in refusal(CSV.replace("Until 2023", "Until 2023;more"), "items.csv")


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_refused(raw: bytes) -> None:
    for name in ("a.toml", "a.csv"):
        try:
            cost_files.read(raw, name)
        except (Invalid, TooLarge):
            pass
    try:
        usage_files.read(raw, KNOWN)
    except (Invalid, TooLarge):
        pass


@given(st.text(max_size=200))
def test_no_text_in_a_field_is_more_than_refused(text: str) -> None:
    """Whatever stands where a quantity should."""
    line = f'2026-09,110014016,,a.b,"{text.replace(chr(34), "")}"'
    lines, refused = usage_files.read(f"month,ministry,agent,meter,quantity\n{line}\n".encode("utf-8", "replace"), KNOWN)
    assert len(lines) + len(refused) == 1


def test_lines_of_use_are_taken_or_refused_with_their_number() -> None:
    raw = """month,ministry,agent,meter,quantity
2026-09,110014016,ada@interieur.example.org,seats,1
2026-09,110014016,ada@interieur.example.org,seats,1
2026-09,,Ada@Interieur.example.org,files.gb_hours,1.5
2026-13,110014016,,mail.sent,1
2026-12,110014016,,mail.sent,1
2026-09,999999999,,mail.sent,1
2026-09,110014016,nobody@example.org,mail.sent,1
2026-09,110014016,,seats,3
2026-09,110014016,,mail.sent,1.5
2026-09,110014016,,mail.sent,-1
2026-09,110014016,,mail.sent,1e400
2026-10,110014016,ada@interieur.example.org,active,1
2026-09,110014016,,Mail;sent,1
"""
    lines, refused = usage_files.read(raw.encode(), KNOWN)
    assert [(one.line, one.meter, one.quantity) for one in lines] == [(2, "seats", 1), (4, STORAGE, 5_400_000_000_000)]
    assert lines[1].agent_id == ADA and lines[1].ministry_id == HERE
    reasons = {one.line: one.reason for one in refused}
    for number, words in {
        3: "says the same as line 2", 5: "month: '2026-13' is none", 6: "2026-12 has not begun", 7: "no ministry '999999999'",
        8: "nobody has the address", 9: "an agent has one", 10: "no whole number", 11: "below zero", 12: "too much",
        13: "being counted by Parvis itself", 14: "meter:",
    }.items():  # fmt: skip
        assert words in reasons[number], reasons[number]


def test_a_file_without_the_columns_says_which() -> None:
    with pytest.raises(Invalid, match="names the columns month, ministry, agent, meter, quantity"):
        usage_files.read(b"a,b\n1,2\n", KNOWN)


@given(st.integers(-(10**14), 10**14))
def test_money_is_written_and_read_back_without_a_loss(cents: int) -> None:
    assert cents_of(plain(cents)) == cents


def test_money_is_said_as_people_write_it() -> None:
    assert (said(123456, "fr"), said(-123456, "en")) == ("1\u202f234,56\u00a0€", "−€1,234.56")
    assert micro_of("0.0146") == 14_600
    for wrong in ("", "1e3", "1.234", "NaN", "١٢", "1 2"):
        with pytest.raises(ValueError, match="no amount"):
            cents_of(wrong)


def test_the_figures_of_the_demonstration_have_their_sources() -> None:
    from parvis_suite.demo_costs import FILES

    entries = [entry for path in FILES for entry in cost_files.read(path.read_bytes(), path.name)]
    assert len([one for one in entries if isinstance(one.thing, Benchmark)]) >= 6
    assert all(len(one.thing.source.scope) > 10 for one in entries if hasattr(one.thing, "source"))
