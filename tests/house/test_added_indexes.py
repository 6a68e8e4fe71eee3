"""An index that is made while others write is alone in its migration: what stood before it would stay when it fails."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADDING = [
    path for path in sorted(ROOT.glob("**/migrations/versions/*.py")) if "add_index" in path.read_text() and ".venv" not in path.parts
]


@pytest.mark.parametrize("path", ADDING, ids=lambda path: f"{path.parents[2].name}-{path.stem}")
def test_an_added_index_is_alone(path: Path) -> None:
    (upgrade,) = [one for one in ast.parse(path.read_text()).body if isinstance(one, ast.FunctionDef) and one.name == "upgrade"]
    called = [getattr(one.value.func, "id", "") for one in upgrade.body if isinstance(one, ast.Expr) and isinstance(one.value, ast.Call)]
    assert called == ["add_index"] * len(upgrade.body), "make it a migration of its own"
