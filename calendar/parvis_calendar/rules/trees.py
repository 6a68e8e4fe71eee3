"""An object as a tree of components, for the questions that its index does not answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from parvis_calendar.rules.lexing import ANY_LINE, parameters_of, plain, unfolded
from parvis_calendar.rules.refusals import VALID_DATA, NotTaken

DEPTH_MAX = 8
"""What is stored has at most four; what is asked about may be older."""
TEXTS = frozenset({"CATEGORIES", "RESOURCES"})
"""Lists of texts, whose commas are no part of them."""


class Property:
    """One line. Its parameters and its text are taken apart when they are asked for."""

    __slots__ = ("name", "written", "value", "line", "__dict__")

    def __init__(self, name: str, written: str, value: str, line: str) -> None:
        self.name, self.written, self.value, self.line = name, written, value, line

    @cached_property
    def text(self) -> str:
        return plain(self.value)

    @cached_property
    def params(self) -> Mapping[str, tuple[str, ...]]:
        return {name: tuple(value.split(",")) if name in ("MEMBER", "DELEGATED-TO", "DELEGATED-FROM") else (value,) for name, value in
                parameters_of(self.written).items()}  # fmt: skip


@dataclass(slots=True)
class Component:
    name: str
    properties: list[Property] = field(default_factory=list)
    children: list["Component"] = field(default_factory=list)

    def first(self, name: str) -> Property | None:
        return next((one for one in self.properties if one.name == name), None)


def tree_of(octets: bytes) -> Component:
    """Its VCALENDAR. Raises NotTaken for what is not nested as it should be."""
    root = Component("")
    stack = [root]
    for line in unfolded(octets).split("\n"):
        read = ANY_LINE.fullmatch(line.rstrip("\r"))
        if read is None:
            continue
        name, written, value = read[1].upper(), read[2], read[3]
        if name == "BEGIN":
            made = Component(value.strip().upper())
            stack[-1].children.append(made)
            stack.append(made)
            if len(stack) > DEPTH_MAX:
                raise NotTaken(VALID_DATA, "Its components lie too deep in one another.")
        elif name == "END":
            if len(stack) == 1 or stack[-1].name != value.strip().upper():
                raise NotTaken(VALID_DATA, "Its components do not end as they begin.")
            stack.pop()
        else:
            stack[-1].properties.append(Property(name, written, value, line))
    if len(stack) != 1 or len(root.children) != 1:
        raise NotTaken(VALID_DATA, "It is not one whole VCALENDAR.")
    return root.children[0]
