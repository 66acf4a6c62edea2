"""Maintenance tasks that every worker runs at an interval.

To add a task, add it to the tuple `TASKS` in a module called `periodic_tasks`. The worker discovers
the module, and calls each task with the attributes of `WorkerResources` (app.py) that its
parameters name.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from media_service.discovery import call_with, find_modules
from media_service.errors import MediaError

log = logging.getLogger(__name__)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
# The longest pause between two batches.
PAUSE_SECONDS = 5.0
# A run that takes longer logs how far it is at this interval.
LOG_SECONDS = 60.0

# The numbers of items that the batches of a run have changed.
Batches = AsyncGenerator[int, None]


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A task that `run` performs in batches until nothing is due. `interval` None: only when a
    worker starts.

    `run` yields the number of items that each batch has changed. `name` says which items, such as
    "expired uploads". Several workers may run the task at the same time, so a batch skips the items
    that another one holds.
    """

    name: str
    interval: timedelta | None
    run: Callable[..., Batches]


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
            if changed := await run_batches(task, resources):
                log.info("%s: %d", task.name, changed)
        except MediaError as error:
            log.warning("%s: postponed: %s", task.name, error.message)
        except Exception:
            log.exception("%s: failed", task.name)
        else:
            if task.interval is None:
                return
        await asyncio.sleep((task.interval or MINUTE).total_seconds())


async def run_batches(task: PeriodicTask, resources: object) -> int:
    """Runs all batches that are due. Returns the number of items that they changed.

    After each batch, it pauses for as long as the batch took. So however much is due, a task uses
    at most half of the time of one database connection.
    """
    changed = 0
    logged = monotonic()
    async with aclosing(call_with(task.run, resources)) as batches:
        begun = monotonic()
        async for count in batches:
            changed += count
            if monotonic() - logged > LOG_SECONDS:
                log.info("%s: %d so far", task.name, changed)
                logged = monotonic()
            await asyncio.sleep(min(monotonic() - begun, PAUSE_SECONDS))
            begun = monotonic()
    return changed
