"""What has to be carried to a place without a network, from the locks: `python infra/air-gapped.py [list | wheels FOLDER | images FOLDER]`.

`list` prints each package with the hashes that it may have, and each image; `wheels` fetches the packages for this machine's kind, `images`
writes the commands that save the images, where a container engine is.
"""

import argparse
import hashlib
import re
import subprocess  # noqa: S404
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PACKAGE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?P<rest>.*?)(?=^\S|\Z)", re.M | re.S)
IMAGE = re.compile(r"^\s+image: (?:\$\{\w+:-)?([^\s}]+)\}?$", re.M)
BASE = re.compile(r"^ARG PYTHON=(\S+)$", re.M)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["list", "wheels", "images"], nargs="?", default="list")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("air-gapped"))
    asked = parser.parse_args(argv)
    if asked.what == "list":
        print_list()
    elif asked.what == "wheels":
        return fetch_wheels(asked.folder)
    else:
        write_commands(asked.folder)
    return 0


def packages() -> list[tuple[str, str, list[str]]]:
    """Name, version, SHA-256 of each file of it that the lock allows."""
    found = PACKAGE.finditer(LOCK.read_text())
    return [(one["name"], one["version"], re.findall(r"--hash=sha256:([0-9a-f]{64})", one["rest"])) for one in found]


def images() -> list[str]:
    """That docker-compose.yml runs, ours last; and the one that it is made from."""
    base = BASE.search((ROOT / "Dockerfile").read_text())
    assert base, "the Dockerfile says what it is made from"  # noqa: S101
    return sorted({*IMAGE.findall((ROOT / "docker-compose.yml").read_text()), base[1]})


def print_list() -> None:
    for name, version, hashes in packages():
        print(f"package {name} {version} {' '.join(hashes)}")
    for image in images():
        print(f"image   {image}")


def fetch_wheels(folder: Path) -> int:
    """pip refuses whatever has not one of the hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    done = subprocess.run([*pip, "--only-binary", ":all:", "-r", str(LOCK), "-d", str(folder)])  # noqa: S603
    if done.returncode:
        return done.returncode
    files = sorted(path for path in folder.iterdir() if path.suffix == ".whl")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(sums))
    print(f"{len(files)} packages in {folder}, with SHA256SUMS")
    return 0


def write_commands(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "#!/bin/sh",
        "# Where there is a network and an engine, beside the checkout; then carry this folder.",
        "set -eu",
        "docker compose build",
    ]
    for image in images():
        archive = re.sub(r"[/:]", "_", image) + ".tar"
        if not image.startswith(("parvis:", "parvis-")):
            lines.append(f"docker pull {image}")
        lines.append(f"docker save -o {archive} {image}")
    lines.append("sha256sum *.tar > SHA256SUMS")
    script = folder / "save-images.sh"
    script.write_text("\n".join(lines) + "\n")
    script.chmod(0o755)
    print(f"{script}: run it there, and `sha256sum -c SHA256SUMS && for one in *.tar; do docker load -i $one; done` at the other end")


if __name__ == "__main__":
    sys.exit(main())
