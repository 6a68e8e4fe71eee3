"""Objects taken apart where that holds nobody up: small ones at once, large ones in a thread."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from parvis_calendar.rules.agendas import Stored
from parvis_calendar.rules.objects import CalendarObject
from parvis_calendar.rules.reading import read_object

IN_THE_LOOP_BYTES_MAX = 64 * 1024
"""A thread costs 0.1 ms, and this much takes 4: all others wait as long."""
Given = ParamSpec("Given")
Done = TypeVar("Done")


async def aside(size_bytes: int, work: Callable[Given, Done], *given: Given.args, **named: Given.kwargs) -> Done:
    """The only way to work on the octets of objects outside the rules. `size_bytes`: of all of them."""
    if size_bytes > IN_THE_LOOP_BYTES_MAX:
        return await asyncio.to_thread(work, *given, **named)
    return work(*given, **named)


async def read(octets: bytes, *, is_message: bool = False) -> CalendarObject:
    """Raises NotTaken."""
    return await aside(len(octets), read_object, octets, is_message=is_message)


async def read_stored(stored: Stored | None) -> CalendarObject | None:
    return None if stored is None else await read(stored.octets)
