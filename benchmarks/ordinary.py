"""What a service in ordinary use has done, before its memory is compared with that after an attack.

A process that has served nothing has not yet filled its pools and caches.
"""

import asyncio
import contextlib

from benchmarks.measure import MIB, Bench
from benchmarks.payload import make_payload
from benchmarks.transfer import client, curl, curl_discard

SIDE_BY_SIDE = 200
SIZE = 1 * MIB


async def ordinary_use(bench: Bench) -> None:
    """Makes 200 uploads at once over gRPC, 200 over REST, and 200 downloads over REST."""
    payload = make_payload(bench.stack.folder / "ordinary.mp4", SIZE)
    parallel = ("-Z", "--parallel-immediate", "--parallel-max", str(SIDE_BY_SIDE))
    numbers = f"[1-{SIDE_BY_SIDE}]"
    async with client(bench.stack) as to:
        media_id = await to.upload(payload, SIZE)
        await asyncio.gather(*(to.upload(payload, SIZE) for _ in range(SIDE_BY_SIDE)))
        await curl(
            *(*to.bearer, *parallel, "-H", "Content-Type: video/mp4"),
            *("--data-binary", f"@{payload.path}", "-o", "/dev/null"),
            f"{bench.stack.rest}/v1/media:upload?filename={numbers}.mp4",
        )
        await curl(
            *(*to.bearer, *parallel, "-o", "/dev/null"),
            f"{bench.stack.rest}/v1/media/{media_id}/content#{numbers}",
        )
        await curl_discard(SIZE, *to.bearer, f"{bench.stack.rest}/v1/media/{media_id}/content")


async def occasional_use(bench: Bench) -> None:
    """Asks for a media over REST once a second, until cancelled. Envoy's allocator returns free
    pages when it needs others: without any request, only five minutes after a peak."""
    async with client(bench.stack) as to:
        media_id = await to.upload(bench.payload, SIZE)
        while True:
            with contextlib.suppress(RuntimeError):  # refused during an attack
                await curl(*to.bearer, "-o", "/dev/null", f"{bench.stack.rest}/v1/media/{media_id}")
            await asyncio.sleep(1)
