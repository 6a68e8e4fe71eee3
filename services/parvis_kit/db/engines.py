"""Two engines for each service: reads that hold no transaction, and writes that do."""

import contextlib
import os
import secrets
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import AsyncAdaptedQueuePool

from parvis_kit.password_files import without_password_file

POOL_SIZE = 10
"""Connections per engine and process; PostgreSQL's default allows 100 in all."""
POOL_WAIT_SECONDS_MAX = 2.0
"""Longer than this and the caller is told 503 rather than kept in a queue."""
LEASE_SECONDS = 10
"""How long a frozen process may keep a lock that others wait for (idle_in_transaction_session_timeout, idle_session_timeout)."""
SQLITE_READERS = 4
BUSY_MILLISECONDS = 5000
AUTOCOMMIT: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None, "skip_autocommit_rollback": True}
"""For reads: no transaction to begin or to end."""
OWNER_ALONE = 0o600
"""Signing keys lie in these files; SQLite gives its WAL the mode of the file."""


def open_engines(
    url: str, schema: str, *, synchronous: str = "NORMAL", lease_seconds: float = LEASE_SECONDS
) -> tuple[sa.Engine, sa.Engine]:
    """(read, write) for `postgresql://…` or for `sqlite:///path`, whose file is attached under the schema's name.

    Their drivers are asynchronous: whoever connects does so inside `greenlet_spawn`, or gets MissingGreenlet.
    """
    if url.startswith("postgresql"):
        return _postgresql(url, schema, lease_seconds)
    return _sqlite(sqlite_path(url), schema, synchronous)


def sqlite_path(url: str) -> Path:
    """The file of a `sqlite:///path` URL."""
    return Path(url.split(":///", 1)[1])


def asyncpg_url(url: str) -> sa.URL:
    """The URL with the driver that Parvis uses, whose `ssl` is everybody else's `sslmode`."""
    made = sa.make_url(url).set(drivername="postgresql+asyncpg")
    mode = made.query.get("sslmode")
    return made if mode is None else made.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})


def session_settings(name: str, lease_seconds: float) -> dict[str, str]:
    """For every session of a service: a frozen or unreachable client gives up its locks after the lease."""
    return {
        "application_name": name,
        "standard_conforming_strings": "on",  # or a backslash would not be one in a literal (parvis_kit/db/literals.py)
        "idle_in_transaction_session_timeout": f"{int(lease_seconds * 1000)}ms",
        "TimeZone": "UTC",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }


def _postgresql(url: str, schema: str, lease_seconds: float) -> tuple[sa.Engine, sa.Engine]:
    from parvis_kit.db.connecting import opener  # asyncpg and its dialect, 5 MB that SQLite does without
    from parvis_kit.db.postgres import OWN_TRANSACTIONS

    settings = session_settings(f"parvis-{schema}", lease_seconds)
    url, file = without_password_file(url)
    common: dict[str, Any] = {
        "connect_args": {"server_settings": settings, "timeout": 5, "async_creator_fn": opener(file)},
        "pool_size": POOL_SIZE,
        "max_overflow": 0,
        "pool_timeout": POOL_WAIT_SECONDS_MAX,
    }
    driven = asyncpg_url(url)
    write = sa.create_engine(driven.set(drivername=OWN_TRANSACTIONS), isolation_level="AUTOCOMMIT", **common)
    return sa.create_engine(driven, **AUTOCOMMIT, **common), write


def _sqlite(path: Path, schema: str, synchronous: str) -> tuple[sa.Engine, sa.Engine]:
    def connect(connection: Any, _record: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)  # not before: a service that is only described writes nothing
        _make_private(path)
        connection.isolation_level = None  # or the driver opens transactions late, and not the ones we ask for
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        cursor.execute(f"ATTACH DATABASE ? AS {schema}", (str(path),))
        for pragma in (
            f"{schema}.journal_mode=WAL",
            f"{schema}.synchronous={synchronous}",
            "foreign_keys=ON",
            "recursive_triggers=ON",  # or REPLACE would delete a row behind its trigger's back, one of a closed month too
            f"{schema}.wal_autocheckpoint=1000",
            f"{schema}.journal_size_limit=67108864",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def engine(begin: str, size: int, **options: Any) -> sa.Engine:
        made = sa.create_engine(
            "sqlite+aiosqlite://",
            poolclass=AsyncAdaptedQueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS_MAX,
            **options,
        )
        sa.event.listen(made, "connect", connect)
        if begin:
            sa.event.listen(made, "begin", lambda connection: connection.exec_driver_sql(begin))
        return made

    # BEGIN IMMEDIATE: a transaction that reads and then writes is otherwise refused, whatever the busy timeout.
    return engine("", SQLITE_READERS, **AUTOCOMMIT), engine("BEGIN IMMEDIATE", 1)


def _make_private(path: Path) -> None:
    """For its owner alone, and never opened once it is there: to close a file takes all locks of the process on it away, SQLite's too."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER_ALONE))
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


def open_read_only(path: Path) -> sqlite3.Connection:
    """Another service's file: nothing can be written through this connection. Raises sqlite3.OperationalError when it is not there."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    return connection
