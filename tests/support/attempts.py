"""`python -m tests.support.attempts MEDIA ATTEMPTS` lets a sandboxed task try what is forbidden, as
the child of a service without capabilities, and prints the outcomes."""

import asyncio
import json
import sys
from pathlib import Path

from media_service.codecs.sandbox.confine import drop_capabilities
from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.sandbox.pool import Sandbox
from tests.support import hostile_tasks
from tests.support.sandbox import LIMITS, TASKS


async def main() -> None:
    media, attempts = Path(sys.argv[1]), json.loads(sys.argv[2])
    async with (
        ForkServer() as fork_server,
        Sandbox(fork_server, TASKS, LIMITS, children=1, tasks_per_child=50) as sandbox,
    ):
        for attempt in attempts:
            outcome = await sandbox.run(f"{hostile_tasks.__name__}:attempt", media, **attempt)
            sys.stdout.write(f"{outcome}\n")


if __name__ == "__main__":
    drop_capabilities()
    asyncio.run(main())
