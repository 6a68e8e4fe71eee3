"""What every command of `parvis` shares: its settings, its services, and plain words for what cannot be done."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from parvis_kit.service import Service
    from parvis_kit.settings import Platform

P = ParamSpec("P")
T = TypeVar("T")


class Refusal(click.ClickException):
    """What the person at the keyboard can mend: one line, exit status 2."""

    exit_code = 2


@contextmanager
def plain_words() -> Iterator[None]:
    """Say in one line what has a name; anything else is a bug and keeps its traceback."""
    try:
        yield
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except Exception as error:
        if isinstance(error, _named()):
            raise Refusal(str(error)) from None
        raise


def _named() -> tuple[type[Exception], ...]:
    """Imported once something has gone wrong: half of what a service loads comes with them."""
    from parvis_kit.events.ports import Gone
    from parvis_kit.problems import Problem
    from parvis_kit.settings import SettingsRefused

    from parvis_suite.assembly import CannotStart

    return SettingsRefused, CannotStart, Problem, Gone, OSError


def plainly(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose refusals are told in plain words."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with plain_words():
            command(*args, **kwargs)

    return run


def platform_of() -> Platform:
    """The settings of this installation, with every PARVIS_ name known; failpoints armed, logging begun."""
    from parvis_kit import failpoints
    from parvis_kit.settings import Platform, SettingsRefused, refuse_unknown

    from parvis_suite.services import settings_classes

    refuse_unknown(os.environ, [Platform, *settings_classes()])
    platform = Platform.read()
    try:
        failpoints.arm(platform.fail)
    except ValueError as error:
        raise SettingsRefused(f"PARVIS_FAIL: {error}") from None
    return platform


def with_port(platform: Platform) -> Platform:
    """A port that is free now, in the place of 0: addresses that are handed out, a blob's for one, must name it."""
    if platform.port:
        return platform
    from parvis_kit.workers import hold_port

    with hold_port(platform.host, 0) as held:
        metrics = 0 if platform.metrics_port is None else platform.metrics_port
        return platform.model_copy(update={"port": held.getsockname()[1], "metrics_port": metrics})


def chosen(names: Sequence[str], platform: Platform) -> list[Service]:
    """The services of these names, or all."""
    from parvis_suite.services import build_all

    return build_all(platform, known(names))


def known(names: Sequence[str]) -> Sequence[str]:
    """Refuses a name that no service has."""
    from parvis_suite.services import BUILDERS

    for name in names:
        if name not in BUILDERS:
            raise Refusal(f"there is no service {name!r}; there is {', '.join(BUILDERS)}")
    return names


def at_keyboard() -> str:
    """As the audit names whoever has the server: as far as the machine knows."""
    import getpass

    try:
        return f"operator {getpass.getuser()}"
    except (KeyError, OSError):  # a container's number without a name
        return f"operator {os.getuid()}"


def on_service(name: str, work: Callable[[Service], Awaitable[T]]) -> T:
    """What a command does with one service: on tables of this version, and closed behind it."""
    [service] = chosen((name,), platform_of())

    async def run() -> T:
        from parvis_suite.assembly import refuse_behind_head

        try:
            await refuse_behind_head([service])
            return await work(service)
        finally:
            await service.database.close()

    return run_here(run())


def run_here(work: Coroutine[Any, Any, T]) -> T:
    """A short command's loop; a server's is uvloop's."""
    import asyncio

    return asyncio.run(work)
