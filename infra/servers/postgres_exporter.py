"""What a PostgreSQL says of itself to Prometheus, by Debian's exporter: `python infra/servers/postgres_exporter.py --help`."""

import argparse
import contextlib
import os
import re
import shutil
import subprocess  # noqa: S404
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from recipe import CannotStart, a_port, cache, finish, free_port, hold, is_free, ready, server, stoppable, told, workplace

PACKAGE = PROGRAM = "prometheus-postgres-exporter"
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
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise CannotStart(f"there is no {PROGRAM}: apt-get install {PACKAGE}, as root")
        log = cache() / "apt.log"
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        os.environ["RUNLEVEL"] = "1"  # the package would start a daemon of its own
        with contextlib.suppress(CannotStart):
            finish(["apt-get", "update", "--quiet"], log)
        finish(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", PACKAGE], log)
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    found = re.search(r"version ([\w.+~-]+)", said.stdout + said.stderr)
    if not found:
        raise CannotStart(f"`{PROGRAM} --version` names no version")
    return found[1]


@contextlib.contextmanager
def run(place: Path, port: int, asked: argparse.Namespace) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = place / "exporter.log"
    environ = {**os.environ, "DATA_SOURCE_URI": f"{asked.database}?sslmode=disable", "DATA_SOURCE_USER": asked.user}
    if asked.password_file is not None:
        environ["DATA_SOURCE_PASS_FILE"] = str(asked.password_file)
    command = [PROGRAM, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", *NOT_ASKED]
    with server(command, log, answers=lambda: answers(port), seconds_max=START_SECONDS_MAX, environ=environ) as process:
        yield process, log


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()
