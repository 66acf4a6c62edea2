"""One attempt at a job, from its claim to its end."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from media_service.db.database import Database
from media_service.db.notifications import JobChanged
from media_service.db.transaction import Connection
from media_service.errors import (
    DeadlineExceeded,
    Fault,
    InvalidArgument,
    MediaError,
    Reason,
    ResourceExhausted,
    Unavailable,
)
from media_service.ids import new_id
from media_service.jobs.handler import GaveWay, JobHandler
from media_service.jobs.model import Claim
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs

log = logging.getLogger(__name__)

# How often work may fail. An attempt that ended because its worker died, or because the store, the
# database or the virus scanner was unavailable, does not count.
ATTEMPTS = 5
# How often an outage may end an attempt: with the delays below, a job survives an outage of a day.
# But it must end, because what looks like an outage may concern only the bytes of this job.
MAX_OUTAGES = 270
# MEDIA_NOT_READY: the media waits for its virus scan.
OUTAGE_REASONS = {
    Reason.STORAGE_UNAVAILABLE,
    Reason.DATABASE_UNAVAILABLE,
    Reason.SCAN_UNAVAILABLE,
    Reason.BROKER_UNAVAILABLE,
    Reason.MEDIA_NOT_READY,
}
# Each delay is four times the previous one: 5 s, 20 s, 80 s, and then always 320 s.
FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 5.0, 320.0
# How many workers may die while they run a job. Media is opened only in sandboxed children, so most
# deaths are not the fault of the job: with the delays of `claiming.LOST_DELAY`, a job survives an
# hour in which its workers are restarted or out of memory all the time. But one that does kill its
# workers must end, because the other jobs of these workers suffer.
MAX_LOST_LEASES = 10
# The minimum interval between two records of progress.
PROGRESS_SECONDS = 0.25
# The delay of the first renewal. The job may have been cancelled before this worker listened.
FIRST_RENEWAL = timedelta(seconds=0.5)
# The delay after a failed renewal.
NEXT_RENEWAL = timedelta(seconds=0.2)
# Errors after which a retry may succeed.
TRANSIENT = (Unavailable, ResourceExhausted, DeadlineExceeded)


def backoff(failures: int) -> timedelta:
    """The delay after the n-th failure, randomized so that retries do not coincide."""
    seconds = min(FIRST_DELAY_SECONDS * 4 ** min(failures - 1, 9), MAX_DELAY_SECONDS)
    return timedelta(seconds=seconds * random.uniform(0.5, 1.5))  # noqa: S311


def to_fault(error: BaseException) -> Fault:
    """Returns the information about an error that callers may see. For an unexpected error, this is
    an id that is also logged."""
    if isinstance(error, MediaError):
        return Fault(error.reason, error.message, error.metadata)
    error_id = new_id()
    log.error("job failed, error %s", error_id, exc_info=error)
    return Fault(Reason.INTERNAL, f"An internal error occurred. Its id is {error_id}.")


async def take(
    database: Database, claiming: Callable[[Connection], Awaitable[Claim | None]]
) -> Claim | None:
    """Claims a job. If this task is cancelled, the job is put back immediately rather than when its
    lease expires, if possible."""

    async def claimed() -> Claim | None:
        async with database.connection() as db:
            return await claiming(db)

    task = asyncio.create_task(claimed())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):  # it must not replace the cancellation
            claim = await task
            if claim is not None:
                async with database.connection() as db:
                    await claimed_jobs.put_back(db, claim)
        raise


class Attempt:
    """Runs a claimed job. `lease` is how long the claim is valid without a renewal. It is renewed
    three times in this period."""

    def __init__(
        self,
        database: Database,
        handler: JobHandler,
        claim: Claim,
        lease: timedelta,
    ) -> None:
        self._database = database
        self._handler = handler
        self._lease = lease
        self._progress = Progress()
        self._lost = False
        self._giving_way = False
        # Set when another process has changed the job, or when it must give way.
        self._changed = asyncio.Event()
        self.claim = claim

    async def run(self) -> None:
        """Runs the job, or puts it back when cancelled."""
        if self.claim.lost_leases >= MAX_LOST_LEASES:
            why = f"{self.claim.lost_leases} workers died while they ran the job."
            await self._handler.give_up(self.claim, Fault(Reason.INTERNAL, why))
        else:
            await self._try()

    def give_way(self) -> None:
        """Stops the job and puts it back into the queue, unless it ends at this moment."""
        self._giving_way = True
        self._changed.set()

    async def _try(self) -> None:
        work = asyncio.create_task(self._work())
        recording = asyncio.create_task(self._record_progress())
        try:
            held = await self._hold(work)
        except BaseException:
            if not self._lost:  # otherwise, it is already cancelled and may be cleaning up
                work.cancel()
            await asyncio.wait({work})
            await self._put_back()
            raise
        finally:
            recording.cancel()
            await asyncio.wait({recording})
        if held:
            await self._settle(work)
        elif self._giving_way:
            await self._put_back()
            log.info("job %s gave way to the job of another owner", self.claim.job_id)
        else:
            log.info("job %s was cancelled, or another worker holds it", self.claim.job_id)

    async def _work(self) -> None:
        """Runs the handler. Raises InvalidArgument (PROCESSING_LIMIT_EXCEEDED) if it takes too
        long."""
        time_limit = self._handler.time_limit
        seconds = time_limit.total_seconds() if time_limit else None
        try:
            async with asyncio.timeout(seconds) as limit:
                await self._handler.run(self.claim, self._progress)
        except TimeoutError:
            if not limit.expired():
                raise
            raise InvalidArgument(
                Reason.PROCESSING_LIMIT_EXCEEDED,
                f"The job takes longer than {seconds:g} seconds.",
                limit="wall_seconds",
                value=f"{seconds:g}",
            ) from None

    async def _record_progress(self) -> None:
        """Records reported progress until cancelled."""
        while True:
            await self._progress.changed()
            stage, percent = self._progress.stage, self._progress.percent
            try:
                async with self._database.connection() as db:
                    await claimed_jobs.report(db, self.claim, stage, percent)
            except Unavailable:
                pass  # the next report replaces this one
            await asyncio.sleep(PROGRESS_SECONDS)

    async def _hold(self, work: asyncio.Task[None]) -> bool:
        """Renews the lease until the work ends. If the job is lost or must give way, cancels the
        work and returns False. Renews immediately when another process has changed the job."""

        def changed(notification: JobChanged) -> None:
            if notification.fence != self.claim.fence:
                self._changed.set()

        with self._database.listen(JobChanged, self.claim.job_id, changed):
            pause = min(FIRST_RENEWAL, self._lease / 3)
            while True:
                await until(work, self._changed, pause)
                if work.done():
                    return True
                if self._giving_way:
                    await self._stop(work)
                    return False
                try:
                    async with self._database.connection() as db:
                        held = await claimed_jobs.renew(db, self.claim, self._lease)
                except Unavailable:
                    pause = NEXT_RENEWAL  # meanwhile, the fence protects the job
                    continue
                pause = self._lease / 3
                if not held and not work.done():
                    await self._stop(work)
                    return False

    async def _stop(self, work: asyncio.Task[None]) -> None:
        self._lost = True
        work.cancel()
        await asyncio.wait({work})

    async def _settle(self, work: asyncio.Task[None]) -> None:
        """Records a failure. The handler records a success together with its effects."""
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if error is None:
            return
        if isinstance(error, GaveWay):
            await self._put_back()
            return
        claim, fault = self.claim, to_fault(error)
        outage = isinstance(error, Unavailable) and error.reason in OUTAGE_REASONS
        transient = isinstance(error, TRANSIENT) or not isinstance(error, MediaError)
        failures, most = (
            (claim.outages + 1, MAX_OUTAGES) if outage else (claim.try_number, ATTEMPTS)
        )
        if transient and failures < most:
            delay = backoff(failures)
            log.warning("job %s runs again in %s: %s", claim.job_id, delay, fault.message)
            async with self._database.connection() as db:
                await claimed_jobs.retry_later(db, claim, delay, fault, outage=outage)
        else:
            log.warning("job %s failed permanently: %s", claim.job_id, fault.message)
            await self._handler.give_up(claim, fault)

    async def _put_back(self) -> None:
        try:
            async with self._database.connection() as db:
                await claimed_jobs.put_back(db, self.claim)
        except Unavailable:
            return  # the lease expires


async def until(work: asyncio.Task[None], changed: asyncio.Event, longest: timedelta) -> None:
    """Waits for the end of the work, for the notification, or for the timeout."""
    change = asyncio.create_task(changed.wait())
    try:
        await asyncio.wait(
            {work, change},
            timeout=longest.total_seconds(),
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        change.cancel()
    changed.clear()
