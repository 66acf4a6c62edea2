"""Many small durable uploads, compared with a bare loop of {write + fsync + one commit}."""

import asyncio
import time
from typing import Any

import psycopg
from crc32c import crc32c as crc32c_of
from mediaservice.v1 import checksums_pb2, upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from benchmarks.bare import AT_ONCE, STORE, DurableLoop
from benchmarks.calls import SMALL, Latencies, at_once
from benchmarks.measure import Bench, take_turns
from benchmarks.report import Contender, Outcome, versus
from benchmarks.transfer import Client, client


def bare_loop(durable: DurableLoop, data: bytes, seconds: float) -> int:
    """The number of files stored in about `seconds`, at the cost of durability alone."""
    end = time.perf_counter() + seconds

    def store(_: int) -> int:
        count = 0
        while time.perf_counter() < end:
            durable.store(data)
            count += 1
        return count

    return sum(durable.executor.map(store, range(AT_ONCE)))


async def bare_store(to: Client, message: upload_service_pb2.WriteUploadRequest) -> None:
    serialize = upload_service_pb2.WriteUploadRequest.SerializeToString
    call: Any = to.bare.stream_unary(STORE, request_serializer=serialize)()
    await call.write(message)
    await call.done_writing()
    await call


async def upload(to: Client, message: upload_service_pb2.WriteUploadRequest) -> None:
    uploads: Any = upload_service_pb2_grpc.UploadServiceStub(to.service)
    call = uploads.WriteUpload(metadata=to.metadata)
    await call.write(message)
    await call.done_writing()
    assert (await call).state == upload_pb2.Upload.FINISHED


async def small(bench: Bench) -> Outcome:
    (data,) = bench.payload.pieces(SMALL, SMALL)
    crc = crc32c_of(data)
    message = upload_service_pb2.WriteUploadRequest(
        spec=upload_pb2.UploadSpec(filename="bench.mp4", size_bytes=SMALL),
        data=data,
        crc32c=crc,
        finish=True,
        checksums=checksums_pb2.Checksums(crc32c=crc),
    )
    latencies = Latencies()
    with psycopg.connect(bench.stack.database_url, autocommit=True) as connection:
        connection.execute("create table bare_loop (name text primary key)")
    durable = DurableLoop(bench.stack.database_url, bench.stack.scratch, AT_ONCE)
    async with client(bench.stack) as to:

        async def bare_uploads() -> float:
            return await asyncio.to_thread(bare_loop, durable, data, bench.seconds)

        async def bare_rpcs() -> float:
            return len(await at_once(AT_ONCE, bench.seconds, lambda: bare_store(to, message)))

        async def uploads() -> float:
            return latencies.add(await at_once(AT_ONCE, bench.seconds, lambda: upload(to, message)))

        found = await take_turns(
            bench,
            {
                "bare write+fsync+commit": bare_uploads,
                "the same behind bare gRPC": bare_rpcs,
                "100 KB uploads": uploads,
            },
            unit=("/s", 1),
            cpu_unit=("ms each", 1e3),
            after=bench.stack.discard,
        )
    limit, measured = found["bare write+fsync+commit"], found["100 KB uploads"]
    behind_rpc = found["the same behind bare gRPC"]
    row = versus("100 KB uploads, 32 concurrent, durable", 0.4, measured, limit, None)
    notes = [
        f"100 KB uploads: {latencies}; {AT_ONCE} callers share one channel, one message each.",
        where_time_goes(measured),
        f"100 KB uploads: {behind_rpc.median / limit.median:.2f} of the limit is what bare gRPC"
        f" makes of the same loop, and {measured.median / behind_rpc.median:.2f} of that is kept.",
    ]
    return Outcome([row], list(found.values()), notes)


def where_time_goes(measured: Contender) -> str:
    spent = ", ".join(f"{role} {ms:.2f}" for role, ms in measured.cpu.items() if role != "Envoy")
    wall = 1e3 / measured.median
    return (
        f"100 KB uploads: one ends every {wall:.2f} ms. CPU ms for each: {spent}."
        f" The server is busy {measured.cpu['server'] / wall:.0%} of the time."
    )
