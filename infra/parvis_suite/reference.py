"""The reference pages, made from the code: `python -m parvis_suite.reference [--check]` writes them, or says which are not current."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from parvis_suite import sizing

FOLDER = Path(__file__).resolve().parents[2] / "docs/reference"
DOORS = ("api", "pages", "dav", "caldav", "scim", "appservice")
NOTE = "_Made from the code by `python -m parvis_suite.reference`; change the code, not this page._"
TITLES = {
    "routes": "Every route over HTTP",
    "facts": "Every fact, by publisher",
    "settings": "Every setting",
    "metrics": "Every metric",
    "commands": "Every command",
    "sizing": "How large an installation is",
}


def main() -> int:
    pages = rendered()
    stale = [name for name, text in pages.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text() != text]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/reference/{name} is not current: python -m parvis_suite.reference")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(pages[name])
        print(f"wrote docs/reference/{name}")
    return 0


def rendered() -> dict[str, str]:
    """The text of each page, by file name."""
    modules = services()
    bodies = {
        "routes": routes(modules),
        "facts": facts(),
        "settings": settings(modules),
        "commands": commands(),
        "sizing": sizing.page(),
        "metrics": metrics(),  # last: what is imported by then has declared its own
    }
    pages = {f"{name}.md": f"# {TITLES[name]}\n{NOTE}\n\n{bodies[name]}" for name in TITLES}
    pages["README.md"] = f"# Reference\n{NOTE}\n\n" + "".join(f"- [{title}]({name}.md)\n" for name, title in TITLES.items())
    return pages


def services() -> dict[str, list[ModuleType]]:
    """The rooms of each service that say something to the outside, by the service's name."""
    found = {}
    for package in sorted(one.name for one in pkgutil.iter_modules() if one.ispkg and one.name.startswith("parvis_")):
        path = list(importlib.import_module(package).__path__)
        rooms = {room.name for room in pkgutil.iter_modules(path)}
        if "app" in rooms and package != "parvis_kit":
            importlib.import_module(f"{package}.app")
            found[package.removeprefix("parvis_")] = [
                module for room in (*DOORS, "settings") if room in rooms for module in with_parts(f"{package}.{room}")
            ]
    return found


def with_parts(name: str) -> Iterator[ModuleType]:
    """A room, and its parts when it has become a folder."""
    module = importlib.import_module(name)
    yield module
    for part in pkgutil.iter_modules(getattr(module, "__path__", ())):
        yield importlib.import_module(f"{name}.{part.name}")


def routes(modules: Mapping[str, Sequence[ModuleType]]) -> str:
    """From the OpenAPI documents, which hold all the rest."""
    from parvis_kit.http import Routes, openapi

    from parvis_suite.operations import routes_of

    parts = []
    for service, rooms in modules.items():
        tables = list({id(one): one for room in rooms for one in vars(room).values() if isinstance(one, Routes)}.values())
        if not tables:
            continue
        rows = []
        for path, operations in sorted(openapi(service, [*tables, routes_of(service)])["paths"].items()):
            for method, one in operations.items():
                scopes = [scope for needed in one.get("security", ()) for held in needed.values() for scope in held]
                answers = " ".join(sorted(one.get("responses", {})))
                rows.append((f"`{method.upper()} {path}`", one.get("summary", ""), ", ".join(dict.fromkeys(scopes)) or "anybody", answers))
        head = f"## {service}\nThe whole contract: `GET /api/{service}/openapi.json`, or `parvis openapi {service}`.\n\n"
        parts.append(head + table(("route", "what it does", "scope", "answers"), rows))
    return "\n".join(parts)


def facts() -> str:
    from parvis_contracts import PUBLISHERS
    from parvis_kit.events.facts import StateFact, declared

    parts = []
    for module in PUBLISHERS:
        parts.append(f"## {module.__name__.rpartition('.')[2]}\n{first_line(module)}\n")
        for kind in declared().values():
            if kind.__module__ != module.__name__:
                continue
            keeps = "; the topic keeps the last state of each key" if issubclass(kind, StateFact) else ""
            schema = kind.model_json_schema()
            rows = [
                (f"`{name}`", words_for(one), "" if name in schema.get("required", ()) else "optional", one.get("description", ""))
                for name, one in schema["properties"].items()
                if name not in ("at", "about")
            ]
            body = table(("field", "type", "", ""), rows) if rows else "No field but `at` and `about`.\n"
            parts.append(f"### `{kind.type}`\n{first_line(kind)} Topic `{kind.topic()}`{keeps}.\n\n{body}")
    return "\n".join(parts)


def words_for(schema: Mapping[str, Any]) -> str:
    """The type of a field, as a person would say it."""
    if "anyOf" in schema:
        return " or ".join(words_for(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {words_for(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "anything")


def settings(modules: Mapping[str, Sequence[ModuleType]]) -> str:
    from parvis_kit.settings import Platform, Settings

    parts = ["Set in the environment. An unknown `PARVIS_` name is refused. `parvis config` prints what is in effect.\n"]
    classes = {"Of the whole installation": Platform}
    for service, rooms in modules.items():
        for room in rooms:
            for one in vars(room).values():
                if isinstance(one, type) and issubclass(one, Settings) and one.__module__ == room.__name__:
                    classes[f"Of {service}"] = one  # type: ignore[assignment]
    for title, kind in classes.items():
        rows = [
            (f"`{kind.env_prefix}{name.upper()}`", default_of(field), " ".join((field.description or "").split()))
            for name, field in kind.model_fields.items()
        ]
        parts.append(f"## {title}\n{table(('name', 'default', 'what it does'), rows)}")
    return "\n".join(parts)


def default_of(field: Any) -> str:
    from pydantic import SecretStr

    value = field.get_default(call_default_factory=True)
    value = value.get_secret_value() if isinstance(value, SecretStr) else value
    return "" if value is None or value == "" else f"`{value}`"


def metrics() -> str:
    """What this process's registry knows after every service was imported."""
    from prometheus_client import REGISTRY

    for name in ("parvis_kit.http.meters", "parvis_kit.metrics", "parvis_kit.events.meters", "parvis_kit.serve"):
        importlib.import_module(name)
    found = {one.name: one for one in REGISTRY.collect() if one.name.startswith("parvis_")}
    rows = [(f"`{name}{'_total' if one.type == 'counter' else ''}`", one.type, one.documentation) for name, one in sorted(found.items())]
    return table(("metric", "kind", "what it says"), rows)


def commands() -> str:
    import click

    from parvis_suite.cli import main as parvis

    def walk(command: click.Command, context: click.Context) -> Iterator[str]:
        yield f"## `{context.command_path}`\n```\n{command.get_help(context)}\n```\n"
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                if inner is not None and not inner.hidden:
                    yield from walk(inner, click.Context(inner, info_name=name, parent=context, terminal_width=100))

    return "\n".join(walk(parvis, click.Context(parvis, info_name="parvis", terminal_width=100)))


def first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([one.replace("|", "\\|") for one in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
