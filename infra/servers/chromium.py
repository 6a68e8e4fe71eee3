"""A real Chromium, Debian's, for tests of pages: `python infra/servers/chromium.py` installs it when root may, and says where it is."""

import contextlib
import os
import shutil
import subprocess  # noqa: S404

from recipe import CannotStart, cache, finish, ready, told

NAMES = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    with told():
        executable = found() or installed()
        said = subprocess.run([executable, "--version", "--no-sandbox"], capture_output=True, text=True, check=True).stdout  # noqa: S603
        ready(executable=executable, version=next((word for word in said.split() if word[0].isdigit()), "?"))


def found() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def installed() -> str:
    """By apt, which brings its libraries and one font along."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise CannotStart("no chromium here: apt-get install chromium, as root")
    log = cache() / "apt.log"
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    with contextlib.suppress(CannotStart):
        finish(["apt-get", "update", "--quiet"], log)
    finish(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium", "fonts-dejavu-core"], log)
    executable = found()
    if executable is None:
        raise CannotStart("apt-get installed chromium, and there is none")
    return executable


if __name__ == "__main__":
    main()
