"""A real Chromium, Debian's, for tests of pages: `python infra/servers/chromium.py` installs it when root may, and says where it is."""

import shutil
import subprocess  # noqa: S404

from recipe import CannotStart, from_apt, ready, told

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
    from_apt("no chromium here", "chromium", "fonts-dejavu-core")
    executable = found()
    if executable is None:
        raise CannotStart("apt-get installed chromium, and there is none")
    return executable


if __name__ == "__main__":
    main()
