"""Child processes that are kept warm, because loading codecs takes longer than most pictures do."""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from media_service.errors import DataLoss, Reason, Unavailable
from media_service.processing.sandbox.limits import Limits
from media_service.processing.sandbox.process import Child

log = logging.getLogger(__name__)


class Sandbox:
    """Runs functions on media files in limited child processes, at most `children` at once.

    A child serves `tasks_per_child` tasks, so whatever a file did to it does not last; one whose
    task failed serves no other. `tasks` names what can be run, as `module:function`.
    """

    def __init__(
        self, tasks: Sequence[str], limits: Limits, children: int, tasks_per_child: int
    ) -> None:
        self._tasks = tuple(tasks)
        self._limits = limits
        self._slots = asyncio.Semaphore(children)
        self._tasks_per_child = tasks_per_child
        self._idle: list[Child] = []
        self._warned = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def run(self, task: str, media: Path, **parameters: Any) -> Any:
        """The result of `task` on the file `media`, which the child gets open, read-only.

        Raises InvalidArgument (MEDIA_CORRUPT), TooLarge (PIXEL_LIMIT_EXCEEDED,
        INSPECTION_LIMIT_EXCEEDED), DataLoss (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE),
        SandboxBroken. Cancelling it kills the child.
        """
        async with self._slots:
            file = open_media(media)
            try:
                return await self._run(task, file, parameters)
            finally:
                os.close(file)

    async def _run(self, task: str, file: int, parameters: Mapping[str, Any]) -> Any:
        child = await self._take()
        done = False
        try:
            result = await child.call(task, file, parameters)
            done = True
        finally:
            if done and child.served < self._tasks_per_child:
                self._idle.append(child)
            else:
                await child.close()
        return result

    async def _take(self) -> Child:
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            await child.close()
        child = await Child.start(self._tasks, self._limits)
        if child.missing and not self._warned:
            self._warned = True
            log.warning(
                "media is inspected with less protection: this system lacks %s",
                ", ".join(child.missing),
            )
        return child


def open_media(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DataLoss(Reason.BLOB_MISSING, "The stored bytes are missing.") from None
    except OSError as error:
        message = f"The storage failed: {error.strerror}."
        raise Unavailable(Reason.STORAGE_UNAVAILABLE, message) from error
