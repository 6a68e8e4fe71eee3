"""Text that sorts and is found in the same way on both databases."""

import unicodedata

import sqlalchemy as sa

BinaryText = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
"""Sorts by code points. What a cursor goes on from must: a database's own language may hold two texts equal, or change at an upgrade."""


def fold(text: str) -> str:
    """What a search compares, kept in a column of its own: École, ECOLE and ecole are one. SQLite's LIKE knows no letter beyond ASCII."""
    return "".join(one for one in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(one))
