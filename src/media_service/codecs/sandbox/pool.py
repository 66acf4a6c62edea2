"""Child processes that are kept warm, because loading codecs takes longer than most pictures do."""

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
    """Runs functions on media files in limited child processes, at most `children` at once.

    A child serves `tasks_per_child` tasks, so whatever a file did to it does not last; one whose
    task failed serves no other, unless the task itself refused. `tasks` names what can be run, as
    `module:function`. With `warm`, children are started before they are needed, all of them
    soon after the beginning. `readable`: folders that they need beside their libraries.
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
        self._warned = False

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
        then: int | None = None,
        progress: Callable[[int], None] | None = None,
        **parameters: Any,
    ) -> Any:
        """The result of `task` on the files `media`, which the child gets open, read-only, and
        behind them `outputs`, open files for it to write to. `then`: the child serves at most so
        many others. `progress`: is told percents, which rise, by a task that has such a parameter.

        Raises InvalidArgument (MEDIA_CORRUPT, PIXEL_LIMIT_EXCEEDED, and what the limits say),
        DataLoss (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE, PROCESSING_UNAVAILABLE),
        SandboxBroken, and what the task refuses. Cancelling it kills the child.
        """
        async with self._slots:
            with ExitStack() as opened:
                files = []
                for path in media:
                    files.append(open_media(path))
                    opened.callback(os.close, files[-1])
                self._busy += 1
                try:
                    return await self._run(task, [*files, *outputs], then, progress, parameters)
                finally:
                    self._busy -= 1

    async def _run(
        self,
        task: str,
        files: Sequence[int],
        then: int | None,
        progress: Callable[[int], None] | None,
        parameters: dict[str, Any],
    ) -> Any:
        child = await self._take()
        child.left = child.left - 1 if then is None else min(child.left - 1, then)
        try:
            return await child.call(task, files, parameters, progress)
        finally:
            if child.sound and child.left > 0:
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
            # What is being started is nearer than what would be.
            await asyncio.wait(self._starting, return_when=asyncio.FIRST_COMPLETED)

    async def _warm_up(self) -> None:
        """Starts those that are missing; not at once, since who has just begun has other things to
        do, and may not stay."""
        await asyncio.sleep(WARM_UP_SECONDS)
        for _ in range(self._children - self._busy - len(self._idle) - len(self._starting)):
            self._prepare()

    def _prepare(self) -> None:
        """Starts a child, to be there when it is needed."""
        start = asyncio.create_task(self._start_idle())
        self._starting.add(start)
        start.add_done_callback(self._starting.discard)

    async def _start_idle(self) -> None:
        try:
            self._idle.insert(0, await self._start())
        except SandboxBroken as error:
            log.warning("%s", error)  # who needs one tries again, and is told

    async def _start(self) -> Child:
        child = await Child.start(self._tasks, self._limits, self._tasks_per_child, self._readable)
        if child.missing and not self._warned:
            self._warned = True
            log.warning(
                "media is opened with less protection: this system lacks %s",
                ", ".join(child.missing),
            )
        return child


def open_media(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DataLoss(Reason.BLOB_MISSING, "The stored bytes are missing.", key="") from None
    except OSError as error:
        message = f"The storage failed: {error.strerror}."
        raise Unavailable(Reason.STORAGE_UNAVAILABLE, message) from error
