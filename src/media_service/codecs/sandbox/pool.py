"""A pool of child processes."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.process import Child
from media_service.errors import DataLoss, Reason, Unavailable


class Sandbox:
    """Runs tasks on media files in at most `children` confined child processes.

    `tasks` has the tasks that can run, as `module:function`. A child serves only `tasks_per_child`
    tasks, which limits the effects of a hostile file. After a failed task, it serves no other task,
    unless the task itself raised the error and the child is unchanged. `readable` has folders that
    the children may read in addition to their libraries. This is an async context manager: leaving
    it ends the children.
    """

    def __init__(
        self,
        fork_server: ForkServer,
        tasks: Sequence[str],
        limits: ResourceLimits,
        children: int,
        tasks_per_child: int,
        *,
        readable: Sequence[Path] = (),
    ) -> None:
        self._fork_server = fork_server
        fork_server.preload(tasks)
        self._tasks = tuple(tasks)
        self._limits = limits
        self._slots = asyncio.Semaphore(children)
        self._tasks_per_child = tasks_per_child
        self._readable = tuple(readable)
        # Children without a task, the last used at the end.
        self._idle: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def run(
        self,
        task: str,
        *media: Path,
        outputs: Sequence[int] = (),
        last: bool = False,
        progress: Callable[[int], None] | None = None,
        limits: ResourceLimits | None = None,
        **parameters: Any,
    ) -> Any:
        """Runs `task` and returns its result. The child gets the files `media`, open and read-only,
        followed by `outputs`, open files that it writes to.

        With `last`, the child serves no other task afterwards. `progress` is called with increasing
        percentages if the task reports them. The times in `limits` replace those of the pool.

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
                return await self._run(task, files, last, progress, limits, parameters)

    async def _run(
        self,
        task: str,
        files: Sequence[int],
        last: bool,
        progress: Callable[[int], None] | None,
        limits: ResourceLimits | None,
        parameters: dict[str, Any],
    ) -> Any:
        child = await self._take()
        child.tasks_left = 0 if last else child.tasks_left - 1
        try:
            return await child.call(task, files, parameters, progress, limits)
        finally:
            if child.reusable and child.tasks_left > 0:
                self._idle.append(child)
            else:
                await child.close()

    async def _take(self) -> Child:
        while self._idle:
            child = self._idle.pop()
            if child.idle:
                return child
            await child.close()
        return await Child.start(
            self._fork_server, self._tasks, self._limits, self._tasks_per_child, self._readable
        )


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
