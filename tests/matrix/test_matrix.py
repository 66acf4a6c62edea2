"""Who may call what: each method, as each caller, over gRPC and REST."""

import asyncio
from collections import Counter
from collections.abc import Container, Iterable, Sequence

import pytest

from tests.matrix.callers import CALLERS, NOBODIES
from tests.matrix.references import OWN, REFERENCES, STRANGER, names_of_others
from tests.matrix.rows import BY_NAME, ROWS, Row
from tests.matrix.running import Matrix
from tests.matrix.table import read
from tests.matrix.trial import differences, told_apart, tried
from tests.support.long_form import LONG_FORM

EXPECTED = read()
AT_ONCE = 4
# A row of each method.
FIRST = list({row.method_name: row for row in reversed(ROWS)}.values())
AUTHENTICATED = [caller for caller in CALLERS if caller not in NOBODIES]


def test_each_method_has_a_row_and_each_row_a_line() -> None:
    assert {row.method_name for row in ROWS} == set(BY_NAME)
    names = Counter(row.name for row in ROWS)
    assert names == dict.fromkeys(EXPECTED, 1)


async def test_each_cell_is_answered_as_the_table_says(matrix: Matrix) -> None:
    # The method alone decides about callers who are not authenticated.
    cells = [(row, CALLERS if row in FIRST else AUTHENTICATED) for row in ROWS]
    assert await wrong_cells(matrix, "gRPC", cells, CALLERS) == []


async def test_rest_answers_as_grpc(matrix: Matrix) -> None:
    """One row of each method, and one caller for each of its answers: what differs between rows,
    and which callers get an answer, is decided behind both. The long form tries all cells."""
    rows = ROWS if LONG_FORM else FIRST
    cells = [
        (row, AUTHENTICATED if LONG_FORM else a_caller_of_each_answer(row))
        for row in rows
        if matrix.faces["REST"].has(row.method)
    ]
    assert await wrong_cells(matrix, "REST", cells, ("stranger", "outsider")) == []


def a_caller_of_each_answer(row: Row) -> list[str]:
    words = EXPECTED[row.name].words
    return list({words[caller]: caller for caller in reversed(CALLERS)}.values())


async def wrong_cells(
    matrix: Matrix,
    name: str,
    cells: Iterable[tuple[Row, Sequence[str]]],
    twins: Container[str],
) -> list[str]:
    face, few = matrix.faces[name], asyncio.Semaphore(AT_ONCE)

    async def wrong(row: Row, callers: Sequence[str]) -> list[str]:
        expected = EXPECTED[row.name]
        async with few:
            found = await tried(matrix.world, face, row, expected.hidden, callers, twins)
        return [*differences(row, expected, found.expected), *found.faults]

    found = await asyncio.gather(*(wrong(*cell) for cell in cells))
    return [each for some in found for each in some]


def test_each_field_that_names_a_thing_is_tried() -> None:
    tried_fields = {(row.method_name, path) for path, rows in REFERENCES.items() for row in rows}
    assert set(names_of_others()) == tried_fields


@pytest.mark.parametrize("name", ["gRPC", "REST"])
async def test_no_field_tells_whether_a_thing_of_others_exists(matrix: Matrix, name: str) -> None:
    face = matrix.faces[name]
    rows = [row for rows in REFERENCES.values() for row in rows if face.has(row.method)]
    found = [await told_apart(matrix.world, face, row, STRANGER, OWN) for row in rows]
    assert [each for each in found if each] == []
