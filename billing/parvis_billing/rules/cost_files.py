"""Files of cost items, keys, prices and public figures, in TOML or CSV: read, and refused with the line and the field."""

import csv
import io
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from parvis_kit.problems import Invalid, TooLarge
from pydantic import ValidationError

from parvis_billing.rules.costs import AllocationKey, Benchmark, CostItem, PriceVersion, Thing

FILE_BYTES_MAX = 4 * 1024 * 1024
"""A thousand invoices with their sources are a megabyte."""
THINGS_MAX = 10_000
ERRORS_MAX = 20
KINDS: Mapping[str, type[Thing]] = {"item": CostItem, "key": AllocationKey, "price": PriceVersion, "benchmark": Benchmark}
HEADER = re.compile(r"^\s*\[\[\s*([a-z]+)\s*\]\]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing of a file, and where it stands there."""

    line: int
    thing: Thing


def read(raw: bytes, name: str) -> list[Entry]:
    """By the ending of its name. Raises TooLarge, Invalid with the line and the field of everything that is wrong."""
    if len(raw) > FILE_BYTES_MAX:
        raise TooLarge(f"{name} has more than {FILE_BYTES_MAX} bytes: cut it into several files.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"{name} is not UTF-8 (byte {error.start}): save it as “CSV UTF-8”, or as UTF-8 text.") from None
    found = list(_of_csv(text, name) if name.lower().endswith(".csv") else _of_toml(text, name))
    if len(found) > THINGS_MAX:
        raise TooLarge(f"{name} holds more than {THINGS_MAX} things: cut it into several files.")
    return _checked(found, name)


def _checked(found: Sequence[tuple[int, str, dict[str, Any]]], name: str) -> list[Entry]:
    entries: list[Entry] = []
    errors: list[str] = []
    seen: dict[tuple[str, ...], int] = {}
    for line, kind, values in found:
        label = f"line {line}, {kind} {values.get('id', '(no id)')}"
        try:
            thing = KINDS[kind].model_validate(values)
        except ValidationError as error:
            errors += [f"{label}: {_said(one)}" for one in error.errors(include_url=False)]
            continue
        place = (kind, thing.id, thing.valid_from) if isinstance(thing, PriceVersion) else (kind, thing.id)
        if place in seen:
            errors.append(f"{label}: stands already in line {seen[place]}")
        seen[place] = line
        for other in entries:
            if isinstance(thing, PriceVersion) and isinstance(other.thing, PriceVersion) and thing.overlaps(other.thing):
                errors.append(f"{label}: valid_from: overlaps the version of line {other.line}; give that one a `valid_until`")
        entries.append(Entry(line, thing))
    if errors:
        more = f"; and {len(errors) - ERRORS_MAX} more" if len(errors) > ERRORS_MAX else ""
        raise Invalid(f"{name}: {'; '.join(errors[:ERRORS_MAX])}{more}.")
    return entries


def _said(error: Any) -> str:
    where = ".".join(map(str, error["loc"]))
    words = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {words}" if where else words


def _of_toml(text: str, name: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The things in the order of their headers, whose lines the standard library does not tell."""
    try:
        read = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Invalid(f"{name} is no TOML: {error}.") from None
    if unknown := sorted(set(read) - set(KINDS)):
        raise Invalid(f"{name}: [[{unknown[0]}]] is nothing that costs; write [[item]], [[key]], [[price]] or [[benchmark]].")
    lines: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            lines.setdefault(header[1], []).append(number)
    for kind in KINDS:
        things = read.get(kind, [])
        if not isinstance(things, list) or not all(isinstance(one, dict) for one in things):
            raise Invalid(f"{name}: write [[{kind}]], with two brackets, before each one.")
        where = lines.get(kind, [])
        for place, values in enumerate(things):
            yield where[place] if len(where) == len(things) else 1, kind, _plain(values)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Decimals as the text that was written."""
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}


LISTS = ("perimeters", "admissible")


def _of_csv(text: str, name: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Cost items, one a line: lists by commas in a cell, `services` as `files:3,messaging:1`, the source in `source_…` columns."""
    head = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=";" if head.count(";") > head.count(",") else ",", strict=True)
    try:
        titles = [one.strip().lower() for one in next(reader, [])]
        if len(set(titles)) != len(titles) or "id" not in titles:
            raise Invalid(f"{name}, line 1: name each column once: id, title, amount, starts, ends, service, perimeters, key …")
        for cells in reader:
            if not any(one.strip() for one in cells):
                continue
            if len(cells) > len(titles):
                raise Invalid(f"{name}, line {reader.line_num}: {len(cells)} cells under {len(titles)} titles.")
            yield reader.line_num, "item", _item_of(dict(zip(titles, (one.strip() for one in cells), strict=False)))
    except csv.Error as error:
        raise Invalid(f"{name}, line {reader.line_num}: {error}.") from None


def _item_of(cells: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    source: dict[str, str] = {}
    for title, cell in cells.items():
        if not cell:
            continue
        if title.startswith("source_"):
            source[title.removeprefix("source_")] = cell
        elif title in LISTS:
            values[title] = tuple(one.strip() for one in cell.split(","))
        elif title == "services":
            pairs = (one.partition(":") for one in cell.split(","))
            values[title] = {service.strip(): weight.strip() or "1" for service, _, weight in pairs}
        else:
            values[title] = cell
    return {**values, "source": source} if source else values
