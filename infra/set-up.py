"""Make .venv hold exactly what a lock says, and Parvis itself: `python3 infra/set-up.py run|dev`. Does nothing when it does already."""

import fcntl
import hashlib
import os
import re
import subprocess  # noqa: S404
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
CACHE = os.path.join(ROOT, ".cache")
PYTHON = os.path.join(VENV, "bin", "python")
LOCKS = {"run": "requirements.lock", "dev": "requirements-dev.lock"}
OLDEST = (3, 11)


def main() -> int:
    if sys.version_info < OLDEST:
        here = "%d.%d" % sys.version_info[:2]  # noqa: UP031 (must run on the old Python that it refuses)
        sys.stderr.write("Parvis needs Python 3.11 or newer and this is %s; say which to use: make run PYTHON=python3.12\n" % here)  # noqa: UP031
        return 2
    kind = sys.argv[1]
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, "set-up.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make run` and `make test` may be started together
        if not is_current(kind):
            set_up(kind)
    return 0


def is_current(kind: str) -> bool:
    """The tools of developing are added to what runs, so an environment for developing runs too."""
    kinds = ("run", "dev") if kind == "run" else ("dev",)
    return os.path.exists(PYTHON) and any(read(stamp(one)) == digest(one) for one in kinds)


def stamp(kind: str) -> str:
    return os.path.join(VENV, f"stamp-{kind}")


def digest(kind: str) -> str:
    """Of all that the environment is made from. An environment cannot be moved, so the place counts too."""
    made_from = [sys.version, os.path.realpath(sys.executable), ROOT, read(__file__)]
    made_from += [read(os.path.join(ROOT, name)) for name in (LOCKS[kind], "pyproject.toml")]
    return hashlib.sha256("\0".join(made_from).encode()).hexdigest()


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def set_up(kind: str) -> None:
    began = time.monotonic()
    say(f"setting up .venv from {LOCKS[kind]} (once; a minute at most on an ordinary line)")
    for one in LOCKS:
        if os.path.exists(stamp(one)):
            os.remove(stamp(one))
    # Inside another environment, or with a user's site-packages, pip and uv would look at the wrong place.
    environ = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    environ.update(VIRTUAL_ENV=VENV, PYTHONNOUSERSITE="1")
    environ.setdefault("UV_CACHE_DIR", os.path.join(CACHE, "uv"))
    user_cache = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isdir(os.path.join(user_cache, "pip")):
        environ.setdefault("PIP_CACHE_DIR", os.path.join(CACHE, "pip"))  # a home without one is not given one
    environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    if not (os.path.exists(PYTHON) and answers([PYTHON, "-m", "pip", "--version"]) and same_python()):
        run([sys.executable, "-m", "venv", "--clear", VENV], environ)
    lock = os.path.join(ROOT, LOCKS[kind])
    if not install_by_uv(lock, environ):
        say("uv did not do it; pip will, in half a minute more")
        run([PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock], environ)
        run([PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", ROOT], environ)
    with open(stamp(kind), "w", encoding="utf-8") as file:
        file.write(digest(kind))
    say(f"set up in {time.monotonic() - began:.0f} s")


def same_python() -> bool:
    code = "import os, sys; print(sys.version, os.path.realpath(sys.executable))"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)  # noqa: S603
    return done.stdout.strip() == f"{sys.version} {os.path.realpath(sys.executable)}"


def install_by_uv(lock: str, environ: dict) -> bool:
    """Three times as fast as pip alone, which brings it. It knows the certificates and the index only by names of its own."""
    pinned = os.path.join(CACHE, "uv-pinned.txt")
    found = re.search(r"^uv==.*?(?=^\S|\Z)", read(lock), re.MULTILINE | re.DOTALL)
    if not found:
        return False
    with open(pinned, "w", encoding="utf-8") as file:
        file.write(found[0])
    environ = dict(environ)
    for theirs, pips in (("SSL_CERT_FILE", "PIP_CERT"), ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("UV_FIND_LINKS", "PIP_FIND_LINKS")):
        if theirs not in environ and pips in environ:
            environ[theirs] = environ[pips]
    uv = os.path.join(VENV, "bin", "uv")
    return (
        answers([PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", pinned], environ)
        and answers([uv, "pip", "sync", "--quiet", "--require-hashes", lock], environ)
        and answers([uv, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", ROOT], environ)
    )


def answers(command: list, environ: "dict | None" = None) -> bool:
    try:
        return subprocess.run(command, env=environ, stdout=subprocess.DEVNULL).returncode == 0  # noqa: S603
    except OSError:
        return False


def run(command: list, environ: dict) -> None:
    if subprocess.run(command, env=environ).returncode:  # noqa: S603
        say(f"this failed, see above: {' '.join(command)}")
        if command[1:3] == ["-m", "venv"]:
            say("on Debian and Ubuntu the module venv is a package of its own: apt install python3-venv")
        sys.exit(1)


def say(text: str) -> None:
    sys.stderr.write(f"parvis: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
