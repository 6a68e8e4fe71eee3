"""A service's tables through time: one Alembic tree per service, its version kept beside its tables."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic import autogenerate, command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy.util import await_only, greenlet_spawn

from parvis_kit.db.engines import open_engines
from parvis_kit.db.versions import is_head, version_in, versions_of

ENVIRONMENT = Path(__file__).with_name("environment")
LOCK_SECONDS_MAX = 5
"""A migration that waits for a table makes all who come after it wait too: it gives up, and is run again at a quieter time."""
TURN_SECONDS_MAX, TURN_LOOK_SECONDS = 60, 0.2
"""How long `parvis migrate` waits for another one that is at work on the same service, and how often it looks. A statement that waits
would hold a snapshot, for whose end an index made CONCURRENTLY waits in its turn: a deadlock."""
INDEX_SECONDS_MAX = 600
"""What an index made CONCURRENTLY waits for whoever was at work before it; it keeps nobody waiting."""
IDLE_SECONDS_MAX = 600
"""A migration may compute for a while between two statements, longer than any request."""

Done = TypeVar("Done")
Told = Callable[[str, str], None]
"""Is told (revision, its caption) after each step."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The migrations of one service, and where they go."""

    service: str
    url: str
    metadata: sa.MetaData
    package: str
    """As `parvis_directory.migrations`: a folder that holds `versions/`."""
    owner: str = ""
    """The PostgreSQL role that what is made shall belong to, when the URL is an administrator's."""


async def upgrade(tree: Tree, told: Told = lambda revision, caption: None) -> None:
    """Bring the tables to the newest version; nothing to do when they are there. Each migration is one transaction."""
    await _run(tree, partial(command.upgrade, revision="heads"), told)


async def downgrade(tree: Tree, told: Told = lambda revision, caption: None) -> None:
    """Undo the last migration."""
    await _run(tree, partial(command.downgrade, revision="-1"), told)


async def draft(tree: Tree, caption: str) -> list[Path]:
    """Write the next migration as far as it follows from the metadata; the database must be at head. To be read before it is kept."""
    number = f"{len(list(ScriptDirectory.from_config(config_of(tree)).walk_revisions())) + 1:04}"
    written: list[Path] = []

    def revise(config: Config) -> None:
        made = command.revision(config, caption, autogenerate=True, rev_id=number)
        written.extend(Path(one.path) for one in (made if isinstance(made, list) else [made]) if one is not None)

    await _run(tree, revise)
    return written


async def differences(tree: Tree) -> list[str]:
    """What the metadata has and the migrated tables have not, or the other way round; empty when they agree."""

    def compare(connection: sa.Connection) -> list[str]:
        context = MigrationContext.configure(connection, opts=_options(tree) | {"target_metadata": tree.metadata})
        found = [str(one) for one in autogenerate.compare_metadata(context, tree.metadata)]
        return found + [f"check constraint {one}" for one in sorted(_checks(connection, tree) ^ _checks_of(tree.metadata))]

    return await _connected(tree, compare, alone=False)


def _checks(connection: sa.Connection, tree: Tree) -> set[str]:
    """Alembic does not compare check constraints; their names are enough to see one that was forgotten."""
    found = sa.inspect(connection).get_multi_check_constraints(schema=tree.service)
    return {f"{table}.{check['name']}" for (_, table), checks in found.items() for check in checks}


def _checks_of(metadata: sa.MetaData) -> set[str]:
    return {
        f"{table.name}.{sa.schema.conv(str(constraint.name))}"
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, sa.CheckConstraint)
    }


async def current(tree: Tree) -> str | None:
    """The version that the tables have; None when there are none yet."""
    return await _connected(tree, partial(version_in, tree.service), alone=False)


async def at_head(tree: Tree) -> bool:
    """Whether the tables are what this code expects."""
    return is_head(tree.package, await current(tree))


def add_index(op: Any, name: str, table: str, columns: Sequence[str], *, schema: str) -> None:
    """For a migration: an index on a table that may be large, while others write to it (PostgreSQL: CREATE INDEX CONCURRENTLY).

    Alone in its migration, since it is part of no transaction: what came before it would stay when it fails. An index that a try left
    unfinished goes first; until then writers keep it up for nothing.
    """
    context = op.get_context()
    if context.dialect.name != "postgresql":
        op.create_index(name, table, columns, schema=schema)
        return
    with context.autocommit_block():
        op.execute(f"SET lock_timeout = '{INDEX_SECONDS_MAX}s'")
        try:
            op.drop_index(name, table_name=table, schema=schema, if_exists=True, postgresql_concurrently=True)
            op.create_index(name, table, columns, schema=schema, postgresql_concurrently=True)
        finally:
            op.execute(f"SET lock_timeout = '{LOCK_SECONDS_MAX}s'")


def config_of(tree: Tree, connection: sa.Connection | None = None, told: Told | None = None) -> Config:
    """What Alembic reads instead of an alembic.ini."""
    config = Config(attributes={"tree": tree, "connection": connection, "told": told})
    config.set_main_option("script_location", str(ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(versions_of(tree.package)).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


async def _run(tree: Tree, action: Callable[[Config], object], told: Told | None = None) -> None:
    await _connected(tree, lambda conn: action(config_of(tree, conn, told)))


def run(context: EnvironmentContext | Any) -> None:
    """What `environment/env.py` does."""
    attributes = context.config.attributes
    tree: Tree = attributes["tree"]
    told: Told | None = attributes["told"]

    def applied(ctx: object, step: MigrationInfo, heads: object, run_args: object) -> None:
        if told is not None:
            told(step.up_revision_id or "", getattr(step.up_revision, "doc", ""))

    context.configure(attributes["connection"], target_metadata=tree.metadata, on_version_apply=applied, **_options(tree))
    with context.begin_transaction():
        context.run_migrations()


def _options(tree: Tree) -> dict[str, Any]:
    """SQLite's DDL is transactional too, since we open its transactions ourselves."""

    def is_ours(name: str | None, kind: str, _parents: object) -> bool:
        return name == tree.service if kind == "schema" else True

    return {
        "version_table_schema": tree.service,
        "include_schemas": True,
        "include_name": is_ours,
        "compare_type": True,
        "compare_server_default": True,
        "transaction_per_migration": True,
        "transactional_ddl": True,
    }


async def _connected(tree: Tree, work: Callable[[sa.Connection], Done], *, alone: bool = True) -> Done:
    """`work` with no transaction open; alone on this service, as the owner of its tables, to change them."""
    engines = open_engines(tree.url, tree.service, lease_seconds=IDLE_SECONDS_MAX)
    reads, writes = engines

    def connected() -> Done:
        with opened() as conn:
            if alone and conn.dialect.name == "postgresql":
                _take_turn(conn, tree.service)
                for statement in _manners(tree):
                    conn.execute(sa.text(statement))
                conn.commit()
            return work(conn)

    def opened() -> sa.Connection:
        """With transactions of SQLAlchemy's own on PostgreSQL: ours begin even where Alembic steps out of them (`add_index`)."""
        if writes.dialect.name != "postgresql":
            return writes.connect()
        return reads.connect().execution_options(isolation_level="READ COMMITTED")

    try:
        return await greenlet_spawn(connected)
    finally:
        for engine in engines:
            await greenlet_spawn(engine.dispose)


def _take_turn(conn: sa.Connection, service: str) -> None:
    """To the end of the connection. Raises TimeoutError."""
    last = monotonic() + TURN_SECONDS_MAX
    while not conn.execute(sa.text("SELECT pg_try_advisory_lock(hashtext(:turn))"), {"turn": f"parvis migrate {service}"}).scalar():
        conn.commit()
        if monotonic() > last:
            raise TimeoutError(f"another `parvis migrate` is at work on {service}: start this one again when it is done")
        await_only(asyncio.sleep(TURN_LOOK_SECONDS))
    conn.commit()


def _manners(tree: Tree) -> Sequence[str]:
    return (
        f"SET lock_timeout = '{LOCK_SECONDS_MAX}s'",
        *([f"SET ROLE {tree.owner}"] if tree.owner else [f"CREATE SCHEMA IF NOT EXISTS {tree.service}"]),
    )


def quiet() -> None:
    """Alembic tells each step on its own logger; `told` says it once."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
