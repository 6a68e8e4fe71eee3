"""What a PostgreSQL says of itself to Prometheus, by Debian's exporter: `python infra/servers/postgres_exporter.py --help`."""

import argparse
import contextlib
import os
import shutil
import subprocess  # noqa: S404
import time
from collections.abc import Iterator
from pathlib import Path

from recipe import (
    CannotStart,
    a_port,
    answers,
    free_port,
    from_apt,
    hold,
    is_free,
    ready,
    server,
    stoppable,
    told,
    version_said,
    workplace,
)

PROGRAM = "prometheus-postgres-exporter"
NOT_ASKED = ("--no-collector.bgwriter",)
"""Debian's version asks this view by columns that PostgreSQL 17 has no more."""
START_SECONDS_MAX = 30.0


def main() -> None:
    began, parent = time.monotonic(), os.getppid()
    asked = arguments()
    with told(), stoppable():
        version = from_debian()
        if asked.install:
            print(f"installed {shutil.which(PROGRAM)}")
            return
        if not asked.database:
            raise CannotStart("say which database, as --database 127.0.0.1:5432/postgres")
        port = asked.port or free_port()
        if not is_free(port):
            raise CannotStart(f"port {port} is taken by another process; say another one, or none")
        with workplace(asked.dir) as place, run(place, port, asked) as (process, log):
            url = f"http://127.0.0.1:{port}/metrics"
            ready(url=url, version=version, dir=place, pid=process.pid, seconds=f"{time.monotonic() - began:.1f}")
            hold(process, log, parent)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("install", nargs="?", choices=["install"], help="fetch what is needed and start nothing")
    parser.add_argument("--database", metavar="HOST:PORT/NAME", help="which is looked at; it may be away")
    parser.add_argument("--user", default="parvis_metrics", help="by default the role that `parvis migrate` makes for it")
    parser.add_argument("--password-file", type=Path, help="by default it has none")
    parser.add_argument("--port", type=a_port, help="where Prometheus scrapes; by default a free one")
    parser.add_argument("--dir", type=Path, help="where its log lies, and stays; by default a temporary folder")
    return parser.parse_args()


def from_debian() -> str:
    """Installed when it is not here and we may; its version."""
    if not shutil.which(PROGRAM):
        from_apt(f"there is no {PROGRAM}", PROGRAM)
    return version_said(PROGRAM, "--version")


@contextlib.contextmanager
def run(place: Path, port: int, asked: argparse.Namespace) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = place / "exporter.log"
    environ = {**os.environ, "DATA_SOURCE_URI": f"{asked.database}?sslmode=disable", "DATA_SOURCE_USER": asked.user}
    if asked.password_file is not None:
        environ["DATA_SOURCE_PASS_FILE"] = str(asked.password_file)
    command = [PROGRAM, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", *NOT_ASKED]
    with server(
        command, log, answers=lambda: answers(f"http://127.0.0.1:{port}/"), seconds_max=START_SECONDS_MAX, environ=environ
    ) as process:
        yield process, log


if __name__ == "__main__":
    main()
