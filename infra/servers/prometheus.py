"""A real Prometheus with its Alertmanager, Debian's, on infra/prometheus: `python infra/servers/prometheus.py --help`."""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess  # noqa: S404
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from recipe import (
    CannotStart,
    a_port,
    answers,
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
    version_said,
    workplace,
)

CONFIGURATION = Path(__file__).resolve().parent.parent / "prometheus"
START_SECONDS_MAX = 60.0
RETENTION = "2h"
"""Of a server at somebody's desk or in a test; compose says its own."""
PACKAGES = ("prometheus", "prometheus-alertmanager")
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")


def main() -> None:
    began, parent = time.monotonic(), os.getppid()
    asked = arguments()
    with told(), stoppable():
        version = from_debian()
        if asked.install:
            print(f"installed {shutil.which('prometheus')}")
            return
        port, alerts_port = asked.port or free_port(), asked.alertmanager_port or free_port()
        for one in (port, alerts_port):
            if not is_free(one):
                raise CannotStart(f"port {one} is taken by another process; say another one, or none")
        with workplace(asked.dir) as place, run(place, port, alerts_port, asked) as (process, log):
            ready(
                url=f"http://127.0.0.1:{port}",
                alertmanager=f"http://127.0.0.1:{alerts_port}",
                version=version,
                dir=place,
                pid=process.pid,
                seconds=f"{time.monotonic() - began:.1f}",
            )
            hold(process, log, parent)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("install", nargs="?", choices=["install"], help="fetch what is needed and start nothing")
    parser.add_argument("--target", action="append", default=[], metavar="JOB=HOST:PORT", help="a process that is to be scraped")
    parser.add_argument("--targets", type=Path, help="a file of targets (JSON, file_sd), read again whenever it changes")
    parser.add_argument("--webhook", default="", help="where alerts are posted; by default nowhere")
    parser.add_argument("--interval", default="15s", help="how often is scraped and judged")
    parser.add_argument("--hurry", action="store_true", help="alerts neither wait nor gather: for tests that wait for one")
    parser.add_argument("--port", type=a_port, help="of Prometheus; by default a free one")
    parser.add_argument("--alertmanager-port", type=a_port, help="by default a free one")
    parser.add_argument("--dir", type=Path, help="where it lives, and stays; by default a temporary folder")
    return parser.parse_args()


def from_debian() -> str:
    """Both packages, installed when they are not here and we may; Prometheus' version."""
    if not all(map(shutil.which, PROGRAMS)):
        from_apt(f"there is no {' or no '.join(PACKAGES)}", *PACKAGES)
    return version_said("prometheus", "--version")


@contextlib.contextmanager
def run(place: Path, port: int, alerts_port: int, asked: argparse.Namespace) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    owner, log, alerts_log = unprivileged(), place / "prometheus.log", place / "alertmanager.log"
    place.chmod(0o711)
    for name in ("tsdb", "alerts"):
        (place / name).mkdir(exist_ok=True)
        hand_over(place / name, owner)
    prepare(place, alerts_port, asked)
    finish(["promtool", "check", "config", place / "prometheus.yml"], log)
    finish(["amtool", "check-config", place / "alertmanager.yml"], alerts_log)
    alertmanager = ["prometheus-alertmanager", f"--config.file={place / 'alertmanager.yml'}", f"--storage.path={place / 'alerts'}"]
    alertmanager += [f"--web.listen-address=127.0.0.1:{alerts_port}", "--cluster.listen-address=", "--log.level=warn"]
    prometheus = ["prometheus", f"--config.file={place / 'prometheus.yml'}", f"--storage.tsdb.path={place / 'tsdb'}"]
    prometheus += [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.retention.time={RETENTION}", "--log.level=warn"]
    prometheus += ["--web.enable-lifecycle"]
    with (
        server(
            alertmanager,
            alerts_log,
            answers=lambda: answers(f"http://127.0.0.1:{alerts_port}/-/ready"),
            seconds_max=START_SECONDS_MAX,
            owner=owner,
        ),
        server(
            prometheus, log, answers=lambda: answers(f"http://127.0.0.1:{port}/-/ready"), seconds_max=START_SECONDS_MAX, owner=owner
        ) as process,
    ):
        yield process, log


def prepare(place: Path, alerts_port: int, asked: argparse.Namespace) -> None:
    """The configuration as it is deployed; only who is scraped, who is told, and how often are this place's own."""
    settings = (CONFIGURATION / "prometheus.yml").read_text()
    settings = re.sub(r"(scrape_interval|scrape_timeout|evaluation_interval): \S+", rf"\1: {asked.interval}", settings)
    if asked.targets:
        settings = settings.replace("[targets.json]", json.dumps([str(asked.targets.resolve())]))
    (place / "prometheus.yml").write_text(settings)
    shutil.copytree(CONFIGURATION / "rules", place / "rules", dirs_exist_ok=True)
    (place / "targets.json").write_text(json.dumps(targets_of(asked.target)))
    (place / "alertmanagers.json").write_text(json.dumps([{"targets": [f"127.0.0.1:{alerts_port}"]}]))
    routes = (CONFIGURATION / "alertmanager.yml").read_text()
    if asked.webhook:
        routes = re.sub(r"- url: \S+", f"- url: {asked.webhook}", routes)
    if asked.hurry:
        routes = re.sub(r"(group_wait|group_interval): \S+", r"\1: 1s", routes)
    (place / "alertmanager.yml").write_text(routes)


def targets_of(named: Sequence[str]) -> list[dict[str, object]]:
    found = []
    for number, one in enumerate(named, 1):
        job, _, address = one.partition("=")
        if not address:
            raise CannotStart(f"--target {one}: it takes JOB=HOST:PORT")
        found.append({"targets": [address], "labels": {"job": job, "process": f"{job}-{number}"}})
    return found


if __name__ == "__main__":
    main()
