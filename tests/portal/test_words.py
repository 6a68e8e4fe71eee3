"""Every page speaks French and English, whole: no key is missing, none is spare, and both say the same things."""

import re
import string

import pytest
from parvis_portal import looks
from parvis_portal.looks import HERE, as_bytes, as_day, as_euros, as_month, said
from parvis_portal.visitors import LANGUAGES
from parvis_portal.words import WORDS

SOURCES = [*(HERE / "templates").glob("*.html"), *HERE.glob("*.py"), *HERE.glob("pages/*.py")]
TEXT = {one: one.read_text() for one in SOURCES}
KEY = re.compile(r"""(?:\bt\(|said\([\w.]+, )['"]([a-z.-]+)['"]\s*[,)]""")
BEGINNING = re.compile(r"""['"]([a-z-]+(?:\.[a-z-]+)*\.)['"] ~""")
WRONG = re.compile(r"""Wrong\(\s*"[\w-]*", "([a-z.-]+)\"""")


def named() -> set[str]:
    return {key for text in TEXT.values() for key in [*KEY.findall(text), *WRONG.findall(text)]}


def test_every_key_that_a_page_names_has_words() -> None:
    assert named() and not named() - set(WORDS)


def test_every_key_is_named_or_begins_as_one_that_is_put_together() -> None:
    begun = {one for text in TEXT.values() for one in BEGINNING.findall(text)} | {"problem.", "done.", "service."}
    quoted = {one for text in TEXT.values() for one in re.findall(r"""['"]([a-z0-9.-]+)['"]""", text)}
    assert not [key for key in WORDS if key not in quoted and not key.startswith(tuple(begun))]


@pytest.mark.parametrize("key", WORDS)
def test_both_languages_say_something_about_the_same_things(key: str) -> None:
    french, english = WORDS[key]
    assert french.strip() and english.strip()
    names = [{name for _, name, _, _ in string.Formatter().parse(words) if name} for words in (french, english)]
    assert names[0] == names[1]
    assert "'" not in french, "a typographic apostrophe, as in l’agent"


def test_an_unknown_key_is_a_fault_and_no_empty_word() -> None:
    with pytest.raises(KeyError):
        said("fr", "no.such.key")


@pytest.mark.parametrize(
    "language, shown", [("fr", ("1 octet", "1,5 ko", "10,7 Go", "1 234,50 €")), ("en", ("1 byte", "1.5 kB", "10.7 GB", "€1,234.50"))]
)
def test_numbers_are_written_as_people_write_them(language: looks.Language, shown: tuple[str, ...]) -> None:
    found = (as_bytes(language, 1), as_bytes(language, 1500), as_bytes(language, 10 * 2**30), as_euros(language, 123450))
    assert tuple(re.sub(r"\s", " ", one) for one in found) == shown


def test_the_first_of_a_month_is_le_premier_and_months_have_names() -> None:
    from zoneinfo import ZoneInfo

    assert as_day("fr", ZoneInfo("Europe/Paris"), "2026-02-28T23:30:00Z") == "1er mars 2026"
    assert as_day("en", ZoneInfo("Europe/Paris"), "2026-02-28T23:30:00Z", weekday=True) == "Sunday 1 March 2026"
    assert (as_month("fr", "2026-08"), as_month("en", "2026-12")) == ("août 2026", "December 2026")
    assert LANGUAGES == ("fr", "en")
