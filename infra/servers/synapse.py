"""A real Matrix homeserver, Synapse, for people at work on Parvis, and for its tests: `python infra/servers/synapse.py --help`."""

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import subprocess  # noqa: S404
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recipe import CannotStart, a_port, answers, cache, finish, free_port, hold, is_free, ready, server, stoppable, told, workplace

HERE = Path(__file__).resolve().parent
LOCK, SHARED = HERE / "synapse.lock", HERE.parent / "synapse"
WANTED = ("matrix-synapse==1.163.2", "psycopg2-binary")
"""What `synapse.py lock` resolves anew. Synapse is AGPL: a process of its own, which nothing of Parvis imports."""
START_SECONDS_MAX = 120.0
"""The first start compiles its modules."""


def main() -> None:
    began, parent = time.monotonic(), os.getppid()
    asked = arguments()
    with told(), stoppable():
        if asked.what == "lock":
            lock()
            return
        python = installed()
        if asked.what == "install":
            print(f"installed {python}")
            return
        port = asked.port or free_port()
        if not is_free(port):
            raise CannotStart(f"port {port} is taken by another process; say another one with --port, or none")
        with workplace(asked.dir) as place, run(python, place, port, asked) as (process, log):
            seconds = f"{time.monotonic() - began:.1f}"
            ready(url=f"http://127.0.0.1:{port}", server_name=asked.server_name, dir=place, pid=process.pid, seconds=seconds)
            hold(process, log, parent)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["install", "lock"], help="fetch what is needed and start nothing; or lock anew")
    parser.add_argument("--port", type=a_port, help="of its client API; by default a free one")
    parser.add_argument("--metrics-port", type=a_port, help="of its own metrics; by default it has none")
    parser.add_argument("--dir", type=Path, help="where it lives, and stays; by default a temporary folder")
    parser.add_argument("--server-name", default="localhost", help="what Matrix ids end in; chosen once")
    parser.add_argument("--database", default="", help="postgresql://user:password@host:port/name (encoding UTF8, collation C)")
    parser.add_argument("--registration", type=Path, help="of messaging, as `parvis messaging registration` writes it")
    return parser.parse_args()


def lock() -> None:
    """By uv, as all locks of Parvis."""
    uv = Path(sys.executable).parent / "uv"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write("\n".join(WANTED))
        wanted.flush()
        common = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate"]
        subprocess.run([uv, "pip", "compile", "--quiet", *common, wanted.name, "-o", LOCK], check=True)  # noqa: S603


def installed() -> Path:
    """The Python of its environment, which is made when it is missing."""
    import fcntl

    said = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    place = cache() / f"synapse-{sys.version_info.major}.{sys.version_info.minor}-{said}"
    if not (place / "whole").exists():
        # A venv does not move, so whoever installs does it at its place, while others wait; a half-made one is begun anew.
        with (place.parent / f"{place.name}.lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if not (place / "whole").exists():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir(parents=True)
                log, python = place / "pip.log", place / "venv/bin/python"
                finish([sys.executable, "-m", "venv", place / "venv"], log)
                pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
                finish([*pip, "--require-hashes", "-r", LOCK], log, hint="is PyPI reachable?")
                (place / "whole").touch()
    return place / "venv/bin/python"


@contextlib.contextmanager
def run(python: Path, place: Path, port: int, asked: argparse.Namespace) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log, here = place / "synapse.log", place / "here.yaml"
    key = place / "signing.key"
    if not key.exists():
        make_key = "import sys; from signedjson.key import *; write_signing_keys(open(sys.argv[1], 'w'), [generate_signing_key('a_p')])"
        finish([python, "-c", make_key, key], log)
    here.write_text(json.dumps(settings(place, port, asked)))  # JSON is YAML
    here.chmod(0o600)
    os.environ["PYTHONPATH"] = str(SHARED)
    command = [python, "-m", "synapse.app.homeserver", "-c", SHARED / "homeserver.yaml", "-c", here]
    with server(command, log, answers=lambda: answers(f"http://127.0.0.1:{port}/health"), seconds_max=START_SECONDS_MAX) as process:
        yield process, log


def settings(place: Path, port: int, asked: argparse.Namespace) -> dict[str, Any]:
    """What is of this machine alone; the rest is infra/synapse/homeserver.yaml."""
    common = {"bind_addresses": ["127.0.0.1"], "tls": False}
    client = {**common, "port": port, "type": "http", "x_forwarded": True, "resources": [{"names": ["client"]}]}
    metrics = [{**common, "port": asked.metrics_port, "type": "metrics"}] if asked.metrics_port else []
    found: dict[str, Any] = {
        "server_name": asked.server_name,
        "listeners": [client, *metrics],
        "enable_metrics": bool(metrics),
        "database": database(place, asked.database),
        "media_store_path": str(place / "media"),
        "signing_key_path": str(place / "signing.key"),
        "log_config": str(SHARED / "log.yaml"),
        "macaroon_secret_key": kept_secret(place / "macaroon"),
        "form_secret": kept_secret(place / "form"),
    }
    if asked.registration:
        registration = str(asked.registration.resolve())
        found["app_service_config_files"] = [registration]
        found["modules"] = [{"module": "parvis_app_passwords.AppPasswords", "config": {"registration": registration}}]
    return found


def database(place: Path, url: str) -> dict[str, Any]:
    if not url:
        return {"name": "sqlite3", "args": {"database": str(place / "homeserver.db")}}
    said = urllib.parse.urlsplit(url)
    password = urllib.parse.unquote(said.password or "")
    known = {"user": said.username, "password": password, "host": said.hostname, "port": said.port}
    args = {"dbname": said.path.strip("/"), "cp_min": 1, "cp_max": 10, **{name: value for name, value in known.items() if value}}
    return {"name": "psycopg2", "args": args}


def kept_secret(path: Path) -> str:
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text()


if __name__ == "__main__":
    main()
