"""The calls that run, so that a server that stops can end them with a reason, and those whose
responses nobody takes can be reset."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import takewhile
from typing import Any, TypeAlias

import grpc

from media_service.errors import shutting_down
from media_service.rpc import http
from media_service.rpc.error_status import abort
from media_service.rpc.stream_reset import CallTask

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = Callable[[Any, Context], Awaitable[Any]]

# The time to take the end of a response, or one that is a single message, after the handler.
UNREAD_SECONDS = 300.0
# In addition over REST, where a slow client may still have to take what Envoy holds.
REST_SECONDS = 1500.0
PAUSE_SECONDS = 10.0


class RunningCalls:
    """Knows the task of each call."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended: set[asyncio.Task[Any]] = set()
        # Since when gRPC sends the ends of responses; oldest first.
        self._unread: dict[asyncio.Task[Any], tuple[float, Context]] = {}

    def tracked(self, handler: Handler, *, streams: bool = False) -> Handler:
        """Returns a handler whose calls `end` can end. `streams`: it sends several messages."""

        async def handle(request: Any, context: Context) -> Any:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - gRPC runs each call in a task
            self._tasks.add(task)
            try:
                response = await handler(request, context)
                self._unread[task] = (loop_time(), context)
                task.add_done_callback(self._unread.pop)
                return response
            except asyncio.CancelledError:
                if task not in self._ended:
                    raise
                task.uncancel()
                if streams and http.is_rest(context):
                    await http.cut(context, shutting_down())
                await abort(context, shutting_down())
            finally:
                self._tasks.discard(task)
                self._ended.discard(task)

        return handle

    def end(self) -> None:
        """Ends all calls with SHUTTING_DOWN."""
        for task in self._tasks - self._ended:
            self._ended.add(task)
            task.cancel()

    async def reset_unread(self) -> None:
        """Resets calls whose responses the clients do not take, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            self._reset_since(loop_time() - UNREAD_SECONDS)

    def _reset_since(self, time: float) -> None:
        older = takewhile(lambda item: item[1][0] < time, self._unread.items())
        for task, (since, context) in list(older):
            rest = http.is_rest(context)
            if isinstance(task, CallTask) and (not rest or since < time - REST_SECONDS):
                task.reset()


def loop_time() -> float:
    return asyncio.get_running_loop().time()
