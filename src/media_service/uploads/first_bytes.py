"""Refuses an upload by its first bytes, before the rest of it arrives."""

from collections.abc import Sequence

from media_service.codecs.detection.beginnings import LEAST_BYTES
from media_service.media.pixels import HEAD
from media_service.storage.buffer import Buffer
from media_service.uploads.acceptance import Acceptance

# More bytes hardly tell more about a type. The whole `HEAD` is looked at if they do not tell it.
BEGINNING = 64 << 10


class FirstBytes:
    """Holds the first bytes of an upload until they tell whether it can be accepted. Once some of
    them are counted, it holds only as few as tell nothing, so that many slow uploads need little
    memory. What is not refused by then is refused when the upload completes."""

    def __init__(self, acceptance: Acceptance, declared_type: str) -> None:
        self._acceptance = acceptance
        self._declared_type = declared_type
        self._pieces: list[Buffer] = []
        self._size = 0
        self._next_look = LEAST_BYTES
        self._decided = False

    def add(self, pieces: Sequence[Buffer]) -> None:
        """Raises InvalidArgument (TYPE_MISMATCH, TYPE_NOT_ALLOWED, PIXEL_LIMIT_EXCEEDED)."""
        if self._decided:
            return
        self._pieces += pieces
        self._size += sum(map(len, pieces))
        if self._size >= self._next_look:
            self._next_look = 2 * self._size
            known = self._acceptance.check_beginning(self._first(BEGINNING), self._declared_type)
            # The pixels are further behind.
            self._decided = known and not self._acceptance.policies.stated
        if not self._decided and self._size >= HEAD:
            self._decided = True
            self._acceptance.check_content(self._first(HEAD), self._declared_type)
        if self._decided:
            self._pieces.clear()

    def counted(self) -> None:
        """Notes that some of the bytes are counted."""
        if self._decided:
            return
        self._decided = self._size >= LEAST_BYTES
        self._pieces = [] if self._decided else [self._first(LEAST_BYTES)]

    def _first(self, most: int) -> bytes:
        """At most so many of the first bytes, copied."""
        taken, size = [], 0
        for piece in self._pieces:
            if size >= most:
                break
            taken.append(piece[: most - size])
            size += len(piece)
        return b"".join(taken)
