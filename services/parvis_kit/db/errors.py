"""What databases raise, by code and never by message."""

import sqlite3
import sys
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

TRANSIENT_SQLSTATES = ("08", "40001", "40P01", "53", "55P03", "57P0", "25P03", "58")
"""Connection lost, serialisation, deadlock, no resources, lock not available, shutdown, idle in transaction, system error."""
TRANSIENT_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL")

LOST = ("InterfaceError", "InternalClientError")
"""What asyncpg says of a connection that is no longer one, or of an answer that came in pieces because its server was ended."""


def database_errors() -> tuple[type[BaseException], ...]:
    """To be caught: SQLAlchemy's, the system's, and those of the drivers that are loaded."""
    return (DBAPIError, PoolTimeout, OSError, sqlite3.Error, *_of_asyncpg("PostgresError", *LOST))


def _of_asyncpg(*names: str) -> tuple[type[BaseException], ...]:
    """A process that has no PostgreSQL does not load its driver (parvis_kit/db/postgres.py), which then raises nothing."""
    driver = sys.modules.get("asyncpg")
    return () if driver is None else tuple(getattr(driver, name) for name in names)


def is_lost(error: BaseException) -> bool:
    """Whether the driver can do nothing more with its connection."""
    return isinstance(error, _of_asyncpg(*LOST))


def is_transient(error: BaseException) -> bool:
    """Whether the very same transaction may succeed later. Decided by code, never by message."""
    if isinstance(error, (OSError, PoolTimeout, TimeoutError)):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    for cause in _causes(error):
        if state := getattr(cause, "sqlstate", None):
            return str(state).startswith(TRANSIENT_SQLSTATES)
        if name := getattr(cause, "sqlite_errorname", None):
            return str(name).startswith(TRANSIENT_SQLITE)
        if isinstance(cause, OSError):
            return True
    return isinstance(error, sa.exc.InterfaceError) or is_lost(error)


def _causes(error: BaseException) -> Iterable[BaseException]:
    cause = error.orig if isinstance(error, DBAPIError) else error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def unique_violation(error: IntegrityError) -> bool:
    """Whether a row with these unique values is there already (and not, say, a missing parent)."""
    for cause in _causes(error):
        if state := getattr(cause, "sqlstate", None):
            return bool(state == "23505")
        if name := getattr(cause, "sqlite_errorname", None):
            return name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
    return False
