"""What app.py hands to the roof: one service, ready to be mounted, migrated, fed with facts and closed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx
from parvis_kit.events import Projection, Reactions
from parvis_kit.events.operate import gauge
from parvis_kit.events.running import Flow
from parvis_kit.http import Authenticate, Handler, Routes


@dataclass(frozen=True, slots=True)
class Sweep:
    """Work that the clock asks for."""

    name: str
    every_seconds: float
    action: Callable[[], Awaitable[None]]
    at_once: bool = False
    """Also when the process begins: figures, which nobody waits an hour for."""


@dataclass(kw_only=True, slots=True)
class Doors:
    """What listens and keeps nothing: it has no table, so nothing to migrate, to publish or to react with. A plain record, as Service."""

    name: str
    clock: Clock
    routes: Sequence[Routes] = ()
    authenticate: Authenticate | None = None
    """Who is asking: sets the agent on the request, or raises Unauthorized or Forbidden."""
    handles: Mapping[Any, Any] = field(default_factory=dict)
    """What doors find on each request (`request[DB]`), by RequestKey."""
    sweeps: Sequence[Sweep] = ()
    before: Sequence[Callable[[], Awaitable[None]]] = ()
    """Done once in each process, when the tables are there and before anything else runs."""
    outside: Mapping[str, Callable[[], Awaitable[str]]] = field(default_factory=dict)
    """What it needs beside its database and can wait for, by name: what is wrong with it and what to do, or nothing. Told by /readyz,
    which stays 200, and by `parvis doctor`."""
    after: Sequence[Callable[[], Awaitable[None]]] = ()
    """Done when requests and background have ended, before the database is closed."""
    is_fresh: Callable[[], bool] = lambda: True
    """Whether its copy of others' facts has been complete once: not ready before."""
    lost: Handler | None = None
    """What a browser is shown of an address where nothing is; others get a problem."""
    settings: Any = None


@dataclass(kw_only=True, slots=True)
class Service(Doors):
    """Doors with tables of their own behind them: the kit's functions read it."""

    database: Database
    metadata: sa.MetaData
    """The service's tables, the log's among them."""
    migrations: str
    """The package that holds its Alembic tree, as `parvis_directory.migrations`."""
    reactions: Reactions = field(default_factory=dict)
    projections: Sequence[Projection] = ()
    renew: Mapping[str, Callable[[Tx, datetime], Awaitable[int]]] = field(default_factory=dict)
    """What its clients remember and must not believe once its database was restored, by name: makes it so, and says of how many."""
    compare: Mapping[str, Callable[[], Awaitable[str]]] = field(default_factory=dict)
    """What lies outside of its database and has to agree with it after a restore, by name: what does not and what to do, or nothing."""
    look: Callable[[Flow], Awaitable[object]] = gauge
    """Done every few seconds, in each process that runs it: what tells how its facts flow."""
    say_again: Callable[[Tx, str, Sequence[str], datetime], Awaitable[None]] | None = None
    """Publishes how the things of a state topic stand, by key; what there is not any more, as erased."""
