"""The table of expected answers, `answers.txt`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.matrix.callers import CALLERS

FILE = Path(__file__).with_name("answers.txt")


@dataclass(frozen=True)
class Expected:
    """`hidden`: the reason for callers who may not see the target. `words`: by caller."""

    hidden: str
    words: Mapping[str, str]


def read() -> dict[str, Expected]:
    """The expected answers by the name of their row."""
    found = {}
    for line in FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            name, hidden, *words = line.split()
            assert name not in found, f"{name} has two lines"
            found[name] = Expected(hidden, dict(zip(CALLERS, words, strict=True)))
    header = next(line for line in FILE.read_text().splitlines() if line.startswith("# method"))
    assert tuple(header.split()[3:]) == CALLERS
    return found


def line(name: str, expected: Expected) -> list[str]:
    return [name, expected.hidden, *(expected.words[caller] for caller in CALLERS)]


def aligned(lines: Iterable[list[str]]) -> str:
    rows = [["# method", "hidden", *CALLERS], *lines]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
