"""Text as people compare it."""

import unicodedata


def fold(text: str) -> str:
    """What a search compares, kept in a column of its own: École, ECOLE and ecole are one. SQLite's LIKE knows no letter beyond ASCII."""
    return "".join(one for one in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(one))
