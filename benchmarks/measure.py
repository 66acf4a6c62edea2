"""Timing: contenders alternate, so that other load of the machine affects all of them."""

import os
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from benchmarks.payload import Payload
from benchmarks.report import Contender
from benchmarks.stack import Stack

GIB = 1 << 30
MIB = 1 << 20

# Does one run, and returns how much it did: bytes, calls.
Work = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Bench:
    """What every benchmark gets."""

    stack: Stack
    payload: Payload
    rounds: int
    # How long a run lasts that counts calls.
    seconds: float
    # How much is sent while memory is watched.
    memory_bytes: int
    # How many uploads are open at once.
    crowd: int

    @property
    def size(self) -> str:
        return f"{self.payload.size / GIB:g} GiB"


@dataclass(frozen=True)
class Run:
    amount: float
    seconds: float
    cpu: Mapping[str, float]  # seconds, by role

    @property
    def rate(self) -> float:
        return self.amount / self.seconds


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """CPU time spent so far, by role. Of two processes in one role only one has work at a time."""
    roles = {
        "server": ["server", "bare", "tusd", "server on S3", "relay"],
        "Envoy": ["Envoy", "bare Envoy"],
        "PostgreSQL": ["PostgreSQL"],
        "S3": ["S3"],
        "peer": ["pyvips 0", "pyvips 1", "thumbor"],
    }
    spent = {
        role: sum(of_family(stack.pids[name]) for name in names if name in stack.pids)
        for role, names in roles.items()
    }
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {**spent, "client": sum(usage.ru_utime + usage.ru_stime for usage in own)}


def of_family(pid: int) -> float:
    """CPU seconds of a process and its children, those that have ended included."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return sum(sum(member.cpu_times()[:4]) for member in family)


async def timed(stack: Stack, work: Work) -> Run:
    os.sync()  # what others left to write is not this one's to wait for
    before, start = cpu_seconds(stack), time.perf_counter()
    amount = await work()
    seconds = time.perf_counter() - start
    after = cpu_seconds(stack)
    return Run(amount, seconds, {role: after[role] - before[role] for role in after})


async def take_turns(
    bench: Bench,
    contenders: Mapping[str, Work],
    *,
    unit: tuple[str, float],
    cpu_unit: tuple[str, float],
    after: Callable[[], None] = lambda: None,
) -> dict[str, Contender]:
    """Runs each contender once to warm up, then all of them in turn, `bench.rounds` times.

    Units are (name, how much of the amount per second, or of the seconds per amount, is one).
    `after` clears up after each run, untimed.
    """
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(bench.rounds + 1):
        for name, work in contenders.items():
            run = await timed(bench.stack, work)
            after()
            label = f"{number} of {bench.rounds}" if number else "warm-up"
            say(f"  {name}, {label}: {run.rate / unit[1]:.0f} {unit[0]}")
            if number:
                runs[name].append(run)
    return {
        name: Contender(
            name=name,
            unit=unit[0],
            runs=[run.rate / unit[1] for run in of_one],
            cpu_unit=cpu_unit[0],
            cpu=cpu_per_amount(of_one, cpu_unit[1]),
        )
        for name, of_one in runs.items()
    }


def cpu_per_amount(runs: Sequence[Run], scale: float) -> dict[str, float]:
    return {
        role: statistics.median(run.cpu[role] / run.amount * scale for run in runs)
        for role in runs[0].cpu
    }
