"""How far long work has come: a bar on a terminal, and lines where somebody keeps what is said."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Call what it gives with how much is done so far."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as shown:
            task = shown.add_task(what, total=total)
            yield lambda done: shown.update(task, completed=done)
        return
    told = -1

    def tell(done: int) -> None:
        nonlocal told
        tenths = 10 * done // total if total else 10
        if tenths > told:
            told = tenths
            click.echo(f"{what}: {done} of {total}", err=True)

    yield tell
