"""`make new-service NAME=x`: a service that runs, publishes, reacts and is tested, to be changed into what it shall be."""

import builtins
import keyword
import os
import re
import subprocess  # noqa: S404
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS as POSTGRESQL_WORDS
from sqlalchemy.dialects.sqlite.base import SQLiteIdentifierPreparer

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = Path(__file__).with_name("templates")
NAME = re.compile(r"[a-z]{2,15}")
TAKEN = {"data", "docs", "infra", "roster", "contracts", "kit", "services", "suite", "tests"}
"""Names of other rooms of the house."""
SCHEMAS = {"main", "temp", "public"}
"""That every SQLite or PostgreSQL has; a service's own has its name."""
PLACES = {
    "room": "{name}/parvis_{name}",
    "migration": "{name}/parvis_{name}/migrations/versions",
    "folder": "{name}",
    "contract": "services/parvis_contracts",
    "example": "services/parvis_contracts/examples",
    "test": "tests/{name}",
}
"""Where a template goes, by the first word of its file's name."""
NEIGHBOUR = "directory"
"""The service beside which the new one is written into lists."""


class Refused(Exception):
    """It cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file, relative to the root, and what it shall hold."""

    path: Path
    text: str


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("make new-service NAME=x: small letters, as in `files`", file=sys.stderr)
        return 2
    try:
        for one in make(ROOT, arguments[0]):
            print(f"wrote {one}")
    except Refused as refusal:
        print(f"make new-service: {refusal}", file=sys.stderr)
        return 2
    print(f"\n`make test T=tests/{arguments[0]}` tries it; CONTRIBUTING.md tells how to go on.")
    print("Facts that have their names are recorded by `.venv/bin/python tests/contracts/test_golden.py`: `make check` wants it.")
    return 0


def make(root: Path, name: str) -> list[Path]:
    """All files of the service, its lines in the lists of the house, its schemas and its pages of reference; raises Refused."""
    if not NAME.fullmatch(name) or name in TAKEN:
        raise Refused(f"{name!r} is no name for a service: 2 to 15 small letters, and none of {', '.join(sorted(TAKEN))}")
    if is_word(name):
        raise Refused(f"{name!r} is no name for a service: it means something else in Python or in SQL, where a schema will have it")
    if (root / name / f"parvis_{name}").exists() or f"parvis_{name}" in (root / "pyproject.toml").read_text():
        raise Refused(f"there is a service {name} already")
    made = list(templates(name))
    for path in (Path(name), Path(PLACES["test"].format(name=name)), *(one.path for one in made)):
        if (root / path).exists():
            raise Refused(f"{name!r} is no name for a service: there is {path} already")
    written = [*made, *listed(root, name)]
    for one in written:
        path = root / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.text, "utf-8")
    (root / name / f"parvis_{name}" / "py.typed").touch()
    generate(root, name)
    return [one.path for one in written]


def is_word(name: str) -> bool:
    """Of a language in which the name will be written; as a class, it begins with a capital."""
    in_sql = POSTGRESQL_WORDS | SQLiteIdentifierPreparer.reserved_words | SCHEMAS
    return name in in_sql or keyword.iskeyword(name) or keyword.iskeyword(name.capitalize()) or hasattr(builtins, name)


def templates(name: str) -> Iterator[Written]:
    for template in sorted(TEMPLATES.glob("*.template")):
        place, _, file = template.name.removesuffix(".template").partition("-")
        yield Written(Path(PLACES[place].format(name=name)) / filled(file, name), filled(template.read_text("utf-8"), name))


def filled(text: str, name: str) -> str:
    return text.replace("PARVIS_SERVICE_", f"PARVIS_{name.upper()}_").replace("Service_", name.capitalize()).replace("SERVICE", name)


def listed(root: Path, name: str) -> Iterator[Written]:
    """The lists of the house, the new service beside its neighbour."""
    pyproject = (root / "pyproject.toml").read_text("utf-8")
    yield Written(Path("pyproject.toml"), "".join(_in_toml(line, name) for line in pyproject.splitlines(keepends=True)))
    for path, old, new in (
        ("infra/parvis_suite/services.py", r'(    "directory": .*\n)', rf'\1    "{name}": "parvis_{name}.app",\n'),
        ("services/parvis_directory/rules/__init__.py", r"(SESSION_SCOPES = frozenset\(\s*\{)", rf'\1\n        "{name}:read",'),
        ("services/parvis_contracts/__init__.py", r"(?s)from parvis_contracts import ([\w, ]+)(.*)PUBLISHERS = \([\w, ]+\)", ""),
    ):
        text = (root / path).read_text("utf-8")
        found = re.search(old, text)
        if found is None:
            raise Refused(f"{path} is not as it was: new_service.py does not know how to write the service into it")
        if not new:
            names = ", ".join(sorted({*found[1].split(", "), name}))
            new = f"from parvis_contracts import {names}{found[2]}PUBLISHERS = ({names})"
        yield Written(Path(path), text.replace(found[0], found.expand(new), 1))


def _in_toml(line: str, name: str) -> str:
    """A package beside its neighbour in every list; in the wall between services, on the same floor."""
    mine, its = f"parvis_{name}", f"parvis_{NEIGHBOUR}"
    if re.match(rf'\s+"{its}( \| \w+)*",', line):
        return line.replace(its, f"{its} | {mine}", 1)
    if line.strip() == f'"services/{its}",':
        return f'{line}    "{name}/{mine}",\n'
    if line.startswith("mypy_path") and f'"{name}"' not in line:
        return line.replace("]", f', "{name}"]', 1)
    return re.sub(rf'"{its}((?:\.\w+)?)"', rf'"{its}\1", "{mine}\1"', line)


def generate(root: Path, name: str) -> None:
    """What is made from the code, by processes that see the new code."""
    path = os.pathsep.join([str(root / name), str(root / "services"), str(root / "infra"), *filter(None, sys.path)])
    for arguments in (["parvis_suite", "events", "check", "--write"], ["parvis_suite.reference"]):
        said = subprocess.run(  # noqa: S603
            [sys.executable, "-m", *arguments], cwd=root, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
        )
        if said.returncode:
            raise Refused(f"`python -m {' '.join(arguments)}` fails on what was made:\n{said.stdout}{said.stderr}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
