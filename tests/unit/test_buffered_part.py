"""A part buffered in memory uses little more than its bytes."""

from sys import getsizeof

from hypothesis import given
from hypothesis import strategies as st

from media_service.storage.buffered_part import SMALL, BufferedPart


@given(st.lists(st.binary(max_size=20) | st.binary(min_size=SMALL - 1, max_size=SMALL + 2)))
async def test_pieces_of_any_size_are_returned_in_order(pieces: list[bytes]) -> None:
    part = BufferedPart()
    views = [memoryview(piece) for piece in pieces]
    await part.write(views[:3])
    await part.write(views[3:])
    assert part.take() == b"".join(pieces)


async def test_a_hundred_thousand_single_bytes_use_little_extra_memory() -> None:
    data = bytes(range(250)) * 400
    part = BufferedPart()
    for byte in range(len(data)):
        await part.write([data[byte : byte + 1]])
    held = part._buffers
    assert getsizeof(held) + sum(map(getsizeof, held)) < 2 * len(data)
    assert part.take() == data


async def test_large_pieces_are_kept_without_copying() -> None:
    data = bytes(1 << 20)
    part = BufferedPart()
    await part.write([data])
    assert part.take() is data
