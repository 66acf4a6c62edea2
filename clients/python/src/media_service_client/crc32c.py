"""CRC32C of a whole from the CRC32Cs of its pieces, without a read.

Appending zero bytes to a message changes its CRC by a linear map over GF(2); the CRC of a
concatenation is that of the first piece so changed, xor that of the second. Method: Mark Adler's
`crc32_combine` in zlib, with the maps for 1, 2, 4, 8, ... zero bytes kept as tables of what each
byte of a CRC becomes.
"""

from functools import lru_cache

POLYNOMIAL = 0x82F63B78  # Castagnoli, bit-reflected (RFC 3720, appendix B.4)

Map = tuple[list[int], list[int], list[int], list[int]]


@lru_cache(maxsize=64)  # lengths have fewer bits
def zeros(power: int) -> Map:
    """What 2^power zero bytes make of a CRC."""
    images = [appended(1 << bit, power) for bit in range(32)]
    tables: list[list[int]] = []
    for byte in range(0, 32, 8):
        table = [0]
        for image in images[byte : byte + 8]:
            table += [image ^ other for other in table]
        tables.append(table)
    return tables[0], tables[1], tables[2], tables[3]


def appended(crc: int, power: int) -> int:
    """One bit of a CRC with 2^power zero bytes behind it: bit by bit, or as half of them, twice."""
    if power:
        half = zeros(power - 1)
        return through(half, through(half, crc))
    for _ in range(8):
        crc = crc >> 1 ^ POLYNOMIAL if crc & 1 else crc >> 1
    return crc


def through(tables: Map, crc: int) -> int:
    low, second, third, high = tables
    return low[crc & 255] ^ second[crc >> 8 & 255] ^ third[crc >> 16 & 255] ^ high[crc >> 24]


def combine(first: int, second: int, second_length: int) -> int:
    """CRC32C of two pieces joined, from each one's CRC32C and the second's length in bytes."""
    power = 0
    while second_length:
        if second_length & 1:
            first = through(zeros(power), first)
        second_length >>= 1
        power += 1
    return first ^ second
