"""`make new-service`: in a copy of the house, a service is made, and its own tests are run."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from parvis_suite.new_service import Refused, make

ROOT = Path(__file__).resolve().parents[2]
NAME = "greeting"
GLUE_LINES_MAX = 100
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".cache", "__pycache__", "data", ".pytest_cache", ".ruff_cache", ".hypothesis")
"""What mypy remembers is copied: it saves it half a minute."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with the new service in it."""
    copy = tmp_path_factory.mktemp("copy") / "house"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    make(copy, NAME)
    return copy


def run(house: Path, *command: str) -> str:
    folders = [house / folder for folder in ("services", "infra", "files", "billing", NAME)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, folders), *filter(None, sys.path)])}
    done = subprocess.run([sys.executable, "-m", *command], cwd=house, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_glue_of_at_most_a_hundred_lines(house: Path) -> None:
    modules = (house / NAME / f"parvis_{NAME}").glob("*.py")
    lines = [line for module in modules for line in module.read_text().splitlines() if line.strip()]
    assert 0 < len(lines) <= GLUE_LINES_MAX


def test_its_own_tests_pass(house: Path) -> None:
    said = run(house, "pytest", "-q", "-p", "no:cacheprovider", f"tests/{NAME}")
    assert " passed" in said and "failed" not in said


def test_the_house_takes_it_in(house: Path) -> None:
    run(house, "ruff", "check", "--no-cache", NAME, "services", "infra", f"tests/{NAME}")
    run(house, "ruff", "format", "--no-cache", "--check", NAME, "services/parvis_contracts", "infra/parvis_suite", f"tests/{NAME}")
    run(house, "mypy")
    run(house, "parvis_suite.reference", "--check")
    run(house, "parvis_suite", "events", "check")


def test_the_walls_know_it(house: Path) -> None:
    before, after = (tomllib.loads((place / "pyproject.toml").read_text())["tool"] for place in (ROOT, house))
    assert f"{NAME}/parvis_{NAME}" in after["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert NAME in after["mypy"]["mypy_path"] and f"parvis_{NAME}" in after["mypy"]["packages"]
    for was, now in zip(before["importlinter"]["contracts"], after["importlinter"]["contracts"], strict=True):
        assert ("parvis_directory" in str(was)) == (f"parvis_{NAME}" in str(now)), now["name"]
    layers = after["importlinter"]["contracts"][0]["layers"]
    assert any(layer.startswith(f"parvis_directory | parvis_{NAME}") for layer in layers)
    lint = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    path = os.pathsep.join(str(house / folder) for folder in ("services", "infra", "files", "billing", NAME))
    said = subprocess.run(lint, cwd=house, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout
    assert f"parvis_{NAME}" in said.stdout or "0 broken" in said.stdout


def test_it_is_not_made_twice(house: Path) -> None:
    with pytest.raises(Refused, match="there is a service greeting already"):
        make(house, NAME)


@pytest.mark.parametrize(
    "name", ["", "a", "Files", "two words", "../outside", "infra", "x" * 40, "class", "none", "list", "order", "group", "main"]
)
def test_a_name_that_will_not_do_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="no name for a service"):
        make(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["services/parvis_contracts/leavers.py", "tests/leavers/test_leavers.py", "leavers/README.md"])
def test_what_is_there_is_never_overwritten(tmp_path: Path, there: str) -> None:
    files = {"pyproject.toml": "", there: "mine"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(Refused, match="there is .*leavers.* already"):
        make(tmp_path, "leavers")
    assert {str(one.relative_to(tmp_path)): one.read_text() for one in tmp_path.rglob("*") if one.is_file()} == files
