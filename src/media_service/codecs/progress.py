"""Who is told how much is done."""

from collections.abc import Callable
from typing import TypeAlias

# Is told how much is done, 0 to 1.
ProgressCallback: TypeAlias = Callable[[float], None]


def between(told: ProgressCallback, begin: float, end: float) -> ProgressCallback:
    """For a part of the work."""
    return lambda part: told(begin + (end - begin) * part)


def seconds(told: ProgressCallback, expected: float) -> Callable[[float], None]:
    """For what is counted in seconds of the result."""
    return lambda done: told(min(1.0, done / expected) if expected > 0 else 1.0)
