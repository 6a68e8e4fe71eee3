"""docker-compose.yml, read by compose itself; its engine is not here, so nothing of it is run."""

import subprocess
import sys
from pathlib import Path

import pytest
from parvis_kit.testing.plugin import missing

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def compose() -> list[str]:
    script = [sys.executable, str(ROOT / "infra/servers/compose.py")]
    built = subprocess.run(script, capture_output=True, text=True, timeout=900, check=False)
    if built.returncode:
        missing("compose", built.stderr.strip() or built.stdout.strip())
    return script


def test_compose_takes_its_file(compose: list[str]) -> None:
    said = subprocess.run([*compose, str(ROOT / "docker-compose.yml")], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "right, wrong, words",
    [
        ("prometheus: {condition", "prometeus: {condition", 'depends on undefined service "prometeus"'),
        ("mem_limit: 2g", "mem_limits: 2g", "mem_limits"),
    ],
)
def test_and_would_not_take_a_wrong_one(compose: list[str], tmp_path: Path, right: str, wrong: str, words: str) -> None:
    """The control."""
    text = (ROOT / "docker-compose.yml").read_text()
    assert right in text
    (tmp_path / "docker-compose.yml").write_text(text.replace(right, wrong))
    said = subprocess.run([*compose, str(tmp_path / "docker-compose.yml")], capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode and words in said.stderr, said.stderr
