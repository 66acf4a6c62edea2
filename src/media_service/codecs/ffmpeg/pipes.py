"""What ffmpeg writes, as it comes: nothing lies on the disk on the way."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PIECE = 1 << 20


class Pipe:
    """`file`: where a program writes. Close it (`hand_over`) once the program has it: what is read
    ends when nobody can write any more."""

    def __init__(self, reader: asyncio.StreamReader, file: int) -> None:
        self.file = file
        self._reader = reader

    def hand_over(self) -> None:
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)

    async def pieces(self) -> AsyncIterator[bytes]:
        while piece := await self._reader.read(PIECE):
            yield piece


@asynccontextmanager
async def pipe() -> AsyncIterator[Pipe]:
    """A pipe, for as long as the context lasts; the program that writes to it then is refused."""
    out, into = os.pipe()
    made: Pipe | None = None
    try:
        reader = asyncio.StreamReader(limit=PIECE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(out, "rb", 0)
        )
        made = Pipe(reader, into)
        try:
            yield made
        finally:
            transport.close()
    finally:
        if made:
            made.hand_over()
        else:
            with suppress(OSError):
                os.close(into)
