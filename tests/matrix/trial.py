"""Tries the cells of a row."""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from tests.matrix.answers import HIDDEN, OK
from tests.matrix.callers import CALLERS
from tests.matrix.faces import Face
from tests.matrix.rows import Row, fill
from tests.matrix.table import Expected
from tests.matrix.world import World, unknown

# What differs between two answers to a caller about their own things: ids, times and etags.
GENERATED = re.compile(
    r'\\"\d+\\"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z'
)


@dataclass(frozen=True)
class Tried:
    """The words of a row, and what is wrong beside them."""

    expected: Expected
    faults: list[str]


async def tried(
    world: World,
    face: Face,
    row: Row,
    hidden: str,
    callers: Sequence[str] = CALLERS,
    twins: Container[str] = CALLERS,
) -> Tried:
    """Calls the method as each of the callers. A target that a call may have changed is replaced.
    What is hidden from one of `twins` must be answered exactly as if it did not exist."""
    words, faults = {}, []
    target = None
    for caller in callers:
        target = target or await row.target(world, row.place)
        token = world.token(caller, row.place.org)
        answer = await face.call(row.method, row.message(target), token, row.headers)
        words[caller] = answer.word(hidden, fill(row.needle, target))
        if words[caller] == HIDDEN and caller in twins:
            other = unknown(target)
            same = await face.call(row.method, row.message(other), token, row.headers)
            if answer.without(row.named(target)) != same.without(row.named(other)):
                faults.append(f"{row.name} tells {caller} that it exists: {answer} {same}")
        if words[caller] == OK and row.changes:
            target = None
    return Tried(Expected(hidden, words), faults)


def differences(row: Row, expected: Expected, found: Expected) -> Iterator[str]:
    for caller, word in found.words.items():
        if word != expected.words[caller]:
            yield f"{row.name} as {caller}: {word}, not {expected.words[caller]}"


async def told_apart(world: World, face: Face, row: Row, caller: str, own: Sequence[str]) -> str:
    """How the answers differ for a thing of others and for one that does not exist; empty if they
    do not. `own`: the values of the target that are the caller's."""
    target = await row.target(world, row.place)
    others = {name: value for name, value in target.items() if name not in own}
    absent = unknown(others)
    token = world.token(caller, row.place.org)
    answers = []
    for values in (others, absent):
        message = row.message({**target, **values})
        answer = await face.call(row.method, message, token, row.headers)
        answers.append(GENERATED.sub("…", answer.without(row.named({**target, **values}))))
    first, second = answers
    return "" if first == second else f"{row.name}: {first}\n{second}"
