"""Many small durable uploads beside a bare loop of {write + fsync + one commit}."""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import psycopg
from media.v1 import checksums_pb2, upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from benchmarks.calls import SMALL, Latencies, at_once
from benchmarks.measure import Bench, take_turns
from benchmarks.report import Contender, Outcome, versus
from benchmarks.transfer import Client, client

AT_ONCE = 32


class BareLoop:
    """Threads, each with a connection; nothing but what durability costs."""

    def __init__(
        self, connections: list[psycopg.Connection[Any]], folder: Path, data: bytes
    ) -> None:
        self._connections = connections
        self._folder = folder
        self._data = data
        self._names = itertools.count()

    def run(self, seconds: float) -> int:
        """How many were stored in about so many seconds."""
        end = time.perf_counter() + seconds
        barrier = threading.Barrier(len(self._connections))

        def store(connection: psycopg.Connection[Any]) -> int:
            barrier.wait()
            count = 0
            while time.perf_counter() < end:
                self._store(connection, str(next(self._names)))
                count += 1
            return count

        with ThreadPoolExecutor(len(self._connections)) as threads:
            return sum(threads.map(store, self._connections))

    def _store(self, connection: psycopg.Connection[Any], name: str) -> None:
        with (self._folder / name).open("wb", buffering=0) as file:
            file.write(self._data)
            os.fsync(file.fileno())
        connection.execute("insert into bare_loop (name) values (%s)", [name])


@contextmanager
def bare_loop(bench: Bench, data: bytes) -> Iterator[BareLoop]:
    """Every connection commits each statement by itself."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(psycopg.connect(bench.stack.database_url, autocommit=True))
            for _ in range(AT_ONCE)
        ]
        connections[0].execute("create table bare_loop (name text primary key)")
        yield BareLoop(connections, bench.stack.scratch, data)


async def upload(to: Client, message: upload_service_pb2.WriteUploadRequest) -> None:
    uploads: Any = upload_service_pb2_grpc.UploadServiceStub(to.service)
    call = uploads.WriteUpload(metadata=to.metadata)
    await call.write(message)
    await call.done_writing()
    assert (await call).state == upload_pb2.Upload.FINISHED


async def small(bench: Bench) -> Outcome:
    (data,) = bench.payload.pieces(SMALL, SMALL)
    crc = google_crc32c.value(data)
    message = upload_service_pb2.WriteUploadRequest(
        spec=upload_pb2.UploadSpec(filename="bench.mp4", size_bytes=SMALL),
        data=data,
        crc32c=crc,
        finish=True,
        checksums=checksums_pb2.Checksums(crc32c=crc),
    )
    latencies = Latencies()
    with bare_loop(bench, data) as bare:
        async with client(bench.stack) as to:

            async def bare_uploads() -> float:
                return await asyncio.to_thread(bare.run, bench.seconds)

            async def uploads() -> float:
                return latencies.add(
                    await at_once(AT_ONCE, bench.seconds, lambda: upload(to, message))
                )

            found = await take_turns(
                bench,
                {"bare write+fsync+commit": bare_uploads, "100 KB uploads": uploads},
                unit=("/s", 1),
                cpu_unit=("ms each", 1e3),
                after=bench.stack.discard,
            )
    limit, measured = found["bare write+fsync+commit"], found["100 KB uploads"]
    row = versus("100 KB uploads, 32 concurrent, durable", 0.4, measured, limit, None)
    notes = [
        f"100 KB uploads: {latencies}; {AT_ONCE} callers share one channel, one message each.",
        where_time_goes(measured),
    ]
    return Outcome([row], list(found.values()), notes)


def where_time_goes(measured: Contender) -> str:
    spent = ", ".join(f"{role} {ms:.2f}" for role, ms in measured.cpu.items() if role != "Envoy")
    wall = 1e3 / measured.median
    return (
        f"100 KB uploads: one ends every {wall:.2f} ms. CPU ms for each: {spent}."
        f" The server is busy {measured.cpu['server'] / wall:.0%} of the time."
    )
