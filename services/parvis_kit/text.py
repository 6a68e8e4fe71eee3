"""Text as people compare it."""

import unicodedata

LETTERS = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d"})
"""What Unicode takes for letters of their own, and whoever has no key for them writes otherwise (CLDR's Latin-ASCII)."""


def fold(text: str) -> str:
    """What a search compares, kept in a column of its own: École, ECOLE and ecole are one, Œuvre and oeuvre too. SQLite's LIKE knows no
    letter beyond ASCII."""
    plain = unicodedata.normalize("NFKD", text).casefold().translate(LETTERS)
    return "".join(one for one in plain if not unicodedata.combining(one))
