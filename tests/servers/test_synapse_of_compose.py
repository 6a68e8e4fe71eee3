"""Synapse takes what compose gives it: the secrets that are made, the files that are mounted, the database that is prepared. Only the
container is not there."""

import json
import os
import re
import runpy
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import yaml
from parvis_kit.testing.plugin import missing
from parvis_kit.testing.servers import ServerMissing, started
from parvis_kit.testing.waiting import until

from ..conftest import ROOT, free_port

SYNAPSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["synapse"]
NAME = "parvis.example.org"
START_SECONDS_MAX = 120.0
PLACE = {"/etc/parvis/synapse": f"{ROOT}/infra/synapse"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    script = tmp_path / "infra/compose/make-secrets.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "infra/compose/make-secrets.sh", script)
    subprocess.run(["sh", script], env={**os.environ, "PARVIS_MESSAGING_SERVER_NAME": NAME}, check=True, capture_output=True)
    return tmp_path / "secrets"


@pytest.fixture
def python(synapse_script: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of Synapse's own environment."""
    monkeypatch.syspath_prepend(synapse_script.parent)
    starter = runpy.run_path(str(synapse_script))
    try:
        found: Path = starter["installed"]()
    except starter["CannotStart"] as reason:
        missing("Synapse", str(reason))
    return found


def here(text: str, secrets: Path, swaps: dict[str, str]) -> str:
    """With this machine's places instead of the container's; whoever is named must be there to be swapped."""
    for inside, outside in {"/run/secrets/": f"{secrets}/", **swaps}.items():
        assert inside in text, inside
        text = text.replace(inside, outside)
    return text


@contextmanager
def prepared_database(postgres_script: Path, secrets: Path) -> Iterator[str]:
    """As PostgreSQL's container does at its first start; HOST:PORT."""
    try:
        with started(postgres_script) as said:
            where = urlsplit(said["url"])
            script = here((ROOT / "infra/compose/synapse-database.sh").read_text(), secrets, {})
            path = f"{said['bin']}{os.pathsep}{os.environ['PATH']}"
            environ = {"PATH": path, "PGHOST": str(where.hostname), "PGPORT": str(where.port)}
            subprocess.run(["sh", "-c", script], env=environ, check=True, capture_output=True, timeout=60)
            yield f"{where.hostname}:{where.port}"
    except ServerMissing as reason:
        missing("PostgreSQL", str(reason))


def configured(secrets: Path, database: str, port: int, metrics: int) -> list[str]:
    """What its Python is told, as compose does it."""
    host, _, database_port = database.partition(":")
    swaps = {
        "port: 8008": f"port: {port}", "port: 9090": f"port: {metrics}", '"0.0.0.0"': '"127.0.0.1"', "host: postgres": f"host: {host}",
        "port: 5432": f"port: {database_port}", "/matrix-media": str(secrets.parent / "media"),
        **PLACE,
    }  # fmt: skip
    told = secrets / "synapse.yaml"
    text = here(told.read_text(), secrets, swaps)
    told.chmod(0o600)
    told.write_text(text)
    command: list[str] = json.loads(here(json.dumps(SYNAPSE["entrypoint"]), secrets, PLACE))
    return command[1:]


def environment() -> dict[str, str]:
    return {**os.environ, **{name: value.replace(*one) for one in PLACE.items() for name, value in SYNAPSE["environment"].items()}}


def asked(url: str, token: str = "") -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


async def test_synapse_runs_on_what_compose_gives_it(postgres_script: Path, python: Path, secrets: Path) -> None:
    port, metrics = free_port(), free_port()
    log = secrets.parent / "synapse.log"
    with prepared_database(postgres_script, secrets) as database, log.open("wb") as output:
        command = configured(secrets, database, port, metrics)
        process = subprocess.Popen([python, *command], env=environment(), stdout=output, stderr=output)

        async def is_up() -> bool:
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                return asked(f"http://127.0.0.1:{port}/health")[0] == 200
            except OSError:
                return False

        try:
            await until(is_up, "Synapse answers", START_SECONDS_MAX)
            token = json.loads((secrets / "registration.json").read_text())["as_token"]
            base = f"http://127.0.0.1:{port}"
            status, said = asked(f"{base}/_matrix/client/v3/account/whoami", token)
            assert (status, json.loads(said)["user_id"]) == (200, f"@parvis:{NAME}"), "it knows messaging by the token that both hold"
            assert asked(f"{base}/_matrix/client/v3/account/whoami", token[::-1])[0] == 401
            assert "instance" in asked(f"{base}/_synapse/client/parvis")[1], "the module beside its configuration is loaded"
            assert "synapse_build_info" in asked(f"http://127.0.0.1:{metrics}/metrics")[1]
            assert await of_database(database, secrets) == ("UTF8", "C", "synapse")
        finally:
            process.terminate()
            process.wait(60)
    assert not re.search(r"\b(ERROR|CRITICAL)\b", log.read_text()), log.read_text()


async def of_database(database: str, secrets: Path) -> tuple[Any, ...]:
    """Its encoding and collation, and whose tables are in it."""
    password = (secrets / "synapse-password").read_text()
    connection = await asyncpg.connect(f"postgresql://synapse:{password}@{database}/synapse")
    try:
        where = await connection.fetchrow(
            "SELECT pg_encoding_to_char(encoding), datcollate, (SELECT tableowner FROM pg_tables WHERE tablename = 'events') "
            "FROM pg_database WHERE datname = current_database()"
        )
        return tuple(where)
    finally:
        await connection.close()


def test_and_would_not_run_on_a_setting_that_is_none(python: Path, secrets: Path) -> None:
    """The control."""
    command = configured(secrets, "127.0.0.1:1", free_port(), free_port())
    told = secrets / "synapse.yaml"
    told.write_text(re.sub(r"^macaroon_secret_key: .*$", "macaroon_secret_key: 7", told.read_text(), flags=re.M))
    said = subprocess.run([python, *command], env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode and "macaroon_secret_key" in said.stdout + said.stderr
