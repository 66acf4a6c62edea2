"""Counts distinct people over any period, from one small sketch per day.

Up to `EXACT` people are counted exactly. Beyond, it is a HyperLogLog with 4096 registers and the
estimator of Otmar Ertl (2017, arXiv:1702.01284), whose standard error is 1.6 %.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from typing import Self

EXACT = 500
HASH_BYTES = 8
BITS = 12
REGISTERS = 1 << BITS
VALUE_BITS = 64 - BITS
SPARSE, DENSE = b"\0", b"\1"


class People:
    """A set of people. `hashes`: all of them, or None if there are too many."""

    def __init__(self) -> None:
        self.hashes: set[int] | None = set()
        self.registers = bytearray()

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        people = cls()
        for person_id in ids:
            people._add(hash_of(person_id))
        return people

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        people = cls()
        if data[:1] == DENSE:
            people.hashes, people.registers = None, bytearray(data[1:])
            return people
        for start in range(1, len(data), HASH_BYTES):
            people._add(int.from_bytes(data[start : start + HASH_BYTES]))
        return people

    def to_bytes(self) -> bytes:
        if self.hashes is None:
            return DENSE + bytes(self.registers)
        return SPARSE + b"".join(value.to_bytes(HASH_BYTES) for value in sorted(self.hashes))

    def merge(self, other: "People") -> None:
        if other.hashes is not None:
            for value in other.hashes:
                self._add(value)
            return
        self._condense()
        self.registers = bytearray(map(max, self.registers, other.registers))

    def __len__(self) -> int:
        if self.hashes is not None:
            return len(self.hashes)
        counts = Counter(self.registers)
        z = REGISTERS * tau(1 - counts[VALUE_BITS + 1] / REGISTERS)
        for value in range(VALUE_BITS, 0, -1):
            z = (z + counts[value]) / 2
        z += REGISTERS * sigma(counts[0] / REGISTERS)
        return round(REGISTERS * REGISTERS / (2 * math.log(2) * z))

    def _add(self, value: int) -> None:
        if self.hashes is not None:
            self.hashes.add(value)
            if len(self.hashes) > EXACT:
                self._condense()
            return
        self._register(value)

    def _condense(self) -> None:
        if self.hashes is None:
            return
        hashes, self.hashes = self.hashes, None
        self.registers = bytearray(REGISTERS)
        for value in hashes:
            self._register(value)

    def _register(self, value: int) -> None:
        register, rest = value >> VALUE_BITS, value & ((1 << VALUE_BITS) - 1)
        rank = VALUE_BITS - rest.bit_length() + 1
        self.registers[register] = max(self.registers[register], rank)


def hash_of(person_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(person_id.encode(), digest_size=HASH_BYTES).digest())


def sigma(x: float) -> float:
    if x == 1:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x, before = x * x, z
        z += x * y
        y += y
    return z


def tau(x: float) -> float:
    if x in {0, 1}:
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x, before = math.sqrt(x), z
        y /= 2
        z -= (1 - x) ** 2 * y
    return z / 3
