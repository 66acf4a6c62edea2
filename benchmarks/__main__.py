"""`python -m benchmarks` reports every figure beside a limit measured in the same run."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.access import access
from benchmarks.attack import stalled, unfinished
from benchmarks.audio import audio
from benchmarks.audit import audit
from benchmarks.batch import batch
from benchmarks.cache import cache
from benchmarks.calls import calls
from benchmarks.catalogue import catalogue
from benchmarks.crafted import crafted
from benchmarks.downloads import downloads
from benchmarks.duplicates import duplicates
from benchmarks.events import events
from benchmarks.frozen import frozen
from benchmarks.images import images
from benchmarks.jobs import jobs
from benchmarks.many import many
from benchmarks.measure import GIB, MIB, Bench, say
from benchmarks.memory import memory
from benchmarks.outbox import outbox
from benchmarks.parts import parts
from benchmarks.payload import make_payload
from benchmarks.rabbitmq import rabbitmq
from benchmarks.rates import rates
from benchmarks.render import render
from benchmarks.report import Outcome, save, show
from benchmarks.s3 import s3
from benchmarks.scanning import scanning
from benchmarks.search import search
from benchmarks.small import small
from benchmarks.stack import MESSAGE, running
from benchmarks.starving import starving
from benchmarks.trickle import trickle
from benchmarks.uploads import uploads
from benchmarks.videos import videos
from benchmarks.webhooks import webhooks

# On the disk that `dev` stores on by default; git ignores it.
RESULTS = Path(__file__).resolve().parent / "results"
SPACE = 12 * GIB

BENCHMARKS: Mapping[str, Callable[[Bench], Coroutine[Any, Any, Outcome]]] = {
    "uploads": uploads,
    "downloads": downloads,
    "s3": s3,
    "parts": parts,
    "render": render,
    "calls": calls,
    "access": access,
    "batch": batch,
    "cache": cache,
    "catalogue": catalogue,
    "search": search,
    "duplicates": duplicates,
    "rates": rates,
    "rabbitmq": rabbitmq,
    "webhooks": webhooks,
    "small": small,
    "jobs": jobs,
    "starving": starving,
    "memory": memory,
    "many": many,
    "trickle": trickle,
    "crafted": crafted,
    "stalled": stalled,
    "unfinished": unfinished,
    "frozen": frozen,
    "images": images,
    "videos": videos,
    "audio": audio,
    "audit": audit,
    "events": events,
    "outbox": outbox,
    "scanning": scanning,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="may be repeated")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="256 MiB and 3 seconds: a smoke test, not a measurement",
    )
    arguments = parser.parse_args()
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # the default of the service
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    RESULTS.mkdir(exist_ok=True)
    if not arguments.quick and shutil.disk_usage(RESULTS).free < SPACE:
        sys.exit(f"{SPACE / GIB:.0f} GiB of free space are needed in {RESULTS}")
    with tempfile.TemporaryDirectory(prefix="run-", dir=RESULTS) as name:
        outcomes = run_all(Path(name), arguments.only or list(BENCHMARKS), quick=arguments.quick)
    print(show(outcomes))
    save(RESULTS / "latest.json", outcomes, quick=arguments.quick)


def run_all(folder: Path, names: list[str], *, quick: bool) -> list[Outcome]:
    say("Starting PostgreSQL, the server, Envoy and the bare limits (no worker) ...")
    with running(folder) as stack:
        bench = Bench(
            stack=stack,
            payload=make_payload(folder / "payload.mp4", 256 * MIB if quick else GIB),
            rounds=3,
            seconds=3 if quick else 10,
            memory_bytes=GIB if quick else 4 * GIB,
            crowd=1000 if quick else 10_000,
        )
        outcomes = []
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for name in names:
                say(f"{name}:")
                try:
                    outcomes.append(runner.run(BENCHMARKS[name](bench)))
                except Exception:
                    say(stack.log.read_text()[-4000:])
                    raise
    setting = (
        f"Medians of {bench.rounds} runs after a warm-up, limit and measured in turn. Server and"
        " Envoy run without a worker: ingest comes after the answer."
        f" gRPC messages carry {MESSAGE >> 10} KiB. CPU time is that of the server process alone"
        " in the first table."
    )
    return [*outcomes, Outcome([], [], [setting])]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
