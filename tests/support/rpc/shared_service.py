"""One server for the tests of a file. To start one for each would take most of their time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from media_service.codecs.sandbox.forks import ForkServer
from tests.support.databases import CleanDatabases
from tests.support.rpc.server import Running
from tests.support.rpc.starter import starter
from tests.support.stores.local_files import blob_files

# The time for the work that a test has left behind. A server that needs longer is stopped.
LEFT_SECONDS = 1.0
PAUSE_SECONDS = 0.002
# The coroutines of tasks in which an idle server waits, and which it replaces from time to time.
WAITING = {
    "Event.wait",
    "AioServer._request_call",
    "AioServer._request_registered_call",
}

# A server that warns of these is not as a new one for a while.
TROUBLES = ("media_service.db", "media_service.uploads.load")


class SharedService:
    """A server that one test after another uses. After each, its database and its directory are
    emptied; its caches are not, which hold nothing by the name of a user that a test could miss.
    A server that is overloaded, does not become idle, or cannot be emptied, is replaced.

    `work`: with a worker.
    """

    def __init__(
        self,
        databases: CleanDatabases,
        new_folder: Callable[[], Path],
        fork_server: ForkServer,
        work: bool,
        settings: Mapping[str, str],
    ) -> None:
        self._databases = databases
        self._new_folder = new_folder
        self._fork_server = fork_server
        self._work = work
        self._settings = settings
        self._stack = AsyncExitStack()
        self._running: Running | None = None

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Running]:
        running = self._running or await self._start()
        idle = asyncio.all_tasks()
        with Warnings(TROUBLES) as warnings:
            async with AsyncExitStack() as channels:
                yield replace(running, channels=channels)
            is_idle = await becomes_idle(idle)
        if not (
            is_idle
            and not warnings.seen
            and await asyncio.to_thread(self._databases.clear, running.database_url)
            and await becomes_idle(idle)
        ):
            await self.stop()
            return
        for path in blob_files(running.data_dir / "raw") + blob_files(running.data_dir / "public"):
            path.unlink()

    async def stop(self) -> None:
        self._running = None
        await self._stack.aclose()

    async def _start(self) -> Running:
        url = self._stack.enter_context(self._databases.take())
        starting = starter(url, self._new_folder(), self._fork_server)
        start = await self._stack.enter_async_context(starting)
        self._running = await start(work=self._work, **self._settings)
        return self._running


class Warnings(logging.Handler):
    """Notices warnings of these loggers within the context."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(logging.WARNING)
        self._loggers = [logging.getLogger(name) for name in names]
        self.seen = False

    def emit(self, record: logging.LogRecord) -> None:
        self.seen = True

    def __enter__(self) -> Self:
        for logger in self._loggers:
            logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        for logger in self._loggers:
            logger.removeHandler(self)


async def becomes_idle(idle: AbstractSet["asyncio.Task[object]"]) -> bool:
    """Waits until no other task runs than this one and those of an idle server."""
    kept = {*idle, asyncio.current_task()}
    end = asyncio.get_running_loop().time() + LEFT_SECONDS
    while any(works(task) for task in asyncio.all_tasks() - kept):
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(PAUSE_SECONDS)
    return True


def works(task: "asyncio.Task[object]") -> bool:
    return getattr(task.get_coro(), "__qualname__", "") not in WAITING
