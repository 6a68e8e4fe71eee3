"""Fetch the htmx that the portal serves, by the npm client: the version and hash in vendor/htmx.json, or `--newest` and record its own."""

import hashlib
import json
import subprocess  # noqa: S404
import sys
import tarfile
import tempfile
from pathlib import Path

PORTAL = Path(__file__).resolve().parent.parent / "services/parvis_portal"
RECORD = PORTAL / "vendor/htmx.json"


def main() -> int:
    record = json.loads(RECORD.read_text())
    newest = "--newest" in sys.argv[1:]
    wanted = f"{record['package']}@{record['version'].partition('.')[0] if newest else record['version']}"
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", wanted, "--json", "--pack-destination", folder]
        said = json.loads(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)[-1]  # noqa: S603
        with tarfile.open(Path(folder) / said["filename"]) as packed:
            script, licence = (read(packed, name) for name in (f"package/{record['file']}", "package/LICENSE"))
    digest = hashlib.sha256(script).hexdigest()
    if not newest and digest != record["sha256"]:
        print(f"{wanted} is not what was recorded: {digest}", file=sys.stderr)
        return 1
    (PORTAL / "static/htmx.js").write_bytes(script)
    (PORTAL / "vendor/htmx-LICENSE").write_bytes(licence)
    RECORD.write_text(json.dumps({**record, "version": said["version"], "sha256": digest}, indent=2) + "\n")
    print(f"htmx {said['version']} {digest}")
    return 0


def read(packed: tarfile.TarFile, name: str) -> bytes:
    found = packed.extractfile(name)
    if found is None:
        raise SystemExit(f"the package holds no {name}")
    return found.read()


if __name__ == "__main__":
    sys.exit(main())
