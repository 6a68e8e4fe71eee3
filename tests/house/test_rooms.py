"""The house keeps its shape: known rooms, name plates, nothing in the hall that shadows the street."""

import ast
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from .conftest import MODULES, ROOT, SERVICES, TOP_FOLDERS

ROOMS = {"app", "api", "dav", "caldav", "scim", "appservice", "pages", "reactions", "sweeps"}
ROOMS |= {"actions", "queries", "store", "blobs", "homeserver", "nameserver", "rules", "settings", "migrations"}
FILE_LINES = 400
FUNCTION_LINES = 70
PLATE_CHARACTERS_MAX = 140


def test_there_are_services_to_look_at() -> None:
    assert [one.name for one in SERVICES]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_only_known_rooms(service: Path) -> None:
    found = {one.stem for one in service.iterdir() if not one.name.startswith("_") and one.name != "py.typed"}
    assert found <= ROOMS, f"{sorted(found - ROOMS)}: a room's name says what is in it; the rooms are in ARCHITECTURE.md"


@pytest.mark.parametrize("folder", TOP_FOLDERS)
def test_nothing_can_be_imported_from_a_top_folder_but_parvis(folder: str) -> None:
    here = list((ROOT / folder).iterdir())
    assert not [one.name for one in here if one.suffix == ".py" and one.stem.isidentifier()], "it would be importable by a bare name"
    assert not [one.name for one in here if (one / "__init__.py").exists() and not one.name.startswith("parvis_")]


def test_calendar_is_still_the_standard_library_s() -> None:
    code = "import calendar, sys; print(calendar.__spec__.origin); import parvis_kit"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert Path(said.strip()).is_relative_to(Path(sys.base_prefix))


@pytest.mark.parametrize("module", [one for one in MODULES if one.stat().st_size])
def test_a_module_begins_by_saying_what_it_is(module: Path) -> None:
    plate = (ast.get_docstring(ast.parse(module.read_text())) or "").partition("\n")[0]
    assert plate, "its first line is a caption of one clause, between triple quotes"
    assert not plate.lower().startswith("this module")
    assert len(plate) <= PLATE_CHARACTERS_MAX


class Large(UserWarning):
    """Longer than a reader holds in mind; sizes are warned about, walls fail."""


def test_every_module_is_measured() -> None:
    for said in (said for one in MODULES for said in sizes(one)):
        warnings.warn(said, Large, stacklevel=1)


def test_a_long_file_and_a_long_function_are_told() -> None:
    long = ROOT / "tests/house/long.py"
    text = "def f():\n" + "    pass\n" * FUNCTION_LINES + "x = 1\n" * FILE_LINES
    assert [one.split(" has")[0] for one in sizes_of(text, long)] == ["tests/house/long.py", "tests/house/long.py:1 f"]


def sizes(module: Path) -> list[str]:
    return sizes_of(module.read_text(), module)


def sizes_of(text: str, module: Path) -> list[str]:
    name = module.relative_to(ROOT)
    lines = text.count("\n")
    found = [f"{name} has {lines} lines; above {FILE_LINES} cut it by subject"] if lines > FILE_LINES else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > FUNCTION_LINES:
                found.append(
                    f"{name}:{node.lineno} {node.name} has {length} lines; above {FUNCTION_LINES} a part of it has a name of its own"
                )
    return found
