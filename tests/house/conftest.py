"""What the house tests look at: the files under version control, and the services among them."""

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOP_FOLDERS: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["mypy_path"]
GROUND = {"parvis_kit", "parvis_contracts", "parvis_roster", "parvis_suite", "parvis_portal"}
"""Packages that are no service with rooms."""


def tracked_files() -> list[Path]:
    """What git knows and what it would take; all there is, when this is no clone."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    hidden = {".venv", ".cache", "__pycache__", "data"}
    return [one for one in ROOT.rglob("*") if one.is_file() and not hidden & set(one.relative_to(ROOT).parts)]


FILES = tracked_files()
MODULES = [one for one in FILES if one.suffix == ".py"]
SERVICES = sorted(
    one
    for folder in TOP_FOLDERS
    for one in (ROOT / folder).glob("parvis_*")
    if one.is_dir() and one.name not in GROUND and list(one.glob("*.py"))
)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Files by the name that a person would say."""
    return str(val.relative_to(ROOT)) if isinstance(val, Path) else None
