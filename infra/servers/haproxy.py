"""The front proxy, HAProxy from Debian on infra/proxy/haproxy.cfg: `python infra/servers/haproxy.py --help`."""

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess  # noqa: S404
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from recipe import CannotStart, a_port, free_port, from_apt, hold, is_free, ready, server, stoppable, told, workplace

CONFIGURATION = Path(__file__).resolve().parent.parent / "proxy/haproxy.cfg"
UPSTREAMS = ("directory", "files", "calendar", "messaging", "billing", "portal", "homeserver", "blobs")
START_SECONDS_MAX = 30.0
SETTLE_SECONDS_MAX = 1.0
"""Where it cannot be seen, on what is not Linux or begins otherwise, this long is waited."""
DRAIN_SECONDS_MAX = 90.0
"""Beyond hard-stop-after of the configuration: those at work finish."""


def main() -> None:
    began, parent = time.monotonic(), os.getppid()
    asked = arguments()
    with told(), stoppable():
        program = from_debian()
        if asked.install:
            print(f"installed {program}")
            return
        port, metrics_port = asked.port or free_port(), asked.metrics_port or free_port()
        for one in (metrics_port, *([] if asked.fd else [port])):
            if not is_free(one):
                raise CannotStart(f"port {one} is taken by another process; say another one, or none")
        addresses = dict(one.split("=", 1) for one in asked.upstream)
        if missing := [name for name in UPSTREAMS if name not in addresses]:
            raise CannotStart(f"say where these are, as --upstream files=127.0.0.1:8080: {', '.join(missing)}")
        with workplace(asked.dir) as place, run(program, place, port, metrics_port, asked, addresses) as (process, log):
            ready(
                url=f"http://127.0.0.1:{port}",
                metrics=f"http://127.0.0.1:{metrics_port}/metrics",
                version=version_of(program),
                dir=place,
                pid=process.pid,
                seconds=f"{time.monotonic() - began:.1f}",
            )
            hold(process, log, parent)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("install", nargs="?", choices=["install"], help="fetch what is needed and start nothing")
    parser.add_argument("--upstream", action="append", default=[], metavar="NAME=HOST:PORT", help=f"of each: {', '.join(UPSTREAMS)}")
    parser.add_argument("--port", type=a_port, help="where agents come in; by default a free one")
    parser.add_argument("--fd", type=int, help="a socket that already listens there, and goes on while this ends and is started again")
    parser.add_argument("--metrics-port", type=a_port, help="where Prometheus scrapes; by default a free one")
    parser.add_argument("--trusted", action="append", default=[], metavar="NETWORK", help="of proxies in front of it; by default none")
    parser.add_argument("--dir", type=Path, help="where its log lies, and stays; by default a temporary folder")
    return parser.parse_args()


def from_debian() -> str:
    """HAProxy 2.6 or newer; installed when there is none and we may."""
    os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"
    if not shutil.which("haproxy"):
        from_apt("there is no haproxy", "haproxy")
    return shutil.which("haproxy") or "haproxy"


def version_of(program: str) -> str:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    return said.split()[2]


@contextlib.contextmanager
def run(
    program: str, place: Path, port: int, metrics_port: int, asked: argparse.Namespace, addresses: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """SIGTERM to this starter lets the requests at work finish. SIGUSR2 to the process that it names reads the configuration again."""
    log, fd = place / "proxy.log", asked.fd
    environ = {
        **os.environ,
        "PROXY_BIND": f"127.0.0.1:{port}" if fd is None else f"fd@{fd}",
        "PROXY_METRICS_BIND": f"127.0.0.1:{metrics_port}",
        "PROXY_TRUSTED": " ".join(asked.trusted),
        **{f"PROXY_{name.upper()}": address for name, address in addresses.items()},
    }
    command = [program, "-W", "-db", "-f", CONFIGURATION]

    def answers() -> bool:
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex(("127.0.0.1", metrics_port)) == 0

    with server(
        command,
        log,
        answers=answers,
        seconds_max=START_SECONDS_MAX,
        stop=signal.SIGUSR1,
        at_parents_death=signal.SIGTERM,
        environ=environ,
        pass_fds=[] if fd is None else [fd],
        stop_seconds_max=DRAIN_SECONDS_MAX,
    ) as process:
        settle(process.pid)
        yield process, log


def settle(pid: int) -> None:
    """The master begins anew once its worker runs, and would lose a signal that came meanwhile: nothing would ever stop."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < deadline and not has_begun_anew(Path("/proc", str(pid))):
        time.sleep(0.01)


def has_begun_anew(process: Path) -> bool:
    try:
        signals = dict(re.findall(r"^Sig(Blk|Cgt):\s*([0-9a-f]+)$", (process / "status").read_text(), re.MULTILINE))
        waits = b"HAPROXY_MWORKER_WAIT_ONLY=1" in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    blocked, caught = (bool(int(signals[kind], 16) & 1 << signal.SIGUSR1 - 1) for kind in ("Blk", "Cgt"))
    return waits and caught and not blocked


if __name__ == "__main__":
    main()
