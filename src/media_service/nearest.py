"""Suggests a name for one that does not exist. `envoy/contract.lua` has the same rules for REST."""

from collections.abc import Iterable

# Characters that are compared. No name is longer.
MAX_LENGTH = 40
# From how many characters on the beginning of a name is close to it.
MIN_BEGINNING = 3


def nearest(wanted: str, names: Iterable[str]) -> str:
    """The name that was probably meant: with at most one mistake in three characters, or with this
    beginning. Empty if there is none."""
    wanted = plain(wanted)
    least, found = len(wanted) // 3 + 1, ""
    for name in names:
        candidate = plain(name)
        if len(wanted) >= MIN_BEGINNING and candidate.startswith(wanted):
            away = int(candidate != wanted)
        elif abs(len(candidate) - len(wanted)) >= least:
            continue
        else:
            away = distance(wanted, candidate)
        if away < least:
            least, found = away, name
    return found


def plain(name: str) -> str:
    return name[:MAX_LENGTH].lower().replace("_", "").replace("-", "")


def distance(a: str, b: str) -> int:
    """How many characters must be inserted, removed, replaced or swapped to make `b` of `a`."""
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a):
        current = [i + 1]
        for j, y in enumerate(b):
            least = min(last[j + 1] + 1, current[j] + 1, last[j] + (x != y))
            if i and j and x == b[j - 1] and a[i - 1] == y:
                least = min(least, before[j - 1] + 1)
            current.append(least)
        before, last = last, current
    return last[-1]
