"""The plan of an upload covers the file around the existing parts, or refuses to."""

from collections.abc import Sequence
from random import Random

import pytest
from crc32c import crc32c as crc32c_of
from hypothesis import given
from hypothesis import strategies as st
from mediaservice.v1 import upload_pb2

from media_service_client import MediaServiceError
from media_service_client.plan import Known, slices_of
from media_service_client.source import open_source

OURS = 50  # bytes: the maximum size of a part


def cut(data: bytes, sizes: Sequence[int]) -> list[upload_pb2.Part]:
    """Parts of these sizes, and one of the rest."""
    parts, at = [], 0
    for number, size in enumerate([*sizes, len(data)], 1):
        if piece := data[at : at + size]:
            parts.append(
                upload_pb2.Part(part_number=number, size_bytes=len(piece), crc32c=crc32c_of(piece))
            )
        at += size
    return parts


def plan(data: bytes, stored: list[upload_pb2.Part], claimed: list[upload_pb2.Part]) -> list[bytes]:
    """The pieces into which the file is cut."""
    known = Known({p.part_number: p for p in stored}, {p.part_number: p for p in claimed})
    with open_source(data) as source:
        slices = slices_of(source, upload_pb2.Upload(max_part_size_bytes=OURS), known)
    assert [one.number for one in slices] == list(range(1, len(slices) + 1))
    return [data[one.start : one.end] for one in slices]


# No two offsets have the same bytes, so a part at a wrong offset is detected.
FILE = Random(0).randbytes(400)  # noqa: S311
FILES = st.integers(1, len(FILE)).map(lambda size: FILE[:size])
NUMBERS = st.sets(st.integers(1, 13))


@given(FILES, st.lists(st.integers(1, 60), max_size=12), NUMBERS, NUMBERS)
def test_a_plan_covers_the_file_around_existing_parts_or_is_refused(
    data: bytes, sizes: list[int], here: set[int], promised: set[int]
) -> None:
    parts = cut(data, sizes)
    stored = [part for part in parts if part.part_number in here]
    claimed = [part for part in parts if part.part_number in promised - here]
    try:
        pieces = plan(data, stored, claimed)
    except MediaServiceError as error:
        number = error.metadata["part_number"]
        conflicts = {str(part.part_number) for part in stored + claimed}
        if error.reason != "PART_CONFLICT" or number not in conflicts:
            raise
        return
    assert b"".join(pieces) == data
    for part in stored + claimed:
        piece = pieces[part.part_number - 1]
        assert (part.size_bytes, part.crc32c) == (len(piece), crc32c_of(piece))


@given(FILES, st.integers(1, OURS), NUMBERS)
def test_existing_parts_of_one_size_are_continued(data: bytes, size: int, here: set[int]) -> None:
    parts = cut(data, [size] * (len(data) // size))
    stored = [part for part in parts if part.part_number in here and part.size_bytes == size]
    pieces = plan(data, stored, [])
    assert b"".join(pieces) == data
    for part in stored:
        assert crc32c_of(pieces[part.part_number - 1]) == part.crc32c


@given(FILES, st.integers(1, OURS))
def test_parts_of_another_file_are_refused(data: bytes, size: int) -> None:
    first, *_ = cut(data, [size])
    first.crc32c ^= 1
    with pytest.raises(MediaServiceError) as caught:
        plan(data, [first], [])
    assert caught.value.reason == "SOURCE_CHANGED"
    second = upload_pb2.Part(part_number=2, size_bytes=first.size_bytes, crc32c=first.crc32c)
    with pytest.raises(MediaServiceError) as caught:
        plan(data, [], [second])
    assert caught.value.reason == "PART_CONFLICT"
