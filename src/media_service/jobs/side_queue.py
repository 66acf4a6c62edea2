"""Runs waiting jobs of one kind beside the slots of the worker, several at once.

It is for jobs of the service itself that only wait for a store, such as the removal of bytes. In
the slots, a million of them would take days, and delay the work of callers.
"""

import asyncio

from media_service.db.database import Database
from media_service.jobs.attempt import Attempt
from media_service.jobs.handler import JobHandler
from media_service.jobs.periodic import Batches
from media_service.jobs.queries import claiming
from media_service.jobs.worker import LEASE

CONCURRENT = 8


async def run_waiting(database: Database, handler: JobHandler) -> Batches:
    """Runs the waiting jobs of a handler, `CONCURRENT` at once, until none is left. A job that
    fails is retried later, as in a slot."""
    while True:
        async with database.connection() as db:
            claims = await claiming.claim_of_kind(db, handler.kind, CONCURRENT, LEASE)
        attempts = [Attempt(database, handler, claim, LEASE).run() for claim in claims]
        ends = await asyncio.gather(*attempts, return_exceptions=True)
        if errors := [end for end in ends if end is not None]:
            raise errors[0]
        if not claims:
            return
        yield len(claims)
