"""Maintenance tasks that every worker runs at an interval.

To add a task, add it to the tuple `TASKS` in a module called `periodic_tasks`. The worker discovers
the module, and calls each task with the attributes of `WorkerResources` (app.py) that its
parameters name.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from media_service.discovery import call_with, find_modules
from media_service.errors import MediaError

log = logging.getLogger(__name__)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A task that `run` performs. `run` returns the number of items that it changed. `name` says
    which items, such as "expired uploads". Several workers may run it at the same time."""

    name: str
    interval: timedelta
    run: Callable[..., Awaitable[int]]


def find_periodic_tasks() -> list[PeriodicTask]:
    return [task for module in find_modules("periodic_tasks") for task in module.TASKS]


async def run_periodically(tasks: Sequence[PeriodicTask], resources: object) -> None:
    """Runs each task immediately, and then at its interval, until cancelled. A task that fails runs
    again after its interval and does not affect other tasks."""
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(repeat(task, resources), name=task.name)


async def repeat(task: PeriodicTask, resources: object) -> None:
    while True:
        try:
            if changed := await call_with(task.run, resources):
                log.info("%s: %d", task.name, changed)
        except MediaError as error:
            log.warning("%s: postponed: %s", task.name, error.message)
        except Exception:
            log.exception("%s: failed", task.name)
        await asyncio.sleep(task.interval.total_seconds())
