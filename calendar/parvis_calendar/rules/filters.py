"""What a calendar-query asks for (RFC 4791 §9.7), and whether an object has it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from parvis_kit.text import fold

from parvis_calendar.rules.trees import Component, Property

Collation = Literal["i;ascii-casemap", "i;octet", "i;unicode-casemap"]
ASCII = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
COLLATIONS: dict[str, Callable[[str], str]] = {
    "i;ascii-casemap": lambda text: text.translate(ASCII),
    "i;octet": lambda text: text,
    "i;unicode-casemap": fold,
}


@dataclass(frozen=True, slots=True)
class TextMatch:
    text: str
    collation: str = "i;ascii-casemap"
    negated: bool = False
    is_whole: bool = False

    def fits(self, value: str) -> bool:
        same = COLLATIONS[self.collation]
        met = same(self.text) == same(value) if self.is_whole else same(self.text) in same(value)
        return met != self.negated


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Seconds since 1970; open ends are the ends of time."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParamFilter:
    name: str
    is_absent: bool = False
    text: TextMatch | None = None


@dataclass(frozen=True, slots=True)
class PropFilter:
    name: str
    is_absent: bool = False
    times: TimeRange | None = None
    text: TextMatch | None = None
    params: tuple[ParamFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class CompFilter:
    name: str
    is_absent: bool = False
    times: TimeRange | None = None
    props: tuple[PropFilter, ...] = ()
    comps: tuple["CompFilter", ...] = ()
    any_of: bool = False

    @property
    def is_plain(self) -> bool:
        """Nothing but the component, or but its times."""
        return not (self.is_absent or self.props or self.comps)


@dataclass(frozen=True, slots=True)
class Timed:
    """How times are compared: what overlaps is asked of whoever knows the zone and the recurrences."""

    overlaps: Callable[[Component, Component, TimeRange], bool]
    """(the component, the one that holds it, the range)"""
    moment_in: Callable[[Property, TimeRange], bool]


def fits(root: Component, asked: CompFilter, timed: Timed) -> bool:
    """Whether the VCALENDAR is what is asked for."""
    return root.name == asked.name and not asked.is_absent and _inside(root, root, asked, timed)


def _inside(component: Component, parent: Component, asked: CompFilter, timed: Timed) -> bool:
    """All of what is asked, or any of it (RFC 6352 §10.5.1 has the word for it)."""
    if asked.times is not None and not timed.overlaps(component, parent, asked.times):
        return False
    if not asked.props and not asked.comps:
        return True
    met = chain(
        (_has_property(component, one, timed) for one in asked.props), (_has_component(component, one, timed) for one in asked.comps)
    )
    return any(met) if asked.any_of else all(met)


def _has_component(parent: Component, asked: CompFilter, timed: Timed) -> bool:
    there = [one for one in parent.children if one.name == asked.name]
    if asked.is_absent:
        return not there
    return any(_inside(one, parent, asked, timed) for one in there)


def _has_property(component: Component, asked: PropFilter, timed: Timed) -> bool:
    there = [one for one in component.properties if one.name == asked.name]
    if asked.is_absent:
        return not there
    if not there:
        return False
    if asked.text is not None and asked.text.negated and not asked.params:
        return all(asked.text.fits(one.text) for one in there)
    return any(_is_property(one, asked, timed) for one in there)


def _is_property(one: Property, asked: PropFilter, timed: Timed) -> bool:
    if asked.times is not None and not timed.moment_in(one, asked.times):
        return False
    if asked.text is not None and not asked.text.fits(one.text):
        return False
    return all(_has_parameter(one, param) for param in asked.params)


def _has_parameter(one: Property, asked: ParamFilter) -> bool:
    values = one.params.get(asked.name, ())
    if asked.is_absent:
        return not values
    if not values:
        return False
    return asked.text is None or any(asked.text.fits(value) for value in values)


def only_component(asked: CompFilter) -> CompFilter | None:
    """The one component under VCALENDAR that is asked for, when it is but one."""
    if asked.name != "VCALENDAR" or asked.is_absent or asked.props or len(asked.comps) != 1 or asked.comps[0].is_absent:
        return None
    return asked.comps[0]


def uid_asked(asked: CompFilter) -> str | None:
    """A text that the UID has to hold, when nothing goes without it."""
    if asked.any_of:
        return None
    for one in asked.props:
        if one.name == "UID" and one.text is not None and not one.text.negated and not one.is_absent:
            return one.text.text
    return None
