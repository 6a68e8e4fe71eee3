"""Text as people compare it."""

import re
import unicodedata

LETTERS = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d"})
"""What Unicode takes for letters of their own, and whoever has no key for them writes otherwise (CLDR's Latin-ASCII)."""
WORD = re.compile(r"[^\W_]+")
WORDS_MAX, WORD_CHARACTERS_MAX = 32, 64
"""Of a name: what is beyond is not searched for."""


def fold(text: str) -> str:
    """What a search compares, kept in a column of its own: École, ECOLE and ecole are one. SQLite's LIKE knows no letter beyond ASCII."""
    return "".join(one for one in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(one))


def words_of(text: str) -> list[str]:
    """What a name is found by: its words, folded, each once, the longest first. Œuvre is found by oeuvre."""
    found = dict.fromkeys(word[:WORD_CHARACTERS_MAX] for word in WORD.findall(fold(text).translate(LETTERS)))
    return sorted(list(found)[:WORDS_MAX], key=lambda word: (-len(word), word))
