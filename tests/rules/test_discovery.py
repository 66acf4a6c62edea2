"""Handlers of jobs and periodic tasks are found by the names of their modules."""

from collections import Counter
from typing import Any, get_type_hints

import pytest

from media_service.app import WorkerResources
from media_service.jobs.handler import handler_types
from media_service.jobs.model import JobKind
from media_service.jobs.periodic import PeriodicTask, find_periodic_tasks

HANDLERS = list(handler_types())
TASKS = find_periodic_tasks()


def parameters(function: Any) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(function).items() if name != "return"}


def test_every_kind_of_job_has_one_handler() -> None:
    assert Counter(handler.kind for handler in HANDLERS) == Counter(JobKind)


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.kind)
def test_a_handler_receives_parts_of_the_worker_by_name(handler: Any) -> None:
    resources = get_type_hints(WorkerResources)
    for name, hint in parameters(handler.__init__).items():
        # Without a resource that is optional, the worker skips the jobs that need it.
        assert resources[name] in (hint, hint | None)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_periodic_task_receives_parts_of_the_worker_by_name(task: PeriodicTask) -> None:
    assert parameters(task.run).items() <= get_type_hints(WorkerResources).items()


def test_periodic_tasks_have_different_names() -> None:
    assert len({task.name for task in TASKS}) == len(TASKS) >= 10
