"""The sizes of the pieces in which content is read and sent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Over gRPC, messages of 256 KiB to 1 MiB are fastest for downloads; `make bench` measures it.
LARGE = 512 << 10
# With its framing, one frame of HTTP/2: a second frame would cost a page of memory more in Envoy.
SMALL = (16 << 10) - 64
# How many readers may be sent a large piece at the same time.
MAX_LARGE = 32

# A number of bytes, or a function that is asked for it before each piece is read.
PieceSize = int | Callable[[], int]


def bytes_of(size: PieceSize) -> int:
    return size if isinstance(size, int) else size()


class PieceSizes:
    """Selects the sizes of pieces, so that readers who take nothing hold little memory.

    A piece, and copies of it, stay in memory until the reader takes it. So only `MAX_LARGE` pieces
    of all readers may be large at any time. While many readers do not take theirs, the others
    receive small pieces, which costs more CPU time for the same bytes.
    """

    def __init__(self) -> None:
        self._large = 0

    @contextmanager
    def reader(self) -> Iterator[PieceSize]:
        """The size of the next piece of one reader. To ask for it means that the reader has taken
        the previous piece."""
        holds_large = False

        def next_size() -> int:
            nonlocal holds_large
            if not holds_large and self._large < MAX_LARGE:
                self._large += 1
                holds_large = True
            return LARGE if holds_large else SMALL

        try:
            yield next_size
        finally:
            self._large -= holds_large
