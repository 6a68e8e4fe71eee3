"""A suite of one stand-in service, so that the roof is tested whatever lives under it."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result
from parvis_kit.db.versions import heads
from parvis_kit.testing.databases import Place
from parvis_kit.testing.plugin import ASKED, missing
from parvis_kit.testing.servers import ServerMissing, started
from parvis_suite.cli import main
from parvis_suite.services import BUILDERS

from .running import Running, made_once, running_suite
from .shape import Shape, shape_in, started_shape

NAME = "lantern"
FILES = {
    "__init__.py": "",
    "settings.py": '''
        """What may be set."""
        from parvis_kit.settings import Settings as Base
        from pydantic import SecretStr

        class Settings(Base):
            env_prefix = "PARVIS_LANTERN_"
            oil: SecretStr = SecretStr("")
            """What it burns."""
    ''',
    "app.py": '''
        """A light that is seen from outside."""
        from dataclasses import dataclass
        from typing import Any, ClassVar
        import sqlalchemy as sa
        from parvis_kit.audit import audit_tables
        from parvis_kit.clock import utc_now
        from parvis_kit.db import Database, metadata_for, upsert
        from parvis_kit.events import Fact, Projection, log_tables, publish
        from parvis_kit.http import DB, Request, Routes
        from parvis_kit.service import Service

        METADATA = metadata_for("lantern")
        log_tables(METADATA)
        audit_tables(METADATA)
        LIT = sa.Table("lit", METADATA, sa.Column("wick", sa.Text, primary_key=True))
        TIMES = sa.Table("times", METADATA, sa.Column("wick", sa.Text, primary_key=True), sa.Column("times", sa.Integer, nullable=False))
        ROUTES = Routes("lantern", "1")

        class WickLit(Fact):
            """A wick burns."""
            type: ClassVar = "lantern.wick.lit.v1"

        @dataclass
        class Light:
            wicks: list[str]

        @ROUTES.get("/api/lantern/v1/light")
        async def see(request: Request) -> Light:
            """Which wicks burn."""
            async with request[DB].read() as conn:
                return Light([row[0] for row in await conn.execute(sa.select(LIT.c.wick).order_by(LIT.c.wick))])

        @ROUTES.post("/api/lantern/v1/wicks/{wick}")
        async def light(request: Request, wick: str) -> Light:
            """Light one, and say so."""
            async with request[DB].transaction() as tx:
                publish(tx, WickLit(at=utc_now(), about=wick))
            return Light([])

        WET = {"wet"}

        async def note(tx: Any, fact: WickLit) -> None:
            if fact.about in WET:
                raise RuntimeError("a wet wick does not burn")
            await tx.execute(upsert(tx, LIT).values(wick=fact.about).on_conflict_do_nothing())

        async def count(tx: Any, fact: WickLit) -> None:
            row = upsert(tx, TIMES).values(wick=fact.about, times=1)
            await tx.execute(row.on_conflict_do_update(index_elements=["wick"], set_={"times": TIMES.c.times + 1}))

        SEEN = Projection("lantern.times", version=1, tables=(TIMES,), on={WickLit: count})

        def build(platform: Any) -> Service:
            database = Database(platform.database_url_of("lantern"), "lantern")
            return Service(name="lantern", database=database, clock=utc_now, metadata=METADATA, migrations="stand_in.migrations",
                           routes=[ROUTES], reactions={WickLit: note}, projections=[SEEN])
    ''',
    "migrations/versions/0001_light.py": '''
        """The lantern."""
        import sqlalchemy as sa
        from alembic import op
        from parvis_kit.audit.migrations import create_audit_tables, drop_audit_tables
        from parvis_kit.events.migrations import create_log_tables, drop_log_tables
        revision, down_revision = "0001", None

        def upgrade() -> None:
            create_log_tables(op, "lantern")
            create_audit_tables(op, "lantern")
            op.create_table("lit", sa.Column("wick", sa.Text, primary_key=True), schema="lantern")
            op.create_table(
                "times", sa.Column("wick", sa.Text, primary_key=True), sa.Column("times", sa.Integer, nullable=False), schema="lantern"
            )

        def downgrade() -> None:
            op.drop_table("times", schema="lantern")
            op.drop_table("lit", schema="lantern")
            drop_audit_tables(op, "lantern")
            drop_log_tables(op, "lantern")
    ''',
}
LAUNCH = """
from parvis_suite.services import BUILDERS
BUILDERS.clear()
BUILDERS["lantern"] = "stand_in.app"
from parvis_suite.cli import main
main(prog_name="parvis")
"""


@dataclass
class Suite:
    """`parvis`, with one service."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, **environ: str) -> Result:
        """In this process; all output together."""
        return CliRunner().invoke(main, arguments, prog_name="parvis", env={**self.environ, **environ})

    def start(self, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """In a process of its own."""
        path = os.pathsep.join([str(self.folder / "packages"), *filter(None, sys.path)])
        return subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *arguments],
            env={**os.environ, **self.environ, **(environ or {}), "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        path = tmp_path / "packages" / "stand_in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setattr("parvis_suite.services.BUILDERS", BUILDERS)
    monkeypatch.setitem(BUILDERS, NAME, "stand_in.app")
    for other in set(BUILDERS) - {NAME}:
        monkeypatch.delitem(BUILDERS, other)
    heads.cache_clear()
    yield tmp_path
    for module in [one for one in sys.modules if one.startswith("stand_in")]:
        del sys.modules[module]


@pytest.fixture
def parvis(stand_in: Path) -> Suite:
    """On SQLite."""
    return Suite(stand_in, {"PARVIS_DATA": str(stand_in / "data"), "PARVIS_PORT": "0"})


@pytest.fixture
def anywhere(stand_in: Path, place: Place, database_kind: str, request: pytest.FixtureRequest) -> Iterator[Suite]:
    """On SQLite, and on PostgreSQL; with Kafka between the services where a test asks for it."""
    environ = {"PARVIS_DATA": str(stand_in / "data"), "PARVIS_PORT": "0"}
    if database_kind != "sqlite":
        environ["PARVIS_DATABASE_URL"] = place.url_of("")
    if database_kind == "kafka":
        environ |= request.getfixturevalue("kafka").environ()
    yield Suite(stand_in, environ)


@pytest_asyncio.fixture
async def suite(place: Place, tmp_path: Path) -> AsyncIterator[Running]:
    """The whole suite with its demonstration, which has been made already, on SQLite and on PostgreSQL."""
    await place.prepare("demonstration", made_once)
    with running_suite(tmp_path / "data", place.url) as running:
        yield running


@pytest.fixture
def new_suite(place: Place, database_kind: str, tmp_path: Path) -> Iterator[Running]:
    """The same from its very first start."""
    with running_suite(tmp_path / "data", place.url_of("") if database_kind != "sqlite" else "") as running:
        yield running


@pytest.fixture(scope="session")
def distributed() -> Iterator[Shape]:
    """The distributed shape with its demonstration, started when the first test wants it: tests of the files that
    tests/conftest.py names share it, one after the other. PARVIS_TEST_SHAPE names the folder of one that already runs."""
    if named := ASKED.get("PARVIS_TEST_SHAPE"):
        yield shape_in(Path(named))
        return
    with TemporaryDirectory(prefix="parvis-", ignore_cleanup_errors=True) as folder, started_shape(Path(folder)) as shape:
        yield shape


@pytest.fixture(scope="session")
def dav_python() -> Iterator[str]:
    """The interpreter in whose environment the CalDAV client lies."""
    try:
        with started(Path(__file__).resolve().parents[2] / "infra/servers/davclients.py") as said:
            yield said["python"]
    except ServerMissing as reason:
        missing("CalDAV clients", str(reason))
