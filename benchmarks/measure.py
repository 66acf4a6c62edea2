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

# Performs one run and returns its amount of work, such as bytes or calls.
Work = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Bench:
    """The settings of a benchmark run, and its stack."""

    stack: Stack
    payload: Payload
    rounds: int
    # The duration of runs that count calls.
    seconds: float
    # The bytes sent while memory is sampled.
    memory_bytes: int
    # The number of concurrently open uploads.
    crowd: int

    @property
    def size(self) -> str:
        return f"{self.payload.size / GIB:g} GiB"


@dataclass(frozen=True)
class Run:
    amount: float
    seconds: float
    cpu: Mapping[str, float]  # CPU seconds by role

    @property
    def rate(self) -> float:
        return self.amount / self.seconds


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """CPU time spent so far by role. If two processes share a role, only one works at a time."""
    roles = {
        "server": [
            *("server", "bare", "tusd", "server on S3", "relay", "unaudited", "told", "untold"),
        ],
        "event relay": ["event relay"],
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
    """CPU seconds of a process and its children, including those that have ended."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return sum(sum(member.cpu_times()[:4]) for member in family)


async def timed(stack: Stack, work: Work) -> Run:
    os.sync()  # do not wait for data that earlier runs left to write
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

    A unit is its name and the amount per second, or seconds per amount, that equals one unit.
    `after` cleans up after each run, untimed.
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
