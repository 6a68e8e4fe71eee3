"""Which services there are, and how each is built; nothing of them is imported before it is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parvis_kit.service import Doors, Service
    from parvis_kit.settings import Platform, Settings

BUILDERS = {
    "directory": "parvis_directory.app",
    "messaging": "parvis_messaging.app",
    "calendar": "parvis_calendar.app",
    "files": "parvis_files.app",
    "billing": "parvis_billing.app",
}
"""Name → the module whose `build(platform)` makes it."""
WITHOUT_TABLES = {"portal": "parvis_portal.app"}
"""The same for what keeps nothing: it is served, and never migrated, examined or fed with facts."""


def build(name: str, platform: Platform) -> Service:
    """Raises KeyError for a name that is not in BUILDERS."""
    return cast("Service", import_module(BUILDERS[name]).build(platform))


def settings_classes(names: Sequence[str] = ()) -> list[type[Settings]]:
    """What these services, or all, may themselves be set to; a service without the room has nothing to set."""
    known = BUILDERS | WITHOUT_TABLES
    modules = [known[name].removesuffix(".app") + ".settings" for name in names or known]
    return [cast("type[Settings]", import_module(module).Settings) for module in modules if find_spec(module)]


def build_all(platform: Platform, names: Sequence[str] = ()) -> list[Service]:
    return [build(name, platform) for name in names or BUILDERS]


def doors_of(platform: Platform, names: Sequence[str] = ()) -> list[Doors]:
    """What keeps nothing."""
    return [cast("Doors", import_module(WITHOUT_TABLES[name]).build(platform)) for name in names or WITHOUT_TABLES]
