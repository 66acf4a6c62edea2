"""A sandbox for hostile tasks."""

from media_service.codecs.sandbox.limits import ResourceLimits
from tests.support import hostile_tasks

LIMITS = ResourceLimits(
    memory_bytes=1 << 30,
    cpu_seconds=20,
    wall_seconds=20,
    file_bytes=1 << 20,
    result_bytes=1 << 20,
)

TASKS = [
    f"{hostile_tasks.__name__}:{name}"
    for name, value in vars(hostile_tasks).items()
    if getattr(value, "__module__", "") == hostile_tasks.__name__
]
