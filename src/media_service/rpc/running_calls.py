"""The calls that run, so that a server that stops can end them with a reason."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from media_service.errors import shutting_down
from media_service.rpc import http
from media_service.rpc.error_status import abort

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


class RunningCalls:
    """Knows the task of each call."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended: set[asyncio.Task[Any]] = set()

    def tracked(self, handler: Handler, *, streams: bool = False) -> Handler:
        """Returns a handler whose calls `end` can end. `streams`: it sends several messages."""

        async def handle(request: Any, context: Context) -> Any:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - gRPC runs each call in a task
            self._tasks.add(task)
            try:
                return await handler(request, context)
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
