"""The CalDAV clients that judge Parvis, in an environment of their own: `python infra/servers/davclients.py --help`."""

import argparse
import contextlib
import hashlib
import shutil
import subprocess  # noqa: S404
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from recipe import CannotStart, cache, finish, ready, told

HERE = Path(__file__).resolve().parent
LOCK = HERE / "davclients.lock"
WANTED = (
    "caldav==3.6.0", "vdirsyncer==0.21.0", "pytest", "pytest-asyncio", "aioresponses", "hypothesis", "trustme", "vobject",
    "tzlocal", "manuel", "httpx", "pyfakefs", "proxy.py", "coverage",
)  # fmt: skip
"""What `davclients.py lock` resolves anew: the clients, and what their own tests need. Beside Parvis they cannot lie: a library that
the first of them brings along replaces the HTTP client of everybody."""
SOURCES = {
    "caldav==3.6.0": "f74deecf1b7f1a56ffc20a739f28d2c02e7ddbc40bb59bf9f65a3af58e8aef1d",
    "vdirsyncer==0.21.0": "b6ac040b880da6758f65c17a369572f62e7323be8d21cd330c26fa134d1b1373",
}
"""The source distributions, which hold their own tests, and their SHA-256."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["install", "lock"], default="install", help="install it and say where, or lock anew")
    asked = parser.parse_args()
    with told():
        if asked.what == "lock":
            lock()
            return
        place = installed()
        ready(python=place / "venv/bin/python", sources=place / "sources", dir=place)


def lock() -> None:
    """By uv, as all locks of Parvis."""
    uv = Path(sys.executable).parent / "uv"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write("\n".join(WANTED))
        wanted.flush()
        common = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate"]
        subprocess.run([uv, "pip", "compile", "--quiet", *common, wanted.name, "-o", LOCK], check=True)  # noqa: S603


def installed() -> Path:
    """The folder, made when it is missing: `venv`, and `sources` with each client's own tests."""
    said = hashlib.sha256(LOCK.read_bytes() + repr(SOURCES).encode()).hexdigest()[:12]
    place = cache() / f"davclients-{sys.version_info.major}.{sys.version_info.minor}-{said}"
    if (place / "whole").exists():
        return place
    # A venv does not move, so whoever installs does it at its place, and a half-made one is begun anew.
    with only_one(place):
        if not (place / "whole").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            make(place)
            (place / "whole").touch()
    return place


@contextlib.contextmanager
def only_one(place: Path) -> Iterator[None]:
    """Of several at once, one installs, and the others wait."""
    import fcntl

    with (place.parent / f"{place.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def make(place: Path) -> None:
    log, python = place / "pip.log", place / "venv/bin/python"
    finish([sys.executable, "-m", "venv", place / "venv"], log)
    pip = [python, "-m", "pip"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    finish([*pip, "install", *quiet, "--require-hashes", "-r", LOCK], log, hint="is PyPI reachable?")
    sources = place / "sources"
    for name in SOURCES:
        finish([*pip, "download", *quiet, "--no-binary", ":all:", "-d", sources, name], log, hint="is PyPI reachable?")
    for archive in sorted(sources.glob("*.tar.gz")):
        wanted = next(sha256 for name, sha256 in SOURCES.items() if archive.name.startswith(name.replace("==", "-")))
        if hashlib.sha256(archive.read_bytes()).hexdigest() != wanted:
            raise CannotStart(f"{archive.name} is another one than that of {Path(__file__).name}")
        with tarfile.open(archive) as whole:
            whole.extractall(sources, filter="data")
        archive.unlink()


if __name__ == "__main__":
    main()
