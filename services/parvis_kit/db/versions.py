"""Which version a service's tables have, and which one this code expects; without the machinery that changes them."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

import sqlalchemy as sa

TABLE = "alembic_version"


def version_in(service: str, connection: sa.Connection) -> str | None:
    """The version that the tables of a service have; None when there are none yet."""
    if not sa.inspect(connection).has_table(TABLE, schema=service):
        return None
    found: sa.ScalarResult[str] = connection.execute(
        sa.select(sa.column("version_num", sa.Text)).select_from(sa.table(TABLE, schema=service))
    ).scalars()
    return ",".join(sorted(found)) or None


@cache
def heads(package: str) -> tuple[str, ...]:
    """The newest version that this code knows; more than one when two changes were merged without one following the other."""
    followed: set[str] = set()
    for before in known(package).values():
        followed.update(before if isinstance(before, tuple) else (str(before),))
    return tuple(sorted(set(known(package)) - followed))


def known(package: str) -> dict[str, object]:
    """Every version that this code knows, and what it follows."""
    found = [_assigned(path) for path in versions_of(package).glob("*.py")]
    return {str(said["revision"]): said.get("down_revision") for said in found}


def is_head(package: str, version: str | None) -> bool:
    """Whether tables of this version are what this code expects."""
    return version == ",".join(heads(package))


def serves(package: str, version: str | None) -> bool:
    """Whether this code can work on tables of this version: what it expects, or what a newer one has added to.

    A migration only adds what the version before it may leave alone, so that both serve while an upgrade rolls, or is taken back.
    """
    return is_head(package, version) or (version is not None and not set(version.split(",")) & set(known(package)))


def versions_of(package: str) -> Path:
    """The folder of a service's migrations, `parvis_files.migrations` being its package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is no package: the migrations of a service are in its folder `migrations/versions`")
    return Path(next(iter(spec.submodule_search_locations))) / "versions"


def _assigned(path: Path) -> dict[str, object]:
    """What a migration says of itself, without running it."""
    pairs: list[tuple[ast.expr, ast.expr]] = []
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            pairs.append((node.target, node.value))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs += zip(node.targets[0].elts, node.value.elts, strict=True)
        elif isinstance(node, ast.Assign):
            pairs.append((node.targets[0], node.value))
    wanted = ("revision", "down_revision")
    return {target.id: ast.literal_eval(value) for target, value in pairs if isinstance(target, ast.Name) and target.id in wanted}
