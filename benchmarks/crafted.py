"""Crafted files: what other callers notice while a caller uploads files that are slow to parse."""

import asyncio
import time
from collections import Counter
from typing import Any

import grpc
import psutil
from mediaservice.v1 import upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from benchmarks.many import Memory
from benchmarks.measure import MIB, Bench, say
from benchmarks.report import Outcome
from benchmarks.transfer import client
from benchmarks.trickle import MEMORY, P99_MS, Reads, row

# A file of empty segments: its size is behind all of them.
CRAFTED = (b"\xff\xd8" + b"\xff\xe0\0\2" * (MIB // 4))[:MIB]
BYTES_PER_SECOND = 1_000_000


async def send_crafted(bench: Bench, outcomes: Counter[str]) -> None:
    """Uploads crafted files at a fixed rate until cancelled, however long the uploads take."""
    spec = upload_pb2.UploadSpec(filename="crafted.jpg", size_bytes=len(CRAFTED))
    message = upload_service_pb2.WriteUploadRequest(spec=spec, data=CRAFTED, finish=True)
    async with client(bench.stack) as to, asyncio.TaskGroup() as group:
        uploads: Any = upload_service_pb2_grpc.UploadServiceStub(to.service)

        async def upload() -> None:
            try:
                await uploads.WriteUpload(iter([message]), metadata=to.metadata)
                outcomes["stored"] += 1
            except grpc.aio.AioRpcError as error:
                outcomes[f"{error.code().name}: {error.details()}"] += 1

        while True:
            group.create_task(upload())
            await asyncio.sleep(len(CRAFTED) / BYTES_PER_SECOND)


async def crafted(bench: Bench) -> Outcome:
    memory = Memory([psutil.Process(bench.stack.pids[name]) for name in ("server", "Envoy")])
    reads = Reads(bench)
    outcomes: Counter[str] = Counter()
    reading = asyncio.create_task(reads.run())
    await asyncio.sleep(bench.seconds)
    alone = reads.p99()
    watching = asyncio.create_task(memory.watch())
    sending = asyncio.create_task(send_crafted(bench, outcomes))
    start = time.perf_counter()
    await asyncio.sleep(3 * bench.seconds)
    seconds = time.perf_counter() - start
    under_load = reads.p99()
    for task in (sending, reading, watching):
        task.cancel()
    await asyncio.gather(sending, reading, watching, return_exceptions=True)
    bench.stack.discard()
    say(f"  p99 of GetMedia {under_load:.0f} ms, {alone:.0f} ms without crafted files")
    what = "crafted JPEGs at 1 MB/s"
    rows = [
        row(f"{what}: p99 of GetMedia", "ms", P99_MS, under_load, most=True),
        row(f"{what}: server and Envoy", "MiB", MEMORY / MIB, memory.highest / MIB, most=True),
    ]
    ends = ", ".join(f"{count} {end}" for end, count in outcomes.items())
    note = f"{what} for {seconds:.0f} s: {ends}. p99 of GetMedia without them: {alone:.0f} ms."
    return Outcome(rows, [], [note])
