"""What is to be carried to a place without a network is what the locks say."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("air_gapped", ROOT / "infra/air-gapped.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_of_the_lock_is_listed_with_its_hashes(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["list"]) == 0
    said = capsys.readouterr().out.splitlines()
    lock = (ROOT / "requirements.lock").read_text()
    listed = {tuple(line.split()[1:3]) for line in said if line.startswith("package ")}
    assert listed == set(re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock, re.M)) and len(listed) > 40
    hashes = {one for line in said if line.startswith("package ") for one in line.split()[3:]}
    assert hashes == set(re.findall(r"sha256:([0-9a-f]{64})", lock))
    assert all(len(line.split()) > 3 for line in said if line.startswith("package "))


def test_every_image_is_listed_and_saved(script: ModuleType, tmp_path: Path) -> None:
    named = set(re.findall(r"image: (\S+)", (ROOT / "docker-compose.yml").read_text()))
    assert len(script.images()) == len(named) + 1, "and what ours is made from"
    assert script.main(["images", str(tmp_path)]) == 0
    commands = (tmp_path / "save-images.sh").read_text()
    for image in script.images():
        assert f" {image}\n" in commands
    assert "docker pull parvis" not in commands, "ours are built"
