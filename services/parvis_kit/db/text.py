"""Text that sorts and is found in the same way on both databases."""

import sqlalchemy as sa

BinaryText = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
"""Sorts by code points. What a cursor goes on from must: a database's own language may hold two texts equal, or change at an upgrade."""
