"""The walls of the house stand: an import that climbs, crosses or circles is found, and by which wall is said."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, TOP_FOLDERS

PLANTED = {
    "the kit knows a service": ("parvis_kit/clock.py", "import parvis_directory", "from the roof down"),
    "a door opens the tables": ("parvis_directory/api.py", "import parvis_directory.store", "Only actions and queries open the tables"),
    "an action knows its door": ("parvis_directory/actions.py", "import parvis_directory.api", "the same rooms on the same floors"),
    "a rule knows SQL": ("parvis_directory/rules.py", "import sqlalchemy", "Rules know no framework"),
    "a circle in the kit": ("parvis_kit/clock.py", "import parvis_kit.problems", "No circle anywhere"),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it, to break."""
    copy = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in (one for folder in TOP_FOLDERS for one in (ROOT / folder).glob("parvis_*")):
        shutil.copytree(package, copy / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def lint(house: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"], cwd=house, capture_output=True, text=True
    )


def test_as_it_is_the_house_stands(house: Path) -> None:
    said = lint(house)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize("module, planted, wall", PLANTED.values(), ids=PLANTED.keys())
def test_an_import_through_a_wall_is_found(house: Path, module: str, planted: str, wall: str) -> None:
    place = house / module
    if not place.exists():
        place = house / module.removesuffix(".py") / "__init__.py"  # a room that has become a folder
    whole, other = place.read_text(), house / "parvis_kit/problems.py"
    others = other.read_text()
    place.write_text(f"{whole}\n{planted}\n")
    if "circle" in wall:
        other.write_text(f"{others}\nimport parvis_kit.clock\n")
    try:
        said = lint(house)
    finally:
        place.write_text(whole)
        other.write_text(others)
    assert said.returncode == 1
    broken = " ".join(said.stdout.split()).partition("Broken contracts")[2]
    assert wall in broken
