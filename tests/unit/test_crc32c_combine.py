"""CRC32C of a whole from the CRC32Cs of its pieces."""

from collections.abc import Callable
from functools import reduce

import pytest
from crc32c import crc32c as crc32c_of
from hypothesis import given
from hypothesis import strategies as st

import media_service_client.crc32c
from media_service.storage.crc32c_combine import combine, zeros

Combine = Callable[[int, int, int], int]
# The client must not import the server, and the server's storage must not import gRPC.
each = pytest.mark.parametrize(
    "combine", [combine, media_service_client.crc32c.combine], ids=["server", "client"]
)


@each
@given(first=st.binary(max_size=2000), second=st.binary(max_size=2000))
def test_the_checksum_of_two_pieces_is_combined(
    combine: Combine, first: bytes, second: bytes
) -> None:
    crcs = crc32c_of(first), crc32c_of(second)
    assert combine(*crcs, len(second)) == crc32c_of(first + second)


@each
@given(pieces=st.lists(st.binary(max_size=300), max_size=10))
def test_the_checksum_of_any_number_of_pieces_is_combined(
    combine: Combine, pieces: list[bytes]
) -> None:
    crc = reduce(lambda c, p: combine(c, crc32c_of(p), len(p)), pieces, 0)
    assert crc == crc32c_of(b"".join(pieces))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**45),
    st.integers(0, 2**45),
)
def test_combining_is_associative(a: int, b: int, c: int, b_size: int, c_size: int) -> None:
    left = combine(combine(a, b, b_size), c, c_size)
    assert left == combine(a, combine(b, c, c_size), b_size + c_size)


@each
def test_the_checksum_of_a_large_piece_is_combined(combine: Combine) -> None:
    large = bytes(5 << 20)
    crc = combine(crc32c_of(b"head"), crc32c_of(large), len(large))
    assert crc == crc32c_of(b"head" + large)


def test_combining_with_an_empty_piece_changes_nothing() -> None:
    assert combine(0x12345678, 0, 0) == 0x12345678


def test_different_lengths_share_cached_matrices() -> None:
    for length in range(2**40, 2**40 + 1_000_003, 1009):
        combine(1, 0, length)
    assert zeros.cache_info().misses <= 64


@given(st.integers(0, 2**32 - 1), st.integers(0, 44))
def test_appending_zeros_twice_equals_appending_twice_as_many(crc: int, power: int) -> None:
    half = combine(combine(crc, 0, 2**power), 0, 2**power)
    assert half == combine(crc, 0, 2 ** (power + 1))
