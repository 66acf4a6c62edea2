"""Housekeeping that every worker runs at an interval.

A module called `periodic_tasks` has a tuple `TASKS`. That is all it takes: the worker finds it
there, and calls each task with the attributes of `WorkerResources` (app.py) that its parameters
name.
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
    """`run` returns how many things it has changed, and `name` says which: "expired uploads".
    Several workers may run it at the same time."""

    name: str
    interval: timedelta
    run: Callable[..., Awaitable[int]]


def find_periodic_tasks() -> list[PeriodicTask]:
    return [task for module in find_modules("periodic_tasks") for task in module.TASKS]


async def run_periodically(tasks: Sequence[PeriodicTask], resources: object) -> None:
    """Runs each task now and then at its interval, until cancelled. A task that fails runs again
    after its interval, and stops no other task."""
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
