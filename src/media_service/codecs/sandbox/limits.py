"""The resource limits of a child process. `codecs/limits.py` has those of each class of work."""

from dataclasses import dataclass

from media_service.errors import Reason

# How long the end of a killed process is waited for. It takes milliseconds, unless the process
# waits for a disk that does not answer.
END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """Limits of one child process. Times are per task. Errors name the field that was exceeded."""

    # Address space of the process: code, heap and stacks.
    memory_bytes: int
    # Processor time, of all threads together.
    cpu_seconds: int
    wall_seconds: float
    # Size of each file it writes: in its private folder, or as a result.
    file_bytes: int
    # Size of its answer.
    result_bytes: int
    # The reason of the error for a task that exceeds a limit.
    exceeded: Reason = Reason.INSPECTION_LIMIT_EXCEEDED
