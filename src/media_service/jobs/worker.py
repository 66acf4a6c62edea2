"""Claims jobs, runs them, and sees to it that each one ends.

A job is held by a lease that is renewed while it runs. A worker that dies stops renewing, and
another claims the job; one that was only slow finds out when it renews, and its handler is
cancelled.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from datetime import timedelta

from media_service.db.database import Database
from media_service.db.notify import Notifier
from media_service.errors import (
    MediaError,
    Reason,
    ResourceExhausted,
    Timeout,
    Unavailable,
)
from media_service.failpoints import failpoint
from media_service.jobs import queries
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind
from media_service.types import Fault, new_id

log = logging.getLogger(__name__)

# A dead worker's job is taken over after this long.
LEASE = timedelta(seconds=30)
# A lost wake-up delays a job by this much at most.
POLL_SECONDS = 10.0
# While the database is out of reach.
OUTAGE_SECONDS = 2.0
ATTEMPTS = 5
# The delays grow fourfold, 5 s, 20 s, 80 s, 320 s: together longer than a restart of a store.
FIRST_DELAY_SECONDS = 5.0

TRANSIENT = (Unavailable, ResourceExhausted, Timeout)


def backoff(attempt: int) -> timedelta:
    """How long to wait after the n-th failure; spread, so that retries do not come all at once."""
    seconds = FIRST_DELAY_SECONDS * 4 ** (attempt - 1)
    return timedelta(seconds=seconds * random.uniform(0.5, 1.5))  # noqa: S311


def to_fault(error: BaseException) -> Fault:
    """What may be told of an error. An unknown one is logged whole and shown as an id."""
    if isinstance(error, MediaError):
        return Fault(error.reason, error.message)
    error_id = new_id()
    log.error("job failed, error %s", error_id, exc_info=error)
    return Fault(Reason.INTERNAL, f"An internal error happened; its id is {error_id}.")


class Worker:
    """Runs up to `slots` jobs at once. `lease` is how long a job stays its own without a renewal;
    it is renewed three times in that time."""

    def __init__(
        self,
        database: Database,
        notifier: Notifier,
        handlers: Mapping[JobKind, JobHandler],
        slots: int,
        lease: timedelta = LEASE,
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._handlers = handlers
        self._slots = slots
        self._lease = lease
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Works until cancelled; then puts unfinished jobs back, to be run at once elsewhere."""
        try:
            with self._notifier.listen("jobs", "*", lambda _: self._wake.set()):
                while True:
                    self._wake.clear()
                    await self._wait(await self._fill())
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _wait(self, seconds: float | None) -> None:
        """Until a job may be there, or one ends, or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _fill(self) -> float | None:
        """Starts jobs in all free slots; returns how long to wait for more, None for a slot."""
        try:
            while len(self._running) < self._slots:
                async with self._database.connection() as db:
                    claim = await queries.claim(db, self._lease)
                    if claim is None:
                        due = await queries.seconds_until_due(db)
                        # A job that is due and was not got is being claimed by another worker.
                        return POLL_SECONDS if due is None else min(max(due, 0.1), POLL_SECONDS)
                    failpoint("job.claim.after")
                    self._start(claim)
        except Exception as error:  # whatever it is, tomorrow's jobs need this loop
            known = isinstance(error, Unavailable)
            log.warning("no jobs can be claimed: %s", error, exc_info=None if known else error)
            return OUTAGE_SECONDS
        return None

    def _start(self, claim: Claim) -> None:
        task = asyncio.create_task(self._job(claim), name=f"{claim.kind} {claim.subject_id}")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()):
            # Its lease ends by itself, and it is claimed again.
            log.error("the end of a job could not be recorded: %s", error)

    async def _job(self, claim: Claim) -> None:
        if claim.attempt > ATTEMPTS:
            # The last attempts ended without a word: it takes the worker with it.
            fault = Fault(Reason.INTERNAL, "The work was tried several times and never ended.")
            await self._handlers[claim.kind].give_up(claim, fault)
            return
        work = asyncio.create_task(self._handlers[claim.kind].run(claim))
        try:
            held = await self._hold(claim, work)
        except BaseException:
            work.cancel()
            await asyncio.wait({work})
            await self._put_back(claim)
            raise
        if held:
            await self._settle(claim, work)
        else:
            log.warning("job %s was taken over by another worker", claim.job_id)

    async def _hold(self, claim: Claim, work: asyncio.Task[None]) -> bool:
        """Renews the lease until the work ends; False, and the work cancelled, if it is lost."""
        while True:
            await asyncio.wait({work}, timeout=self._lease.total_seconds() / 3)
            if work.done():
                return True
            try:
                async with self._database.connection() as db:
                    held = await queries.renew(db, claim, self._lease)
            except Unavailable:
                continue  # the fencing token protects the job meanwhile
            if not held and not work.done():
                work.cancel()
                await asyncio.wait({work})
                return False

    async def _settle(self, claim: Claim, work: asyncio.Task[None]) -> None:
        """Records a failure; a success was recorded by the handler, with its effects."""
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if error is None:
            return
        fault = to_fault(error)
        transient = isinstance(error, TRANSIENT) or not isinstance(error, MediaError)
        if transient and claim.attempt < ATTEMPTS:
            delay = backoff(claim.attempt)
            log.warning("job %s again in %s: %s", claim.job_id, delay, fault.message)
            async with self._database.connection() as db:
                await queries.retry_later(db, claim, delay, fault)
        else:
            log.warning("job %s given up: %s", claim.job_id, fault.message)
            await self._handlers[claim.kind].give_up(claim, fault)

    async def _put_back(self, claim: Claim) -> None:
        try:
            async with self._database.connection() as db:
                await queries.put_back(db, claim)
        except Unavailable:
            return  # its lease ends by itself
        self._notifier.publish("jobs", claim.job_id)
