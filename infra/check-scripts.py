"""Check the types of the portal's ES modules with `tsc --checkJs`, from the lock in infra/typescript; fetched once, by npm."""

import hashlib
import os
import shutil
import subprocess  # noqa: S404
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "infra/typescript"
CACHE = ROOT / ".cache/typescript"


def main() -> int:
    lock = (HOME / "package-lock.json").read_bytes()
    if not shutil.which("npm") or not shutil.which("node"):
        return missing("there is no node and npm here")
    place = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    if not (place / "node_modules/typescript/bin/tsc").exists():
        place.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HOME / name, place)
        fetched = subprocess.run(["npm", "ci", "--silent"], cwd=place, capture_output=True, text=True)  # noqa: S607
        if fetched.returncode:
            return missing(f"npm cannot fetch it: {fetched.stderr.strip()[-300:]}")
    return subprocess.run(["node", place / "node_modules/typescript/bin/tsc", "-p", HOME / "tsconfig.json"]).returncode  # noqa: S603, S607


def missing(why: str) -> int:
    """A failure under CI=true, otherwise said aloud."""
    print(f"NOT CHECKED: the types of the portal's scripts: {why}", file=sys.stderr)
    return 1 if os.environ.get("CI", "").lower() in ("true", "1") else 0


if __name__ == "__main__":
    sys.exit(main())
