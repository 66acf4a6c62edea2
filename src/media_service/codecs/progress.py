"""Who is told how much is done."""

from collections.abc import Callable
from typing import TypeAlias

# Is told how much is done, 0 to 1.
Told: TypeAlias = Callable[[float], None]


def between(told: Told, begin: float, end: float) -> Told:
    """For a part of the work."""
    return lambda part: told(begin + (end - begin) * part)


def seconds(told: Told, expected: float) -> Callable[[float], None]:
    """For what is counted in seconds of the result."""
    return lambda done: told(min(1.0, done / expected) if expected > 0 else 1.0)
