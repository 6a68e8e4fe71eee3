"""A service's database: `transaction()` to change, `read()` to look; the same SQL on SQLite and PostgreSQL."""

from parvis_kit.db.columns import Json, Moment, Serial, metadata_for, partial_index
from parvis_kit.db.database import Connection, Database, Tx, insert, upsert, upsert_by
from parvis_kit.db.errors import database_errors, is_transient, unique_violation
from parvis_kit.db.text import BinaryText
from parvis_kit.text import fold

__all__ = [
    "BinaryText",
    "Connection",
    "Database",
    "Json",
    "Moment",
    "Serial",
    "Tx",
    "database_errors",
    "fold",
    "insert",
    "is_transient",
    "metadata_for",
    "partial_index",
    "unique_violation",
    "upsert",
    "upsert_by",
]
