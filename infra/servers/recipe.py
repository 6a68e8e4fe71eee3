"""The contract of every starter here: one line `ready …` when it answers, then wait; SIGTERM, or the parent's end, stops it all."""

import argparse
import contextlib
import ctypes
import fcntl
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess  # noqa: S404
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

PORTS = "20000-31999"
"""Below 32768: a port of the ephemeral range can be taken by somebody's outgoing connection."""
STOP_SECONDS_MAX = 15.0
POLL_SECONDS = 0.05
LOG_LINES_SHOWN = 25


class CannotStart(Exception):
    """Why the server cannot be had; the message says what would help."""


@contextlib.contextmanager
def told() -> Iterator[None]:
    """For the body of a starter's main: a reason, not a traceback."""
    try:
        yield
    except CannotStart as reason:
        print(f"cannot start: {reason}", file=sys.stderr, flush=True)
        sys.exit(1)


def cache() -> Path:
    """Where downloaded servers are kept, outside any checkout. A server that refuses root must be able to read it, so not /root."""
    named = os.environ.get("SERVERS_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = Path(named) if named else Path("/var/cache/parvis-servers") if os.geteuid() == 0 else user / "parvis-servers"
    place.mkdir(parents=True, exist_ok=True)
    return place


GIVEN = set[int]()
"""The ports that this process was given."""


def ports() -> range:
    """`SERVERS_PORTS`, as 20000-23999, or all. With ports of its own, what was killed finds the one that it had free."""
    said = os.environ.get("SERVERS_PORTS", PORTS)
    first, _, last = said.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1024 <= int(first) < int(last) <= 65_535):
        raise CannotStart(f"SERVERS_PORTS={said}: it takes the first and the last, as {PORTS}")
    return range(int(first), int(last) + 1)


def free_port() -> int:
    """Another one at each call: a server of many ports takes none of them before it has them all."""
    among = ports()
    for port in random.sample(among, min(100, len(among))):
        if port not in GIVEN and is_free(port):
            GIVEN.add(port)
            return port
    raise CannotStart(f"no free port between {among[0]} and {among[-1]}")


def a_port(text: str) -> int:
    """For argparse."""
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 1 to 65535")
    GIVEN.add(int(text))
    return int(text)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def workplace(named: Path | None) -> Iterator[Path]:
    """A folder of this server's own: the one named, which stays, or a temporary one, which goes."""
    if named:
        named.mkdir(parents=True, exist_ok=True)
        yield named.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="parvis-server-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def unprivileged() -> pwd.struct_passwd | None:
    """Whom a server runs as that refuses root: nobody; None when we are not root anyway."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def hand_over(folder: Path, owner: pwd.struct_passwd | None) -> None:
    if owner:
        os.chown(folder, owner.pw_uid, owner.pw_gid)


def child_settings(owner: pwd.struct_passwd | None, at_parents_death: signal.Signals) -> Callable[[], None]:
    """Run in the child before exec: become the owner, then ask to be told when the parent dies, however it dies (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if owner:
            os.setgroups([])
            os.setgid(owner.pw_gid)
            os.setuid(owner.pw_uid)  # clears the request below, so it comes first
        if libc:
            libc.prctl(1, at_parents_death)  # PR_SET_PDEATHSIG

    return prepare


def finish(command: Sequence[str | Path], log: Path, *, owner: pwd.struct_passwd | None = None, hint: str = "") -> None:
    """Run a command to its end; when it fails, say so with the end of what it said."""
    with log.open("ab") as out:
        prepare = child_settings(owner, signal.SIGKILL)
        done = subprocess.run(command, stdout=out, stderr=out, preexec_fn=prepare, cwd="/")  # noqa: S603, PLW1509
    if done.returncode:
        raise CannotStart(f"{Path(command[0]).name} failed{f' ({hint})' if hint else ''}\n{last_lines(log)}")


def from_apt(missing: str, *packages: str) -> None:
    """
    Debian's packages, installed when we may, by one starter at a time. `missing`: what is not here, for whoever has to install it.
    Raises CannotStart.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise CannotStart(f"{missing}: apt-get install {' '.join(packages)}, as root")
    log = cache() / "apt.log"
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    os.environ["RUNLEVEL"] = "1"  # packages would start daemons of their own
    with (cache() / "apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        with contextlib.suppress(CannotStart):
            finish(["apt-get", "update", "--quiet"], log)
        finish(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages], log)


def version_said(program: str, *arguments: str) -> str:
    """`… version 2.42.0 …`, as programs say it on either output. Raises CannotStart."""
    said = subprocess.run([program, *arguments], capture_output=True, text=True, check=True)  # noqa: S603
    found = re.search(r"version ([\w.+~-]+)", said.stdout + said.stderr)
    if not found:
        raise CannotStart(f"`{program} {' '.join(arguments)}` names no version")
    return found[1]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])


class Asked(Exception):
    """Somebody asked this starter to stop."""


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGINT leave the body at once, through its finally clauses; once leaving, they are not heard again."""

    def stop(*_: object) -> None:
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)
        raise Asked

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, stop)
    with contextlib.suppress(Asked):
        yield


@contextlib.contextmanager
def server(
    command: Sequence[str | Path],
    log: Path,
    *,
    answers: Callable[[], bool],
    seconds_max: float,
    owner: pwd.struct_passwd | None = None,
    stop: signal.Signals = signal.SIGTERM,
    at_parents_death: signal.Signals = signal.SIGKILL,
    environ: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    stop_seconds_max: float = STOP_SECONDS_MAX,
) -> Iterator[subprocess.Popen[bytes]]:
    """The server, answering; stopped when the body is left, whatever the reason."""
    with log.open("ab") as out:
        prepare = child_settings(owner, at_parents_death)
        # A group of its own: Ctrl-C is for the starter, which then stops the server in the way it likes.
        process = subprocess.Popen(  # noqa: S603
            command,
            stdout=out,
            stderr=out,
            preexec_fn=prepare,  # noqa: PLW1509
            cwd=log.parent,
            start_new_session=True,
            env=environ,
            pass_fds=pass_fds,
        )
    try:
        deadline = time.monotonic() + seconds_max
        while not answers():
            if process.poll() is not None:
                raise CannotStart(f"{Path(command[0]).name} ended before it was ready\n{last_lines(log)}")
            if time.monotonic() > deadline:
                raise CannotStart(f"{Path(command[0]).name} was not ready after {seconds_max:.0f} s\n{last_lines(log)}")
            time.sleep(POLL_SECONDS)
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(stop_seconds_max)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def hold(process: subprocess.Popen[bytes], log: Path, parent: int) -> None:
    """Wait until the server ends by itself, which is a failure, or until whoever started us is gone."""
    while process.poll() is None:
        if os.getppid() != parent:
            raise Asked
        time.sleep(POLL_SECONDS)
    raise CannotStart(f"the server ended by itself with {process.returncode}\n{last_lines(log)}")


def ready(**known: object) -> None:
    print("ready", *(f"{name}={value}" for name, value in known.items()), flush=True)
