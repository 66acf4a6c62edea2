"""Uploads that trickle: what their messages cost, and what other callers notice."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import psutil
import psycopg
from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from benchmarks.crowd import describe
from benchmarks.many import Memory
from benchmarks.measure import MIB, Bench, cpu_seconds, say
from benchmarks.ordinary import ordinary_use
from benchmarks.report import Outcome, Row
from benchmarks.transfer import client
from benchmarks.tricklers import SIZE, Result
from media_service.cli.token_signing import sign
from media_service.config import load

PROCESSES = 2
CHANNELS = 8
# Each upload sends one message in this many seconds.
INTERVAL = 1.0
SMALL = 100_000
# The calls of GetMedia that are made beside the uploads, each second.
CALLS_PER_SECOND = 50
P99_MS = 250.0
PER_CORE = 1500.0
COMMIT_SECONDS = 2.0
MEMORY = 800 * MIB


@dataclass(frozen=True)
class Clients:
    process: asyncio.subprocess.Process

    async def line(self) -> str:
        assert self.process.stdout
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the clients ended with {await self.process.wait()}")
        return line.decode()

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"\n")


async def clients(bench: Bench, user: str, count: int) -> Clients:
    config = load(bench.stack.settings)
    token = sign(config, config.jwt_secret, user, timedelta(days=1))
    arguments = (bench.stack.grpc, str(count), str(CHANNELS), str(INTERVAL))
    return Clients(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.tricklers", *arguments),
            env={**os.environ, "MEDIA_TOKEN": token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    )


class Reads:
    """Calls GetMedia at a fixed rate, however long the calls take."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._milliseconds: list[float] = []
        self._pending: set[float] = set()
        self.errors: Counter[str] = Counter()

    async def run(self) -> None:
        """Runs until cancelled."""
        bench = self._bench
        async with client(bench.stack) as to, asyncio.TaskGroup() as group:
            media: Any = media_service_pb2_grpc.MediaServiceStub(to.service)
            media_id = await to.upload(bench.payload, SMALL)
            request = media_service_pb2.GetMediaRequest(media_id=media_id)

            async def call() -> None:
                start = time.perf_counter()
                self._pending.add(start)
                try:
                    await media.GetMedia(request, metadata=to.metadata)
                    self._milliseconds.append((time.perf_counter() - start) * 1e3)
                except grpc.aio.AioRpcError as error:
                    self.errors[f"GetMedia: {describe(error)}"] += 1
                finally:
                    self._pending.remove(start)

            while True:
                group.create_task(call())
                await asyncio.sleep(1 / CALLS_PER_SECOND)

    def forget(self) -> None:
        self._milliseconds.clear()

    def p99(self) -> float:
        """Of the calls since `forget`, including those that are not answered yet."""
        now = time.perf_counter()
        all_calls = self._milliseconds + [(now - start) * 1e3 for start in self._pending]
        return statistics.quantiles(all_calls, n=100)[98]


async def durable(bench: Bench) -> int:
    """The bytes of all uploads that are recorded as durable."""
    async with await psycopg.AsyncConnection.connect(bench.stack.database_url) as db:
        row = await (await db.execute("select sum(committed_size)::bigint from uploads")).fetchone()
        assert row
        return int(row[0])


async def trickle(bench: Bench) -> Outcome:
    count = bench.crowd // 5
    memory = Memory([psutil.Process(bench.stack.pids[name]) for name in ("server", "Envoy")])
    unused = memory.now()
    await ordinary_use(bench)
    await asyncio.sleep(6 * bench.seconds)
    before = memory.now()
    watching = asyncio.create_task(memory.watch())
    reads = Reads(bench)
    reading = asyncio.create_task(reads.run())
    users = [f"trickler-{number}" for number in range(PROCESSES)]
    running = [await clients(bench, user, count // PROCESSES) for user in users]
    for one in running:
        await one.line()
    opening = reads.p99()
    say(f"  open, p99 of GetMedia meanwhile {opening:.0f} ms")
    for one in running:
        one.go_on()
        await one.line()
    reads.forget()
    stored, spent, start = await durable(bench), cpu_seconds(bench.stack), time.perf_counter()
    await asyncio.sleep(3 * bench.seconds)
    seconds, messages = time.perf_counter() - start, (await durable(bench) - stored) / SIZE
    cpu = {role: spent_now - spent[role] for role, spent_now in cpu_seconds(bench.stack).items()}
    under_load = reads.p99()
    for one in running:
        one.go_on()
    results = [Result(**json.loads(await one.line())) for one in running]
    for one in running:
        await one.process.wait()
    reading.cancel()
    oldest = max(result.oldest_uncommitted for result in results)
    opened = sum(result.opened for result in results)
    errors = reads.errors.copy()
    for result in results:
        errors.update(result.errors)
    bench.stack.discard()
    await asyncio.sleep(6 * bench.seconds)
    watching.cancel()
    after = memory.now()
    what = f"{count} uploads that trickle"
    rows = [
        row(f"{what}: durable messages per core", "/s", PER_CORE, messages / cpu["server"]),
        row(f"{what}: age of the oldest uncommitted byte", "s", COMMIT_SECONDS, oldest, most=True),
        row(f"{what}: p99 of GetMedia", "ms", P99_MS, under_load, most=True),
        row(f"{what}: server and Envoy", "MiB", MEMORY / MIB, memory.highest / MIB, most=True),
        row(f"{what}: memory afterwards", "MiB", 1.3 * before / MIB, after / MIB, most=True),
    ]
    finished = sum(result.finished for result in results)
    each = ", ".join(f"{role} {spent / messages * 1e3:.2f} ms" for role, spent in cpu.items())
    notes = [
        f"{opened} of {count} were admitted, and {finished} finished. {messages / seconds:.0f}"
        f" messages of 3 KiB became durable in a second. CPU time of each: {each}. p99 of GetMedia"
        f" while the uploads opened: {opening:.0f} ms. Memory was {before / MIB:.0f} MiB before,"
        f" {after / MIB:.0f} MiB {6 * bench.seconds:g} s after, {unused / MIB:.0f} before any use."
    ]
    notes += [f"failed {times} times: {why}" for why, times in errors.items()]
    return Outcome(rows, [], notes)


def row(figure: str, unit: str, limit: float, measured: float, *, most: bool = False) -> Row:
    return Row(
        figure=figure,
        unit=unit,
        target=1.0,
        at_most=most,
        measured=measured,
        limit=limit,
        limit_name="as asked for",
    )
