"""The contracts over HTTP that lie in the tree, which others build their clients from."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from parvis_suite.cli import main

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = sorted(ROOT.glob("*/openapi.json"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_a_committed_document_is_what_the_command_prints(path: Path, tmp_path: Path) -> None:
    service = path.parent.name
    said = CliRunner().invoke(main, ["openapi", service], env={"PARVIS_DATA": str(tmp_path / "data")})
    assert said.exit_code == 0, said.output
    assert json.loads(path.read_text()) == json.loads(said.stdout), f"parvis openapi {service} > {service}/openapi.json"


def test_each_service_with_a_contract_has_one_in_the_tree() -> None:
    assert [path.parent.name for path in COMMITTED] == ["billing", "calendar", "files", "messaging"]
