"""Work that belongs to no caller and is done every so often, by every worker."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from media_service.errors import MediaError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """`run` returns how many things it changed; `name` says which, as in "expired uploads". Many
    workers may run it at the same time."""

    name: str
    every: timedelta
    run: Callable[[], Awaitable[int]]


async def run_periodically(tasks: Sequence[PeriodicTask]) -> None:
    """Runs each task now, and then every so often, until cancelled. A task that fails is tried
    again at its next turn, and stops no other."""
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(repeat(task), name=task.name)


async def repeat(task: PeriodicTask) -> None:
    while True:
        try:
            if changed := await task.run():
                log.info("%s: %d", task.name, changed)
        except MediaError as error:
            log.warning("%s: put off: %s", task.name, error.message)
        except Exception:
            log.exception("%s: failed", task.name)
        await asyncio.sleep(task.every.total_seconds())
