"""Which jobs foreign workers do."""

from collections.abc import Collection

from media_service.codecs.pipeline.operation_fields import operations
from media_service.codecs.pipeline.pipeline import COMPANION_SUFFIXES, STREAM, Pipeline
from media_service.jobs.model import JobKind


def check_foreign(names: Collection[str]) -> None:
    """Raises ValueError unless these are operations whose result is one file."""
    possible = set(operations()) - {STREAM, *COMPANION_SUFFIXES}
    if unknown := sorted(set(names) - possible):
        raise ValueError(f"operations that make one file, and {unknown[0]} is none")


def kind_of_job(pipeline: Pipeline, foreign: Collection[str]) -> JobKind:
    """The kind of a job that renders with this pipeline. `foreign`: the names of operations that
    foreign workers do. One of them is enough, because a job is done in one place."""
    is_foreign = any(step.name in foreign for step in pipeline.steps)
    return JobKind.FOREIGN if is_foreign else JobKind.PROCESS
