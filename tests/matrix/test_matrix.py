"""Who may call what: each method, as each caller, over gRPC and REST."""

import asyncio
from collections import Counter

import pytest

from tests.matrix.references import OWN, REFERENCES, STRANGER, names_of_others
from tests.matrix.rows import BY_NAME, ROWS, Row
from tests.matrix.running import Matrix
from tests.matrix.table import Expected, read
from tests.matrix.trial import differences, told_apart, tried

EXPECTED = read()
AT_ONCE = 4


def test_each_method_has_a_row_and_each_row_a_line() -> None:
    assert {row.method_name for row in ROWS} == set(BY_NAME)
    names = Counter(row.name for row in ROWS)
    assert names == dict.fromkeys(EXPECTED, 1)


@pytest.mark.parametrize("name", ["gRPC", "REST"])
async def test_each_cell_is_answered_as_the_table_says(matrix: Matrix, name: str) -> None:
    face, few = matrix.faces[name], asyncio.Semaphore(AT_ONCE)

    async def wrong(row: Row, expected: Expected) -> list[str]:
        async with few:
            found = await tried(matrix.world, face, row, expected.hidden)
        return [*differences(row, expected, found.expected), *found.faults]

    rows = [row for row in ROWS if face.has(row.method)]
    found = await asyncio.gather(*(wrong(row, EXPECTED[row.name]) for row in rows))
    assert [each for some in found for each in some] == []


def test_each_field_that_names_a_thing_is_tried() -> None:
    tried_fields = {(row.method_name, path) for path, rows in REFERENCES.items() for row in rows}
    assert set(names_of_others()) == tried_fields


@pytest.mark.parametrize("name", ["gRPC", "REST"])
async def test_no_field_tells_whether_a_thing_of_others_exists(matrix: Matrix, name: str) -> None:
    face = matrix.faces[name]
    rows = [row for rows in REFERENCES.values() for row in rows if face.has(row.method)]
    found = [await told_apart(matrix.world, face, row, STRANGER, OWN) for row in rows]
    assert [each for each in found if each] == []
