"""BatchTagMedia of a thousand media by an editor of their project, beside the bare UPDATE."""

import statistics
import time
from functools import partial
from typing import Any

import psycopg
from mediaservice.v1 import batch_service_pb2, batch_service_pb2_grpc

from benchmarks.measure import Bench, say
from benchmarks.own_server import as_user, filled_database, ms, p95, row, server
from benchmarks.report import Outcome
from benchmarks.rows import MEDIA, ONE, fill
from benchmarks.transfer import channel

QUICK_MEDIA = 20_000
AT_ONCE = 1000
ROUNDS = 10
MOST_MS = 300.0
CHOSEN = """
    select media_id::text from media
    where project_id = 'project-1' and delete_time is null order by media_id limit %s
"""
BARE = "update media set title = %s, revision = revision + 1 where media_id = any(%s::uuid[])"


async def batch(bench: Bench) -> Outcome:
    media = QUICK_MEDIA if bench.seconds < 10 else MEDIA
    say(f"  {media} media ...")
    url = await filled_database(bench, "batch", partial(fill, media=media))
    with psycopg.connect(url, autocommit=True) as db:
        ids = [found[0] for found in db.execute(CHOSEN, (AT_ONCE,)).fetchall()]
        took: list[float] = []
        bare: list[float] = []
        with server(bench, url, "batch") as address:
            async with channel(address) as opened:
                stub: Any = batch_service_pb2_grpc.BatchServiceStub(opened)
                call = as_user(bench, stub.BatchTagMedia, ONE)
                for number in range(-3, ROUNDS * bench.rounds):  # the first ones warm up
                    request = batch_service_pb2.BatchTagMediaRequest(
                        media_ids=ids,
                        add_tags=[f"round-{number}"],
                        remove_tags=[f"round-{number - 1}"],
                    )
                    answer, needed = await ms(call(request))
                    if answer.changed_count != len(ids):
                        raise RuntimeError(f"{answer.failed_count} media were not tagged")
                    start = time.perf_counter()
                    db.execute(BARE, (f"bare-{number % 2}", ids))
                    if number >= 0:
                        took.append(needed)
                        bare.append((time.perf_counter() - start) * 1e3)
    note = (
        f"{len(ids)} of {media} media, by an EDITOR of their project:"
        f" p95 {p95(took):.0f} ms. The bare UPDATE of the same rows, without"
        f" permissions, audit log and events, takes {statistics.median(bare):.0f} ms."
    )
    median = row(f"BatchTagMedia of {len(ids)}: median", statistics.median(took), MOST_MS)
    return Outcome([median], [], [note])
