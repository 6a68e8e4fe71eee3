"""The `parvis` command, as the person at the keyboard meets it."""

import json
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from parvis_kit.db.versions import heads

from .conftest import Suite

HEAVY = ("aiohttp", "alembic", "asyncio", "asyncpg", "parvis_kit", "pydantic", "rich", "sqlalchemy", "uvloop")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom parvis_suite.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print([one for one in {HEAVY!r} if one in sys.modules], file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Commands:" in said.stdout
    assert said.stderr.strip() == "[]"


UNUSED = ("asyncpg", "sqlalchemy.dialects.postgresql", "aiokafka", "minio", "alembic", "rich", "parvis_suite.cost_commands")


def test_a_service_on_sqlite_loads_nothing_of_postgresql_kafka_or_s3(tmp_path: Path) -> None:
    """Nor what only operators type: 6 MB of the 90 that it may take. All that it would run is made here, and not begun."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from parvis_kit.settings import Platform\nfrom parvis_suite import assembly, cli, services\n"
        f"platform = Platform(data=Path({str(tmp_path)!r}))\nmade = services.build_all(platform)\n"
        "assert assembly.background_of(made, platform)\n"
        f"print([one for one in {UNUSED!r} if one in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_every_command_says_what_it_does(parvis: Suite) -> None:
    said = parvis("--help").output
    for command in ("up", "serve", "migrate", "events", "onboard", "doctor", "config", "openapi", "asyncapi"):
        assert f"  {command} " in said
        assert parvis(command, "--help").exit_code == 0


def test_the_version_is_the_distribution_s(parvis: Suite) -> None:
    assert parvis("--version").output.startswith("parvis, version ")


@pytest.mark.parametrize(
    "arguments, environ, said",
    [
        (["migrat"], {}, "No such command 'migrat'"),
        (["serve"], {}, "Missing argument 'SERVICE'"),
        (["serve", "candle"], {}, "there is no service 'candle'; there is lantern"),
        (["migrate", "candle"], {}, "there is no service 'candle'"),
        (["config", "candle"], {}, "there is no service 'candle'"),
        (["migrate"], {"PARVIS_PROT": "1"}, "PARVIS_PROT is no setting of Parvis; did you mean PARVIS_PORT?"),
        (["migrate"], {"PARVIS_LANTERN_OILS": "1"}, "did you mean PARVIS_LANTERN_OIL?"),
        (["migrate"], {"PARVIS_PORT": "http"}, "PARVIS_PORT: Input should be a valid integer"),
        (["up"], {"PARVIS_FAIL": "nonsense:x"}, "PARVIS_FAIL: 'nonsense:x' is not NAME:sleep:SECONDS"),
        (["events", "replay", "lantern"], {}, "name a --key, or take --all"),
        (["events", "rebuild", "candle"], {}, "there is no consumer 'candle'; there is lantern"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(parvis: Suite, arguments: list[str], environ: dict[str, str], said: str) -> None:
    result = parvis(*arguments, **environ)
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.rstrip().splitlines()[-1].startswith("Error: ")


def test_migrate_tells_each_step_and_then_has_nothing_to_do(anywhere: Suite) -> None:
    first = anywhere("migrate")
    assert first.exit_code == 0, first.output
    assert first.output == "lantern: The lantern.\n1 steps done\n"
    assert anywhere("migrate", "lantern").output == "nothing to do: all tables are at this version\n"


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_migrate_tells_of_a_database_that_refuses(anywhere: Suite) -> None:
    result = anywhere("migrate", PARVIS_DATABASE_URL=f"{anywhere.environ['PARVIS_DATABASE_URL']}_that_is_not_there")
    assert result.exit_code == 2
    assert "does not exist. It was reached by PARVIS_DATABASE_ADMIN_URL, or PARVIS_DATABASE_URL" in result.output


def test_a_service_does_not_serve_on_tables_of_another_version(anywhere: Suite) -> None:
    first = anywhere("serve", "lantern")
    assert first.exit_code == 2
    assert "parvis migrate`" in first.output
    anywhere("migrate")
    newer = anywhere.folder / "packages/stand_in/migrations/versions/0002_newer.py"
    newer.write_text("revision, down_revision = '0002', '0001'\ndef upgrade(): ...\ndef downgrade(): ...\n")
    heads.cache_clear()
    second = anywhere("serve", "lantern")
    assert second.exit_code == 2
    assert "the tables of lantern are behind this version of Parvis: run `parvis migrate` first" in second.output


def test_tables_of_a_newer_version_are_left_alone(parvis: Suite) -> None:
    assert parvis("migrate").exit_code == 0
    with sqlite3.connect(parvis.folder / "data/lantern.db") as conn:
        conn.execute("UPDATE alembic_version SET version_num = '0099'")
    conn.close()
    result = parvis("migrate")
    assert result.exit_code == 2
    assert "the tables of lantern are of another version of Parvis, perhaps a newer one" in result.output


def test_config_shows_value_origin_and_sentence_and_no_secret(parvis: Suite) -> None:
    result = parvis("config", PARVIS_LANTERN_OIL="whale", PARVIS_DATABASE_URL="postgresql://me:hunter2@db/parvis")
    assert result.exit_code == 0
    assert "PARVIS_PORT=0  (environment)\n    Where agents come in; 0 takes any free port." in result.output
    assert "PARVIS_HOST=127.0.0.1  (default)" in result.output
    assert "PARVIS_LANTERN_OIL=***  (environment)\n    What it burns." in result.output
    assert "postgresql://me:***@db/parvis" in result.output
    assert "hunter2" not in result.output and "whale" not in result.output


def test_config_lists_the_settings_even_when_one_is_misspelt(parvis: Suite) -> None:
    result = parvis("config", PARVIS_PROT="1")
    assert result.exit_code == 2
    assert "PARVIS_PORT=0" in result.output
    assert "did you mean PARVIS_PORT?" in result.output


def test_the_documents_are_printed(parvis: Suite) -> None:
    document = json.loads(parvis("openapi", "lantern").output)
    assert "/api/lantern/v1/light" in document["paths"]
    assert json.loads(parvis("openapi").output) == {"lantern": document}
    told = json.loads(parvis("asyncapi").output)
    assert told["asyncapi"] == "3.0.0"
    assert told["operations"]["lantern.parvis.lantern.wick.receive"]["action"] == "receive"


def test_who_only_looks_writes_nothing(parvis: Suite) -> None:
    for arguments in (["openapi"], ["asyncapi"], ["config"], ["doctor"]):
        parvis(*arguments)
    assert not (parvis.folder / "data").exists()


def test_the_doctor_says_what_to_do_until_all_is_well(anywhere: Suite) -> None:
    first = anywhere("doctor")
    assert first.exit_code == 1
    assert "run `parvis migrate`" in first.output or "PARVIS_DATABASE_URL" in first.output
    anywhere("migrate")
    then = anywhere("doctor")
    assert then.exit_code == 0, then.output
    assert "WRONG" not in then.output
    assert "lantern: its tables are of this version" in then.output


def test_the_doctor_sees_armed_failpoints(parvis: Suite) -> None:
    parvis("migrate")
    result = parvis("doctor", PARVIS_FAIL="consumer.before_commit:sleep:1")
    assert result.exit_code == 1
    assert "WRONG failpoints are off: PARVIS_FAIL=consumer.before_commit:sleep:1 is for tests alone: unset it" in result.output


def test_the_doctor_sees_a_port_that_somebody_else_has(parvis: Suite) -> None:
    parvis("migrate")
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.settimeout(0)
        port = str(stranger.getsockname()[1])
        result = parvis("doctor", PARVIS_METRICS_PORT=port)
    assert f"WRONG PARVIS_METRICS_PORT {port}" in result.output


def test_the_doctor_sees_a_database_that_is_away(parvis: Suite) -> None:
    result = parvis("doctor", PARVIS_DATABASE_URL="postgresql://127.0.0.1:1/parvis")
    assert result.exit_code == 1
    assert "WRONG lantern: the database answers" in result.output


def test_data_that_cannot_be_written_is_said_so(parvis: Suite, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    result = parvis("migrate", PARVIS_DATA=str(file / "data"))
    assert result.exit_code == 2
    assert "cannot be written" in result.output


def test_two_at_once_on_one_folder_are_refused(parvis: Suite) -> None:
    from parvis_suite.assembly import own

    with own(parvis.folder / "data"):
        for command in ("up", "migrate"):
            result = parvis(command)
            assert result.exit_code == 2
            assert "another Parvis (process " in result.output
    assert stat.S_IMODE((parvis.folder / "data").stat().st_mode) == 0o700
    assert parvis("migrate").exit_code == 0
