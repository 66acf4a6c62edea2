"""A pool of child processes, which are reused because loading codecs takes longer than most
tasks."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from media_service.codecs.sandbox.errors import SandboxBroken
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.process import Child
from media_service.errors import DataLoss, Reason, Unavailable

log = logging.getLogger(__name__)

WARM_UP_SECONDS = 10.0


class Sandbox:
    """Runs tasks on media files in at most `children` confined child processes.

    `tasks` has the tasks that can run, as `module:function`. A child serves only `tasks_per_child`
    tasks, which limits the effects of a hostile file. After a failed task, it serves no other task,
    unless the task itself raised the error and the child is unchanged. With `warm`, children start
    before they are needed, the first ones soon after the pool starts. `readable` has folders that
    they may read in addition to their libraries. This is an async context manager: leaving it ends
    the children.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        limits: ResourceLimits,
        children: int,
        tasks_per_child: int,
        *,
        warm: bool = False,
        readable: Sequence[Path] = (),
    ) -> None:
        self._tasks = tuple(tasks)
        self._limits = limits
        self._children = children
        self._slots = asyncio.Semaphore(children)
        self._tasks_per_child = tasks_per_child
        self._warm = warm
        self._readable = tuple(readable)
        # Children without a task, the last used at the end, and those that are starting.
        self._idle: list[Child] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._warming: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._warm:
            self._warming = asyncio.create_task(self._warm_up())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._warm = False
        if self._warming:
            self._warming.cancel()
        for start in self._starting:
            start.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        while self._idle:
            await self._idle.pop().close()

    async def run(
        self,
        task: str,
        *media: Path,
        outputs: Sequence[int] = (),
        further_tasks: int | None = None,
        progress: Callable[[int], None] | None = None,
        limits: ResourceLimits | None = None,
        **parameters: Any,
    ) -> Any:
        """Runs `task` and returns its result. The child gets the files `media`, open and read-only,
        followed by `outputs`, open files that it writes to.

        The child serves at most `further_tasks` tasks afterwards. `progress` is called with
        increasing percentages if the task reports them. The times in `limits` replace those of the
        pool.

        Raises InvalidArgument (MEDIA_CORRUPT, PIXEL_LIMIT_EXCEEDED, and the reason of
        the limits), DataLoss (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE,
        PROCESSING_UNAVAILABLE), SandboxBroken, and the errors of the task. Cancelling kills the
        child.
        """
        async with self._slots:
            with ExitStack() as stack:
                files = []
                for path in media:
                    files.append(open_media(path))
                    stack.callback(os.close, files[-1])
                files += outputs
                self._busy += 1
                try:
                    return await self._run(task, files, further_tasks, progress, limits, parameters)
                finally:
                    self._busy -= 1

    async def _run(
        self,
        task: str,
        files: Sequence[int],
        further_tasks: int | None,
        progress: Callable[[int], None] | None,
        limits: ResourceLimits | None,
        parameters: dict[str, Any],
    ) -> Any:
        child = await self._take()
        child.tasks_left -= 1
        if further_tasks is not None:
            child.tasks_left = min(child.tasks_left, further_tasks)
        try:
            return await child.call(task, files, parameters, progress, limits)
        finally:
            if child.reusable and child.tasks_left > 0:
                self._idle.append(child)
            else:
                if self._warm:
                    self._prepare()
                await child.close()

    async def _take(self) -> Child:
        while True:
            while self._idle:
                child = self._idle.pop()
                if child.alive:
                    return child
                await child.close()
            if not self._starting:
                return await self._start()
            # A child that is already starting is ready sooner than a new one.
            await asyncio.wait(self._starting, return_when=asyncio.FIRST_COMPLETED)

    async def _warm_up(self) -> None:
        """Starts the missing children after a delay, because a service that has just started has
        other work to do and may be short-lived."""
        await asyncio.sleep(WARM_UP_SECONDS)
        for _ in range(self._children - self._busy - len(self._idle) - len(self._starting)):
            self._prepare()

    def _prepare(self) -> None:
        """Starts a child in the background."""
        start = asyncio.create_task(self._start_idle())
        self._starting.add(start)
        start.add_done_callback(self._starting.discard)

    async def _start_idle(self) -> None:
        try:
            self._idle.insert(0, await self._start())
        except SandboxBroken as error:
            log.warning("%s", error)  # the next task tries again, and raises

    async def _start(self) -> Child:
        return await Child.start(self._tasks, self._limits, self._tasks_per_child, self._readable)


def size_of(path: Path) -> int:
    """Returns the size of a stored file in bytes, or 0 if it is missing, which `open_media`
    reports."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def open_media(path: Path) -> int:
    """Opens a stored file to read. Raises DataLoss (BLOB_MISSING), Unavailable
    (STORAGE_UNAVAILABLE)."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DataLoss(Reason.BLOB_MISSING, "The stored bytes are missing.", key="") from None
    except OSError as error:
        message = f"The storage failed: {error.strerror}."
        raise Unavailable(Reason.STORAGE_UNAVAILABLE, message) from error
