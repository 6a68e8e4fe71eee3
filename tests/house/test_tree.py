"""What a stranger who clones the tree finds, and does not find."""

import re
from pathlib import Path

import pytest

from .conftest import FILES, ROOT

LOCKS = sorted([*ROOT.glob("*.lock"), *ROOT.glob("infra/**/*.lock")])
TEXT = [one for one in FILES if one.suffix not in (".png", ".ico", ".woff2") and one.name != "test_tree.py"]
REGISTRY = re.compile(r"https?://[^\s\"')>]*(pypi|pythonhosted|npmjs|registry|maven|proxy\.golang|mirror)", re.IGNORECASE)
MACHINE = re.compile(r"(?<![\w.])/(work|root|home/\w+|Users/\w+|tmp/v)/")


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"])
def test_the_pages_that_everybody_looks_for_are_there(name: str) -> None:
    assert (ROOT / name).read_text().count("\n") > 5


def test_the_licence_is_the_one_that_is_announced() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert 'license = "MIT"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    pinned = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==[^\\\n]+(\\\n\s+--hash=sha256:[0-9a-f]{64})?", text, re.MULTILINE)
    pinned += re.findall(r"^([\w.-]+:[\w.-]+):[\w.-]+( sha256:[0-9a-f]{64})?$", text, re.MULTILINE)  # of a jar
    pinned += re.findall(r"^([\w./-]+) v[\w.-]+( h1:[\w+/]{43}=)?$", text, re.MULTILINE)  # of a Go module
    assert pinned
    assert not [name for name, digest in pinned if not digest]


@pytest.mark.parametrize("pattern", [REGISTRY, MACHINE], ids=["registry", "machine"])
def test_no_address_of_a_registry_and_no_path_of_a_machine_is_written_down(pattern: re.Pattern[str]) -> None:
    found = []
    for one in TEXT:
        for number, line in enumerate(one.read_text(errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{one.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert not found


def test_what_is_looked_for_would_be_found() -> None:
    assert REGISTRY.search("see https://pypi.org/simple") and MACHINE.search("cd /home/ada/parvis")


def test_a_link_between_pages_leads_somewhere() -> None:
    broken = []
    for page in (one for one in FILES if one.suffix == ".md"):
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} → {target}")
    assert not broken
