"""Computes the CRC32C of joined data from the CRC32Cs of its pieces, without reading the data.
Appending zero bytes to a message changes its CRC by a linear map over GF(2). The CRC of a
concatenation is the first CRC under that map, xor the second. The method is Mark Adler's
`crc32_combine` in zlib. Here, the maps for 1, 2, 4, 8, ... zero bytes are kept as tables with an
entry for each value of each byte of a CRC.
"""

import base64
from functools import lru_cache

from crc32c import crc32c as crc32c_of

POLYNOMIAL = 0x82F63B78  # Castagnoli, bit-reflected (RFC 3720, appendix B.4)


def to_base64(crc32c: int) -> str:
    """The form that object stores use: base64 of four bytes, big-endian."""
    return base64.b64encode(crc32c.to_bytes(4)).decode()


def from_base64(text: str) -> int:
    return int.from_bytes(base64.b64decode(text))


def base64_of(data: bytes) -> str:
    """The CRC32C of `data` in the form that object stores use."""
    return to_base64(crc32c_of(data))


Map = tuple[list[int], list[int], list[int], list[int]]


@lru_cache(maxsize=64)  # a length has fewer bits
def zeros(power: int) -> Map:
    """The map for 2^power zero bytes."""
    images = [append_zeros(1 << bit, power) for bit in range(32)]
    tables: list[list[int]] = []
    for byte in range(0, 32, 8):
        table = [0]
        for image in images[byte : byte + 8]:
            table += [image ^ other for other in table]
        tables.append(table)
    return tables[0], tables[1], tables[2], tables[3]


def append_zeros(crc: int, power: int) -> int:
    """The CRC after 2^power zero bytes. One byte is computed bit by bit. For more, the map for half
    of the bytes is applied twice."""
    if power:
        half = zeros(power - 1)
        return apply(half, apply(half, crc))
    for _ in range(8):
        crc = crc >> 1 ^ POLYNOMIAL if crc & 1 else crc >> 1
    return crc


def apply(tables: Map, crc: int) -> int:
    low, second, third, high = tables
    return low[crc & 255] ^ second[crc >> 8 & 255] ^ third[crc >> 16 & 255] ^ high[crc >> 24]


def combine(first: int, second: int, second_length: int) -> int:
    """Returns the CRC32C of two joined pieces. `second_length` is the length of the second piece in
    bytes."""
    power = 0
    while second_length:
        if second_length & 1:
            first = apply(zeros(power), first)
        second_length >>= 1
        power += 1
    return first ^ second
