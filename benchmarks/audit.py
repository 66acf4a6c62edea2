"""Many small downloads, compared with a server that does not record them."""

import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from benchmarks.calls import SMALL, Latencies, at_once
from benchmarks.measure import Bench, take_turns
from benchmarks.report import Outcome, versus
from benchmarks.stack import await_port, free_ports
from benchmarks.transfer import Client, channel, client
from media_service.cli.supervisor import Supervisor

CALLERS = 16
# Different media, so that no two entries are repetitions.
MEDIA = 200


async def audit(bench: Bench) -> Outcome:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    environ = {**os.environ, **bench.stack.settings, "MEDIA_GRPC_PORT": str(port)}
    latencies = {"recorded": Latencies(), "not recorded": Latencies()}
    with ExitStack() as stack:
        children = stack.enter_context(Supervisor())
        log = stack.enter_context((bench.stack.folder / "log").open("ab"))
        children.start("unaudited", (sys.executable, "-m", "benchmarks.unaudited"), environ, log)
        await_port(port)
        pids = {**bench.stack.pids, "unaudited": children.processes["unaudited"].process.pid}
        bench = replace(bench, stack=replace(bench.stack, pids=pids))
        async with client(bench.stack) as to, channel(address) as unaudited:
            media = [await to.upload(bench.payload, SMALL) for _ in range(MEDIA)]
            without = Client(to.stack, unaudited, to.bare)

            async def downloads(which: Client, name: str) -> float:
                waiting = iter(media * 1000)
                found = await at_once(
                    CALLERS, bench.seconds, lambda: which.download(next(waiting), SMALL)
                )
                return latencies[name].add(found)

            found = await take_turns(
                bench,
                {
                    "downloads, not recorded": partial(downloads, without, "not recorded"),
                    "downloads, recorded": partial(downloads, to, "recorded"),
                },
                unit=("/s", 1),
                cpu_unit=("ms/download", 1e3),
            )
    bench.stack.discard()
    limit, measured = found["downloads, not recorded"], found["downloads, recorded"]
    rows = [versus("100 KB downloads with the audit log", 0.9, measured, limit, None)]
    notes = [f"{name}: {each}" for name, each in latencies.items()]
    return Outcome(rows, list(found.values()), notes)
