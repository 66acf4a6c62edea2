"""A call that waits at a point of the test's choice."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from mediaservice.v1 import upload_service_pb2

from tests.support.rpc.server import Caller, Refusal, refused

MIB = 1 << 20

Write = upload_service_pb2.WriteUploadRequest


@dataclass
class Held:
    """A stream that sends some bytes, waits for the test, and then sends the rest."""

    caller: Caller
    upload_id: str
    offset: int
    first: bytes
    rest: bytes = b""
    _goes_on: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._call = asyncio.create_task(self.caller.write(self._messages()))

    def _messages(self) -> Iterator[Write]:
        for piece in (self.first, self.rest):
            for at in range(0, len(piece), MIB):
                yield Write(upload_id=self.upload_id, offset=self.offset, data=piece[at : at + MIB])
                self.offset += MIB
            self._goes_on.wait(60)

    async def counted(self, size: int) -> None:
        await self.caller.until_upload(self.upload_id, lambda it: it.committed_size_bytes == size)

    async def refused(self) -> Refusal:
        self._goes_on.set()
        return await refused(self._call)
