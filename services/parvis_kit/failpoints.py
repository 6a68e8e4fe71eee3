"""Named windows at which a test may widen, break or end a process; no cost and no effect unless PARVIS_FAIL names one."""

import asyncio
import os
import signal
from collections import Counter

ARMED: dict[str, list[str]] = {}
REACHED: Counter[str] = Counter()
"""Name → action and its arguments. Filled by `arm`, from PARVIS_FAIL alone; `parvis doctor` reports it when it is not empty."""


class Failed(RuntimeError):
    """The failure that a failpoint was asked for."""


def arm(text: str) -> None:
    """Read `name:sleep:SECONDS`, `name:kill:N` (at the N-th time), `name:fail`, comma-separated. Raises ValueError on anything else."""
    ARMED.clear()
    REACHED.clear()
    for part in filter(None, text.split(",")):
        name, *action = part.split(":")
        match action:
            case ["sleep", seconds]:
                float(seconds)
            case ["kill", times]:
                int(times)
            case ["fail"]:
                pass
            case _:
                raise ValueError(f"{part!r} is not NAME:sleep:SECONDS, NAME:kill:N or NAME:fail")
        ARMED[name] = action


async def reach(name: str) -> None:
    """Called by the code at its window."""
    if not ARMED or name not in ARMED:
        return
    match ARMED[name]:
        case ["sleep", seconds]:
            await asyncio.sleep(float(seconds))
        case ["kill", times]:
            REACHED[name] += 1
            if REACHED[name] == int(times):
                os.kill(os.getpid(), signal.SIGKILL)
        case ["fail"]:
            raise Failed(name)
