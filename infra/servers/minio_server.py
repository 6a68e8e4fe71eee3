"""Another real S3 store, MinIO, so that files does not learn the ways of one alone: `python infra/servers/minio_server.py --help`."""

import argparse
import contextlib
import json
import os
import shutil
import subprocess  # noqa: S404
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from recipe import (
    CannotStart,
    a_port,
    answers,
    cache,
    finish,
    free_port,
    hold,
    is_free,
    last_lines,
    ready,
    server,
    stoppable,
    told,
    workplace,
)

LOCK = Path(__file__).resolve().parent / "minio_server.lock"
START_SECONDS_MAX = 60.0
ACCESS_KEY, SECRET = "parvis", "parvis-secret"  # noqa: S105 (of a server on loopback that is gone with the test)


def main() -> None:
    began, parent = time.monotonic(), os.getppid()
    asked = arguments()
    with told(), stoppable():
        minio = program()
        if asked.install:
            print(f"installed {minio}")
            return
        port = asked.port or free_port()
        if not is_free(port):
            raise CannotStart(f"port {port} is taken by another process; say another one with --port, or none")
        with workplace(asked.dir) as place, run(minio, place, port) as (process, log):
            seconds = f"{time.monotonic() - began:.1f}"
            ready(endpoint=f"http://127.0.0.1:{port}", access_key=ACCESS_KEY, secret=SECRET, dir=place, pid=process.pid, seconds=seconds)
            hold(process, log, parent)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("install", nargs="?", choices=["install"], help="build it, which takes minutes, and start nothing")
    parser.add_argument("--port", type=a_port, help="by default a free one")
    parser.add_argument("--dir", type=Path, help="where it lives, and stays; by default a temporary folder")
    return parser.parse_args()


def program() -> Path:
    """Built by Go from its sources, whose checksum is pinned: there are no binaries in any registry of packages."""
    name, version, checksum = LOCK.read_text().splitlines()[-1].split()
    place = cache() / f"minio-{version}"
    if place.is_file():
        return place
    if shutil.which("go") is None:
        raise CannotStart("MinIO is built by Go, and there is no `go` on the PATH: install Go 1.24 or newer")
    # Two may build at once: each in a folder of its own, and the first to finish gives the program its name.
    fresh = Path(tempfile.mkdtemp(dir=cache()))
    try:
        check(f"{name}@{version}", checksum, fresh / "download.log")
        settings = [f"GOBIN={fresh}", "CGO_ENABLED=0"]
        built = ["go", "install", "-trimpath", "-ldflags", "-s -w", f"{name}@{version}"]
        finish(["env", *settings, *built], fresh / "go.log", hint="does Go's module proxy answer?")
        (fresh / "minio").replace(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return place


def check(wanted: str, checksum: str, log: Path) -> None:
    finish(["go", "mod", "download", "-json", wanted], log, hint="does Go's module proxy answer?")
    text = log.read_text()
    found = json.loads(text[text.index("{") :])["Sum"]
    if found != checksum:
        raise CannotStart(f"{wanted} has the checksum {found}, and {LOCK.name} says {checksum}\n{last_lines(log)}")


@contextlib.contextmanager
def run(minio: Path, place: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = place / "minio.log"
    (place / "data").mkdir(exist_ok=True)
    settings = {"ROOT_USER": ACCESS_KEY, "ROOT_PASSWORD": SECRET, "BROWSER": "off", "UPDATE": "off", "CALLHOME_ENABLE": "off"}
    environ = {**os.environ, **{f"MINIO_{name}": value for name, value in settings.items()}, "GOMEMLIMIT": "256MiB"}
    command = [minio, "server", "--quiet", "--address", f"127.0.0.1:{port}", place / "data"]
    with server(
        command, log, answers=lambda: answers(f"http://127.0.0.1:{port}/minio/health/ready"), seconds_max=START_SECONDS_MAX, environ=environ
    ) as process:
        yield process, log


if __name__ == "__main__":
    main()
