"""What remains of a file: ranges that are kept, bytes that replace others, and zeros."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass


class NotStrippable(Exception):
    """The metadata of this file cannot be removed without encoding it again."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of the file from `start` to `end`, or bytes in hexadecimal, or a number of zeros."""

    start: int = 0
    end: int = 0
    data: str = ""
    zeros: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """An open file."""

    descriptor: int
    size: int

    def at(self, offset: int, length: int) -> bytes:
        """Raises NotStrippable if the file ends before."""
        data = os.pread(self.descriptor, length, offset)
        if len(data) != length or offset < 0:
            raise NotStrippable
        return data

    def text(self, offset: int, length: int) -> bytes:
        """Like `at`, but shorter if the file ends before."""
        return os.pread(self.descriptor, length, offset)


Strip = Callable[[Source], Sequence[Piece]]


def keep(start: int, end: int) -> Piece:
    return Piece(start, end)


def new(data: bytes) -> Piece:
    return Piece(data=data.hex())
