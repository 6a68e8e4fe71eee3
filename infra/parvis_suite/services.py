"""Which services there are, and how each is built; nothing of them is imported before it is asked for."""

from collections.abc import Sequence
from importlib import import_module
from typing import cast

from parvis_kit.service import Service
from parvis_kit.settings import Platform

BUILDERS = {
    "directory": "parvis_directory.app",
}
"""Name → the module whose `build(platform)` makes it."""


def build(name: str, platform: Platform) -> Service:
    """Raises KeyError for a name that is not in BUILDERS."""
    return cast(Service, import_module(BUILDERS[name]).build(platform))


def build_all(platform: Platform, names: Sequence[str] = ()) -> list[Service]:
    return [build(name, platform) for name in names or BUILDERS]
