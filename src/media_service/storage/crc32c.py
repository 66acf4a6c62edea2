"""CRC32C of a whole from the CRC32Cs of its pieces, without a read.

Appending n zero bytes to a message multiplies its CRC, as a polynomial over GF(2), by x^8n modulo
the Castagnoli polynomial; the CRC of a concatenation is that of the first piece so shifted, xor
that of the second. Method: Mark Adler's `crc32_combine` in zlib, in its multiply-modulo form.
"""

import base64
from functools import lru_cache

from crc32c import crc32c as crc32c_of

POLYNOMIAL = 0x82F63B78  # Castagnoli, bit-reflected (RFC 3720, appendix B.4)


def encoded(crc32c: int) -> str:
    """As object stores write it: base64 of four bytes, big-endian."""
    return base64.b64encode(crc32c.to_bytes(4)).decode()


def decoded(text: str) -> int:
    """What was `encoded`."""
    return int.from_bytes(base64.b64decode(text))


def checksum(data: bytes) -> str:
    """CRC32C as object stores write it."""
    return encoded(crc32c_of(data))


def multiply(a: int, b: int) -> int:
    """a × b modulo the polynomial; bit 31 is x^0."""
    product = 0
    mask = 1 << 31
    while True:
        if a & mask:
            product ^= b
            if not a & (mask - 1):
                return product
        mask >>= 1
        if not mask:
            return product
        b = b >> 1 ^ POLYNOMIAL if b & 1 else b >> 1


@lru_cache(maxsize=64)
def shift(length: int) -> int:
    """x^(8 × length) modulo the polynomial."""
    power, square = 1 << 31, 1 << 23  # x^0, x^8
    while length:
        if length & 1:
            power = multiply(square, power)
        square = multiply(square, square)
        length >>= 1
    return power


def combine(first: int, second: int, second_length: int) -> int:
    """CRC32C of two pieces joined, from each one's CRC32C and the second's length in bytes."""
    return multiply(shift(second_length), first) ^ second
