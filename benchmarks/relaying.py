"""`python -m benchmarks.relaying URL`: the relay and the sink of webhooks, as in a worker that has
no jobs."""

import asyncio
import sys

import uvloop

from media_service.db.database import Database
from media_service.events.relay import Relay
from media_service.webhooks.sink import WebhookSink


async def run(url: str) -> None:
    async with Database(url, 4) as database:
        await Relay(database, [WebhookSink(database, "http://localhost:8080")]).run()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(sys.argv[1]))
