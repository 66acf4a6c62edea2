"""Claims jobs like an idle worker."""

from datetime import timedelta

from media_service.db.transaction import Connection
from media_service.jobs.fair_queue import FairQueue
from media_service.jobs.model import Claim
from media_service.jobs.queries import claiming

LEASE = timedelta(minutes=1)


async def claim(db: Connection, lease: timedelta = LEASE) -> Claim | None:
    """Claims the next job, including delayed jobs that are due and jobs of dead workers."""
    await claiming.release_due(db)
    return await FairQueue().claim(db, lease, [])
