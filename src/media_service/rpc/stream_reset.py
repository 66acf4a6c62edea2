"""Resets streams whose clients do not read. gRPC in Python has no call for it, and a status waits
behind the messages that the client does not take.

gRPC runs a call in two tasks: one runs the handler; the other started it, and waits for the client
to leave. When both have ended, gRPC frees the call. A call that is freed before its status was sent
is reset: its unsent messages are dropped, and the client gets CANCELLED. (grpcio 1.85. If a later
version works otherwise, streams keep waiting, and the tests fail.)
"""

import asyncio
import weakref
from typing import Any

# gRPC's coroutine that runs a handler.
HANDLER = "_handle_exceptions"


class CallTask(asyncio.Task[Any]):
    """The task that runs a handler. It knows the one that started it."""

    def __init__(self, coro: Any, starter: "asyncio.Task[Any]", **options: Any) -> None:
        super().__init__(coro, **options)
        self._starter = weakref.ref(starter)

    def reset(self) -> None:
        """Resets the call's stream."""
        starter = self._starter()
        if starter is not None:
            starter.cancel()
        self.cancel()


def new_task(
    loop: asyncio.AbstractEventLoop, coro: Any, **options: Any
) -> "asyncio.Task[Any] | CallTask":
    """The task factory of the loop in which a server runs."""
    if getattr(coro, "__name__", "") == HANDLER:
        starter = asyncio.current_task(loop)
        if starter is not None:
            return CallTask(coro, starter, loop=loop, **options)
    return asyncio.Task(coro, loop=loop, **options)


def reset_later(seconds: float) -> None:
    """Resets the stream of the current call unless it ends in time."""
    task = asyncio.current_task()
    if isinstance(task, CallTask):
        timer = task.get_loop().call_later(seconds, task.reset)
        task.add_done_callback(lambda _: timer.cancel())
