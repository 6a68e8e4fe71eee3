"""Compose's own reading of a compose file, without an engine: `python infra/servers/compose.py docker-compose.yml`.

The published schema sees a misspelt key; this sees what depends on nobody. It is built once from its source by Go, which takes minutes.
"""

import argparse
import os
import shutil
import subprocess  # noqa: S404
import sys
import tempfile
from pathlib import Path

from recipe import CannotStart, cache, finish, told

PACKAGE, VERSION = "github.com/docker/compose/v5/cmd", "v5.0.2"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="by default it is only built")
    asked = parser.parse_args()
    with told():
        compose = program()
        if asked.file is None:
            print(f"installed {compose}")
            return 0
        return subprocess.run([compose, "-f", asked.file, "config", "--quiet"]).returncode  # noqa: S603


def program() -> Path:
    """Go checks what it fetches against the sums of its own database."""
    place = cache() / f"compose-{VERSION}"
    if not place.exists():
        if not shutil.which("go"):
            raise CannotStart("Go builds it, and is not here")
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            os.environ["GOBIN"] = folder
            finish(["go", "install", f"{PACKAGE}@{VERSION}"], cache() / "compose.log", hint="is the Go proxy reachable?")
            (Path(folder) / "cmd").replace(place)
    return place


if __name__ == "__main__":
    sys.exit(main())
