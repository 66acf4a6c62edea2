"""What events cost uploads of 100 KB: the same server with and without them, each with a database
and a store of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from crc32c import crc32c as crc32c_of
from mediaservice.v1 import checksums_pb2, upload_pb2, upload_service_pb2

from benchmarks.bare import AT_ONCE
from benchmarks.calls import SMALL, at_once
from benchmarks.measure import Bench, take_turns
from benchmarks.own_server import serving
from benchmarks.report import Outcome, versus
from benchmarks.small import upload
from benchmarks.stack import new_database
from benchmarks.transfer import Client, channel, client
from benchmarks.unemitted import drop_triggers
from media_service.db.migrate import migrate

WITH, WITHOUT = "uploads with events", "uploads without events"
# Many short runs, because the difference is small.
ROUNDS, SECONDS = 9, 4.0


@contextmanager
def relaying(url: str) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.relaying", url])
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


async def outbox(bench: Bench) -> Outcome:
    (data,) = bench.payload.pieces(SMALL, SMALL)
    crc = crc32c_of(data)
    message = upload_service_pb2.WriteUploadRequest(
        spec=upload_pb2.UploadSpec(filename="bench.mp4", size_bytes=SMALL),
        data=data,
        crc32c=crc,
        finish=True,
        checksums=checksums_pb2.Checksums(crc32c=crc),
    )
    urls = {name: new_database(bench.stack.database_url, name) for name in ("told", "untold")}
    for url in urls.values():
        await migrate(url)
    drop_triggers(urls["untold"])
    with ExitStack() as stack:
        told = stack.enter_context(serving(bench, urls["told"], "told"))
        untold = stack.enter_context(
            serving(bench, urls["untold"], "untold", "benchmarks.unemitted")
        )
        pids = {
            "told": told.pid,
            "untold": untold.pid,
            "event relay": stack.enter_context(relaying(urls["told"])),
        }
        bench = replace(
            bench,
            rounds=max(bench.rounds, ROUNDS),
            seconds=min(bench.seconds, SECONDS),
            stack=replace(bench.stack, pids={**bench.stack.pids, **pids}),
        )

        async def uploads(to: Client) -> float:
            return len(await at_once(AT_ONCE, bench.seconds, lambda: upload(to, message)))

        def discard() -> None:
            for name in urls:
                for path in (bench.stack.folder / f"data-of-{name}/raw/blobs").rglob("*"):
                    if path.is_file():
                        path.unlink()

        async with (
            client(bench.stack) as to,
            channel(told.address) as with_events,
            channel(untold.address) as without,
        ):
            found = await take_turns(
                bench,
                {
                    WITHOUT: partial(uploads, replace(to, service=without)),
                    WITH: partial(uploads, replace(to, service=with_events)),
                },
                unit=("/s", 1),
                cpu_unit=("ms each", 1e3),
                after=discard,
            )
    row = versus("100 KB uploads with events, relayed", 0.95, found[WITH], found[WITHOUT], None)
    return Outcome([row], list(found.values()))
