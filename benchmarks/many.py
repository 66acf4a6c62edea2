"""Ten thousand concurrently open uploads on two otherwise idle servers."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psutil

from benchmarks.crowd import SIZE, PhaseResult
from benchmarks.measure import MIB, Bench, of_family, say
from benchmarks.report import Outcome, Row
from benchmarks.stack import await_port, free_ports

SERVERS = 2
# The server admits 256 streams on a connection.
CHANNELS = 20
LIMIT = 1536 * MIB
SAMPLE_SECONDS = 0.5
# How long all uploads are kept open, to measure the cost of idle streams.
OPEN_SECONDS = 5.0


@dataclass
class Memory:
    """The memory of all servers: the sum of their proportional set sizes, in bytes."""

    processes: Sequence[psutil.Process]
    highest: int = 0

    def now(self) -> int:
        used = sum(int(process.memory_full_info().pss) for process in self.processes)
        self.highest = max(self.highest, used)
        return used

    async def watch(self) -> None:
        while True:
            await asyncio.to_thread(self.now)
            await asyncio.sleep(SAMPLE_SECONDS)


@contextmanager
def servers(bench: Bench) -> Iterator[list[tuple[str, psutil.Process]]]:
    """Starts new servers in addition to the stack's. Yields addresses and processes."""
    with ExitStack() as stack:
        log = stack.enter_context(bench.stack.log.open("ab"))
        started = []
        for port in free_ports(SERVERS):
            # Streams may be idle while all the others open.
            own = {"MEDIA_GRPC_PORT": str(port), "MEDIA_STREAM_TIMEOUT": "10m"}
            process = subprocess.Popen(
                [sys.executable, "-m", "media_service", "serve"],
                env={**os.environ, **bench.stack.settings, **own},
                stdout=log,
                stderr=log,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            await_port(port)
            started.append((f"127.0.0.1:{port}", psutil.Process(process.pid)))
        yield started


async def clients(bench: Bench, address: str, count: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.crowd", address, str(count), str(CHANNELS)),
        env={**os.environ, "MEDIA_TOKEN": bench.stack.token},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


async def read_result(crowd: asyncio.subprocess.Process) -> PhaseResult:
    assert crowd.stdout
    line = await crowd.stdout.readline()
    if not line:
        raise RuntimeError(f"the clients ended with {await crowd.wait()}")
    return PhaseResult(**json.loads(line))


def combined(phases: Sequence[PhaseResult]) -> PhaseResult:
    errors: Counter[str] = Counter()
    for phase in phases:
        errors.update(phase.errors)
    slowest = max(phase.seconds for phase in phases)
    return PhaseResult(sum(phase.done for phase in phases), slowest, dict(errors))


async def many(bench: Bench) -> Outcome:
    with servers(bench) as running:
        processes = [process for _, process in running]
        memory = Memory(processes)
        before = memory.now()
        watching = asyncio.create_task(memory.watch())
        share = bench.crowd // SERVERS
        crowds = [await clients(bench, address, share) for address, _ in running]
        opened = combined(await asyncio.gather(*map(read_result, crowds)))
        say(f"  open: {opened}")
        spent, start = sum(of_family(p.pid) for p in processes), time.perf_counter()
        await asyncio.sleep(OPEN_SECONDS)
        idle = (sum(of_family(p.pid) for p in processes) - spent) / (time.perf_counter() - start)
        held = memory.now()
        for crowd in crowds:
            assert crowd.stdin
            crowd.stdin.write(b"\n")
        ended = combined(await asyncio.gather(*map(read_result, crowds)))
        say(f"  finished: {ended}")
        watching.cancel()
        memory.now()
        for crowd in crowds:
            await crowd.wait()
    bench.stack.discard()
    failed = bench.crowd - ended.done
    count = f"{bench.crowd} uploads open at once"
    rows = [
        Row(
            figure=f"{count}, {SERVERS} servers: failed",
            unit="",
            target=0.0,
            at_most=True,
            measured=failed,
            limit=bench.crowd,
            limit_name="all",
        ),
        Row(
            figure=f"{count}: memory of both servers",
            unit="MiB",
            target=1.0,
            at_most=True,
            measured=memory.highest / MIB,
            limit=LIMIT / MIB,
            limit_name="as asked for",
        ),
    ]
    notes = [
        f"{count}, {SIZE >> 10} KiB each: all opened and durable in {opened.seconds:.1f} s, all"
        f" finished in {ended.seconds:.1f} s. Memory: {before / MIB:.0f} MiB before,"
        f" {held / MIB:.0f} MiB while all were open and rested (which took {idle:.0%} of a core),"
        f" at most {memory.highest / MIB:.0f} MiB."
    ]
    notes += [
        f"failed {times} times: {why}" for why, times in (opened.errors | ended.errors).items()
    ]
    return Outcome(rows, [], notes)
