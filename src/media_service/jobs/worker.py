"""Claims jobs and runs them.

A worker holds a job with a lease, which it renews while the job runs. If the worker dies, the lease
expires and another worker claims the job. If the worker was only slow, the next renewal fails and
the worker cancels its handler.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta

from media_service.db.database import Database
from media_service.db.events import JobRunnable
from media_service.db.transaction import Connection
from media_service.errors import Unavailable
from media_service.failpoints import failpoint
from media_service.jobs import queries
from media_service.jobs.attempt import Attempt, take
from media_service.jobs.fair_queue import FairQueue
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind

log = logging.getLogger(__name__)

# The duration of a lease. The jobs of a dead worker can be claimed again after this time.
LEASE = timedelta(seconds=30)
# The maximum delay of a job if a wake-up is lost.
POLL_SECONDS = 10.0
# The pause after a database error.
OUTAGE_SECONDS = 2.0


class Worker:
    """Runs up to `slots` jobs concurrently. For `lease`, see `Attempt`."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[JobKind, JobHandler],
        slots: int,
        lease: timedelta = LEASE,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._slots = slots
        self._lease = lease
        self._queue = FairQueue()
        self._wake = asyncio.Event()
        self._running: dict[asyncio.Task[None], Claim] = {}

    async def run(self) -> None:
        """Runs until cancelled. Then puts unfinished jobs back, so that other workers run them."""
        try:
            with self._database.listen(JobRunnable, "", lambda _: self._wake.set()):
                while True:
                    self._wake.clear()
                    await self._wait(await self._fill())
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _wait(self, seconds: float | None) -> None:
        """Waits for a wake-up, the end of a job, or the timeout."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _fill(self) -> float | None:
        """Starts jobs in all free slots. Returns the seconds to wait before the next call, or None
        to wait until a job ends."""
        try:
            if len(self._running) < self._slots:
                await self._release()
            while len(self._running) < self._slots:
                claim = await take(self._database, self._claim)
                if claim is None:
                    return await self._pause()
                failpoint("job.claim.after")
                self._start(claim)
        except Exception as error:  # the loop must survive any error
            known = isinstance(error, Unavailable)
            log.warning("cannot claim jobs: %s", error, exc_info=None if known else error)
            return OUTAGE_SECONDS
        return None

    async def _claim(self, db: Connection) -> Claim | None:
        running = self._running.values()
        return await self._queue.claim(db, self._lease, running, heavy=self._takes_heavy)

    @property
    def _takes_heavy(self) -> bool:
        """Whether to claim heavy jobs. They leave one slot free for other jobs, if there is more
        than one slot."""
        return sum(claim.heavy for claim in self._running.values()) < max(1, self._slots - 1)

    async def _pause(self) -> float:
        """Returns the seconds until a job may be available."""
        async with self._database.connection() as db:
            due = await queries.seconds_until_due(db, heavy=self._takes_heavy)
        # A job that is due and was not claimed is being claimed by another worker.
        return POLL_SECONDS if due is None else min(max(due, 0.1), POLL_SECONDS)

    async def _release(self) -> None:
        """Makes jobs claimable if they are due or their lease has expired."""
        async with self._database.connection() as db:
            await queries.release_due(db)

    def _start(self, claim: Claim) -> None:
        handler = self._handlers[claim.kind]
        attempt = Attempt(self._database, handler, claim, self._lease)
        task = asyncio.create_task(attempt.run(), name=f"{claim.kind} {claim.subject_id}")
        self._running[task] = claim
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._wake.set()
        if not task.cancelled() and (error := task.exception()):
            # The lease expires, and the job is claimed again.
            log.error("cannot record the end of a job: %s", error)
