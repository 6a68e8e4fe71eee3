"""The facts that the suite has published, and where their schemas lie."""

from pathlib import Path

import parvis_contracts
from parvis_kit.events.facts import Fact, declared

SCHEMAS = Path(parvis_contracts.__file__).parent / "schemas"


def kinds() -> dict[str, type[Fact]]:
    """Every kind of fact of parvis_contracts, by type."""
    return {name: kind for name, kind in declared().items() if kind.__module__.startswith("parvis_contracts.")}
