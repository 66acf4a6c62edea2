"""Progress callbacks."""

from collections.abc import Callable
from typing import TypeAlias

# Takes the completed fraction of the work, from 0 to 1.
ReportProgress: TypeAlias = Callable[[float], None]


def report_range(report: ReportProgress, begin: float, end: float) -> ReportProgress:
    """Returns a callback for one part of the work. It maps 0 to 1 to the range from `begin` to
    `end` of the whole."""
    return lambda fraction: report(begin + (end - begin) * fraction)


def report_seconds(report: ReportProgress, expected: float) -> Callable[[float], None]:
    """Returns a callback that takes seconds of output, out of `expected` seconds in total."""
    return lambda done: report(min(1.0, done / expected) if expected > 0 else 1.0)
