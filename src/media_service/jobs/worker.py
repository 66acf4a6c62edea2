"""Claims jobs and runs them.

A worker holds a job with a lease, which it renews while the job runs. If the worker dies, the lease
expires and another worker claims the job. If the worker was only slow, the next renewal fails and
the worker cancels its handler.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from functools import partial

from media_service.access.owner import Owner
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.errors import Unavailable
from media_service.failpoints import failpoint
from media_service.jobs.attempt import Attempt, take
from media_service.jobs.fair_queue import FairQueue
from media_service.jobs.handler import JobHandler
from media_service.jobs.looks import Looks, NotifiedLooks
from media_service.jobs.model import Claim, JobKind
from media_service.jobs.queries import claimed_jobs, claiming, owner_turns
from media_service.jobs.slots import LIGHT_SECONDS, HeldSlot, Slots

log = logging.getLogger(__name__)

# The duration of a lease. The jobs of a dead worker can be claimed again after this time.
LEASE = timedelta(seconds=30)
# The maximum delay of a job if a notification is lost.
POLL_SECONDS = 10.0
# The interval at which running jobs are compared with waiting ones.
CHECK_SECONDS = 1.0
# The pause after a database error, and between two looks whether the worker is ready.
OUTAGE_SECONDS = 2.0


def always() -> bool:
    return True


class Worker:
    """Runs up to `slots` jobs concurrently. For `lease`, see `Attempt`. `ready`: whether jobs can
    succeed; while they cannot, none is claimed, so that none uses up its attempts. `skipped`: kinds
    of jobs that other workers run. `looks`: what tells it that a job waits; None: LISTEN/NOTIFY."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[JobKind, JobHandler],
        slots: int,
        lease: timedelta = LEASE,
        light_seconds: float = LIGHT_SECONDS,
        ready: Callable[[], bool] = always,
        skipped: Collection[JobKind] = (),
        looks: Looks | None = None,
    ) -> None:
        self._skipped = skipped
        self._looks = looks or NotifiedLooks(database)
        self._ready = ready
        self._database = database
        self._handlers = handlers
        self._slots = Slots(slots, light_seconds)
        self._lease = lease
        self._queue = FairQueue(skipped)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Runs until cancelled. Then puts unfinished jobs back, so that other workers run them."""
        try:
            with self._looks.listen(self._wake.set):
                woken = True
                while True:
                    self._wake.clear()
                    pause = await self._fill(woken=woken)
                    self._accept()
                    woken = await self._wait(pause)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait(self, seconds: float) -> bool:
        """Waits for a look, the end of a job, or the timeout. Returns whether there was one of the
        first two."""
        try:
            async with asyncio.timeout(seconds):
                return await self._wake.wait()
        except TimeoutError:
            return False

    def _accept(self) -> None:
        """Says for which jobs this worker has free slots."""
        free = not self._slots.full and self._ready()
        self._looks.accept(light=free, heavy=free and self._slots.takes_heavy)

    async def _fill(self, *, woken: bool) -> float:
        """Starts jobs in all free slots. Returns the seconds to wait before the next call. `woken`:
        False if nobody told the worker to look."""
        try:
            await self._reclassify()
            if not self._ready():
                return OUTAGE_SECONDS
            if not self._slots.full:
                await self._release()
            while not self._slots.full:
                takes_heavy = self._slots.takes_heavy
                claim = await take(self._database, self._claim)
                found = claim is not None
                self._looks.looked(light=found, heavy=found or not takes_heavy)
                if claim is None:
                    break
                if not woken:
                    self._looks.missed(claim)
                failpoint("job.claim.after")
                self._start(claim)
            if self._slots.full or not self._slots.takes_heavy:
                await self._make_room()
                return CHECK_SECONDS
            return await self._pause()
        except Exception as error:  # the loop must survive any error
            known = isinstance(error, Unavailable)
            log.warning("cannot claim jobs: %s", error, exc_info=None if known else error)
            return OUTAGE_SECONDS

    async def _claim(self, db: Connection) -> Claim | None:
        slots = self._slots
        return await self._queue.claim(db, self._lease, slots.claims, heavy=slots.takes_heavy)

    async def _pause(self) -> float:
        """Returns the seconds until a job may be available."""
        async with self._database.connection() as db:
            due = await claiming.seconds_until_due(db, skipped=self._skipped)
        # A job that is due and was not claimed is being claimed by another worker.
        return POLL_SECONDS if due is None else min(max(due, 0.1), POLL_SECONDS)

    async def _release(self) -> None:
        """Makes jobs claimable if they are due or their lease has expired."""
        async with self._database.connection() as db:
            await claiming.release_due(db)

    async def _reclassify(self) -> None:
        """Makes light jobs heavy that take long."""
        for slot in self._slots.overdue:
            async with self._database.connection() as db:
                if slot.claim.owner is not None:
                    await claimed_jobs.become_heavy(db, slot.claim)
            self._slots.make_heavy(slot)

    async def _make_room(self) -> None:
        """Puts jobs back into the queue to whose slots waiting jobs have a better right: light jobs
        to the slot of light jobs, and a tenant, or an owner in an organization, that holds no slot
        to one of a tenant or owner that holds several in all workers."""
        surplus = self._slots.surplus
        async with self._database.connection() as db:
            await claiming.release_due(db)
            for slot in self._slots:
                owner = slot.claim.owner
                if owner is None or slot.seconds < CHECK_SECONDS:
                    continue
                for group in owner_turns.groups_of(owner):
                    if await self._is_unfair(db, slot, group, surplus=slot is surplus):
                        slot.attempt.give_way()
                        break

    async def _is_unfair(
        self, db: Connection, slot: HeldSlot, group: Owner, *, surplus: bool
    ) -> bool:
        """Whether a job has its slot in place of one of another group."""
        last, *others = await owner_turns.held_slots(db, group) or [""]
        if surplus:
            return await self._is_awaited(db, group, len(others) + 1, heavy=False)
        if others and last == slot.claim.job_id:
            return await self._is_awaited(db, group, 1, heavy=slot.claim.heavy)
        return False

    async def _is_awaited(self, db: Connection, group: Owner, slots: int, *, heavy: bool) -> bool:
        skipped = self._skipped
        return await owner_turns.is_awaited(db, group, slots, heavy=heavy, skipped=skipped)

    def _start(self, claim: Claim) -> None:
        handler = self._handlers[claim.kind]
        attempt = Attempt(self._database, handler, claim, self._lease)
        slot = HeldSlot(claim, attempt)
        self._slots.add(slot)
        task = asyncio.create_task(attempt.run(), name=f"{claim.kind} {claim.subject_id}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, slot))

    def _ended(self, slot: HeldSlot, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        self._slots.remove(slot)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()):
            # The lease expires, and the job is claimed again.
            log.error("cannot record the end of a job: %s", error)
