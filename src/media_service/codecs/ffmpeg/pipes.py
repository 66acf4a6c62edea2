"""Pipes to read the output of ffmpeg while it is written, without a file on disk."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 1 << 20


class Pipe:
    """A pipe from a program. The program writes to `file`. Close it (`hand_over`) after the program
    has started. Otherwise, reading never ends."""

    def __init__(self, reader: asyncio.StreamReader, file: int) -> None:
        self.file = file
        self._reader = reader

    def hand_over(self) -> None:
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)

    async def read(self) -> AsyncIterator[bytes]:
        while data := await self._reader.read(CHUNK_BYTES):
            yield data


@asynccontextmanager
async def open_pipe() -> AsyncIterator[Pipe]:
    """Opens a pipe. After the context ends, writing to it fails."""
    read_end, write_end = os.pipe()
    pipe: Pipe | None = None
    try:
        reader = asyncio.StreamReader(limit=CHUNK_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
        )
        pipe = Pipe(reader, write_end)
        try:
            yield pipe
        finally:
            transport.close()
    finally:
        if pipe:
            pipe.hand_over()
        else:
            with suppress(OSError):
                os.close(write_end)
