"""An asyncio loop whose clock jumps, and whose processes can be killed or frozen between any two steps."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any

PROCESS: ContextVar["Process | None"] = ContextVar("process", default=None)
OUTSIDE = Context()
"""The servers and the world: no process can take them along."""
CLOSES_MAX = 9
"""A coroutine that awaits in its `finally` yields again when it is closed."""


class Handle:
    __slots__ = ("args", "callback", "context", "dropped")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self.callback, self.args, self.context, self.dropped = callback, args, context, False

    def cancel(self) -> None:
        self.dropped = True

    def cancelled(self) -> bool:
        return self.dropped


class Process:
    """Tasks that live and die together. Its steps are counted, so a fault can strike at the n-th."""

    def __init__(self, loop: "Loop", name: str) -> None:
        self.loop, self.name = loop, name
        self.alive, self.frozen, self.was_frozen = True, False, False
        self.held: list[Handle] = []
        self.main: asyncio.Task[None] | None = None
        self.fuse = -1
        self.strike: Callable[[], None] | None = None
        """The fault that waits for the fuse."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        context = copy_context()
        context.run(PROCESS.set, self)
        self.main = self.loop.create_task(work, context=context)

    def kill(self) -> None:
        """No further step runs: no `finally`, no `except CancelledError`, as with SIGKILL."""
        self.alive, self.held = False, []

    def terminate(self) -> None:
        """SIGTERM: every `finally` runs."""
        if self.main is not None:
            self.main.cancel()

    def freeze(self) -> None:
        self.frozen = self.was_frozen = True

    def thaw(self) -> None:
        self.frozen = False
        self.loop.ready.extend(self.held)
        self.held = []


class Loop(asyncio.AbstractEventLoop):
    """Order comes from the times that were drawn; what falls on one instant runs in the order in which it was asked for."""

    def __init__(self) -> None:
        self.now, self.steps, self.serial, self.stopped = 0.0, 0, 0, False
        self.ready: deque[Handle] = deque()
        self.timers: list[tuple[float, int, Handle]] = []
        self.tasks: list[tuple[asyncio.Task[Any], Coroutine[Any, Any, Any]]] = []

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name or "simulated", context=context)
        self.tasks.append((task, coro))
        return task

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Handle:  # type: ignore[override]
        handle = Handle(callback, args, copy_context() if context is None else context)
        self.ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Handle:  # type: ignore[override]
        handle = Handle(callback, args, copy_context() if context is None else context)
        self.serial += 1
        heapq.heappush(self.timers, (self.now + delay, self.serial, handle))
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Handle:  # type: ignore[override]
        return self.call_later(when - self.now, callback, *args, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Futures of the dead that nobody asks: no news."""

    def stop(self) -> None:
        """After this step."""
        self.stopped = True

    def run(self, steps_max: int) -> None:
        """Until it is stopped, or nothing is left to do, or too many steps: a busy loop is a bug too."""
        asyncio._set_running_loop(self)
        ready, timers = self.ready, self.timers
        try:
            while not self.stopped and self.steps < steps_max:
                if ready:
                    handle = ready.popleft()
                elif timers:
                    when, _, handle = heapq.heappop(timers)
                    if when > self.now:
                        self.now = when
                else:
                    return
                if handle.dropped:
                    continue
                context = handle.context
                if context is OUTSIDE or self.may_step(context.get(PROCESS), handle):
                    self.steps += 1
                    context.run(handle.callback, *handle.args)
        finally:
            asyncio._set_running_loop(None)

    def may_step(self, process: Process | None, handle: Handle) -> bool:
        if process is None:
            return True
        if process.strike is not None:
            process.fuse -= 1
            if process.fuse < 0:
                process.strike()
        if process.frozen and process.alive:
            process.held.append(handle)
            return False
        return process.alive

    def close(self) -> None:
        """Bury the dead: closing a coroutine runs its `finally`, so every model must refuse by now."""
        asyncio._set_running_loop(self)
        for task, coro in self.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            for _ in range(CLOSES_MAX):
                with suppress(BaseException):
                    coro.close()
                    break
        asyncio._set_running_loop(None)
        self.tasks.clear()
        self.ready.clear()
        self.timers.clear()
