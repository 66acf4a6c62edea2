"""How much a child process may use."""

from dataclasses import dataclass

from media_service.errors import Reason


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """What one child may use. Time is counted for each task anew."""

    # Address space of the process: code, heap and stacks together.
    memory_bytes: int
    # Processor time of one task, all threads together.
    cpu_seconds: int
    # Time by the clock for one task.
    wall_seconds: float
    # Largest file it may write: in its private directory, or as a result.
    file_bytes: int
    # Largest answer that is read from it.
    result_bytes: int
    # What is told of a task that needs more than one of these.
    exceeded: Reason = Reason.INSPECTION_LIMIT_EXCEEDED
