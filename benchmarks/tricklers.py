"""One process of clients whose uploads trickle: `python -m benchmarks.tricklers ADDRESS COUNT
CHANNELS INTERVAL`.

It prints a line when all uploads are open or refused, another after a line from its input, and ends
the uploads. It measures how old the oldest byte is that was sent and is not in committed_size.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter, deque
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc
import uvloop
from mediaservice.v1 import upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from benchmarks.crowd import describe
from benchmarks.payload import HEADER
from media_service_client.channel import OPTIONS

Message = upload_service_pb2.WriteUploadRequest
SIZE = 3 << 10
FIRST = HEADER.ljust(SIZE, b"a")
NEXT = b"b" * SIZE
# Uploads start over this many seconds. Each keeps its own phase.
RAMP_SECONDS = 10.0
SAMPLE_SECONDS = 0.1


@dataclass
class Result:
    """What a process saw: open uploads, uploads that finished, the largest age of an uncommitted
    byte in seconds, and failures by cause."""

    opened: int = 0
    finished: int = 0
    oldest_uncommitted: float = 0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass
class Trickle:
    """One open upload."""

    call: Any
    upload_id: str
    size: int = SIZE
    # The ends of the latest messages, and when they were sent.
    latest: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=64))

    async def run(self, interval: float, stop: asyncio.Event) -> None:
        due = time.monotonic()
        while not stop.is_set():
            due += interval
            await asyncio.sleep(due - time.monotonic())
            start = time.monotonic()
            if self.call.done():
                await self.call  # raises its error
            await self.call.write(Message(offset=self.size, data=NEXT))
            self.size += SIZE
            self.latest.append((self.size, start))

    def age_of(self, committed: int) -> float:
        """The age of the first byte after `committed`."""
        now = time.monotonic()
        return max((now - sent for end, sent in self.latest if end > committed), default=0)

    async def end(self) -> None:
        await self.call.write(Message(offset=self.size, finish=True))
        await self.call.done_writing()
        upload = await self.call
        if upload.committed_size_bytes != self.size:
            raise RuntimeError(f"{self.size} bytes were sent: {upload}")


class Tricklers:
    def __init__(self, stubs: list[Any], count: int, interval: float) -> None:
        self._stubs = stubs
        self._count = count
        self._interval = interval
        self._metadata = (("authorization", f"Bearer {os.environ['MEDIA_TOKEN']}"),)
        self._running: dict[asyncio.Task[None], Trickle] = {}
        self._errors: Counter[str] = Counter()
        self._stop = asyncio.Event()
        self._oldest = 0.0

    async def open_all(self) -> None:
        await asyncio.gather(*(self._open(number) for number in range(self._count)))

    async def _open(self, number: int) -> None:
        await asyncio.sleep(RAMP_SECONDS * number / self._count)
        call = self._stubs[number % len(self._stubs)].WriteUpload(metadata=self._metadata)
        try:
            spec = upload_pb2.UploadSpec(filename="bench.mp4")
            with suppress(asyncio.InvalidStateError):  # the call has failed, as is noticed below
                await call.write(Message(spec=spec, data=FIRST))
            received = dict(await call.initial_metadata() or ())
            if "x-upload-id" not in received:
                await call  # raises the error of the call
            trickle = Trickle(call, received["x-upload-id"])
            task = asyncio.create_task(trickle.run(self._interval, self._stop))
            self._running[task] = trickle
        except grpc.aio.AioRpcError as error:
            self._errors[describe(error)] += 1

    async def measure(self) -> None:
        """Samples the age of uncommitted bytes until cancelled."""
        rng = random.Random(0)
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            if not self._running:
                continue
            task, trickle = rng.choice(list(self._running.items()))
            request = upload_service_pb2.GetUploadRequest(upload_id=trickle.upload_id)
            upload = await rng.choice(self._stubs).GetUpload(request, metadata=self._metadata)
            if not task.done():  # the server may end it because it is overloaded
                self._oldest = max(self._oldest, trickle.age_of(upload.committed_size_bytes))

    @property
    def opened(self) -> int:
        return sum(not task.done() for task in self._running)

    async def end_all(self) -> Result:
        self._stop.set()
        opened = self.opened
        ended = await asyncio.gather(*self._running, return_exceptions=True)
        good = [
            trickle
            for trickle, error in zip(self._running.values(), ended, strict=True)
            if error is None
        ]
        ended += await asyncio.gather(*(t.end() for t in good), return_exceptions=True)
        failed = [error for error in ended if isinstance(error, BaseException)]
        self._errors.update(map(describe, failed))
        finished = len(self._running) - len(failed)
        return Result(opened, finished, self._oldest, dict(self._errors))


async def main(address: str, count: int, channels: int, interval: float) -> None:
    async with AsyncExitStack() as stack:
        stubs = [
            upload_service_pb2_grpc.UploadServiceStub(
                await stack.enter_async_context(
                    grpc.aio.insecure_channel(address, options=list(OPTIONS))
                )
            )
            for _ in range(channels)
        ]
        tricklers = Tricklers(stubs, count, interval)
        await tricklers.open_all()
        print(json.dumps(asdict(Result(tricklers.opened))), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        measuring = asyncio.create_task(tricklers.measure())
        print(flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        measuring.cancel()
        result = await tricklers.end_all()
        print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
