"""Every recorded job ends, whatever happens to its worker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL

from media_service.access.owner import Owner
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.notifications import JobChanged, JobRunnable
from media_service.db.transaction import Connection
from media_service.errors import Fault, InvalidArgument, Reason, Unavailable
from media_service.ids import new_id
from media_service.jobs.attempt import ATTEMPTS, MAX_LOST_LEASES, MAX_OUTAGES
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.queries import changing, claimed_jobs, claiming
from media_service.jobs.worker import LEASE, Worker
from tests.support import job_claims as claims
from tests.support.silent_database import line_to

ANN, BOB, CAT = Owner("user", "ann"), Owner("user", "bob"), Owner("user", "cat")
Step = Callable[[Claim], Awaitable[None]]


@dataclass
class Handler(JobHandler):
    """Runs `step`, then ends the job. Records its calls."""

    database: Database
    step: Step
    ran: list[Claim] = field(default_factory=list)
    given_up: list[tuple[Claim, Fault]] = field(default_factory=list)
    finished: list[bool] = field(default_factory=list)

    async def run(self, claim: Claim, progress: Progress) -> None:
        self.ran.append(claim)
        await self.step(claim)
        async with self.database.connection() as db:
            self.finished.append(await claimed_jobs.finish(db, claim, JobState.SUCCEEDED))

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        async with self.database.connection() as db:
            assert await claimed_jobs.finish(db, claim, JobState.FAILED, fault)
        self.given_up.append((claim, fault))


async def nothing(claim: Claim) -> None:
    """Work that succeeds at once."""


async def forever(claim: Claim) -> None:
    await asyncio.Event().wait()


async def forever_but_for_bob(claim: Claim) -> None:
    if claim.owner != BOB:
        await forever(claim)


def failing(error: Exception) -> Step:
    async def step(claim: Claim) -> None:
        raise error

    return step


@asynccontextmanager
async def working(
    database: Database,
    handler: Handler,
    slots: int = 1,
    **options: Any,
) -> AsyncIterator[None]:
    handlers = dict.fromkeys(JobKind, handler)
    worker = Worker(database, handlers, slots, **options)
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while True:
            result = holds()
            if await result if asyncio.iscoroutine(result) else result:
                return
            await asyncio.sleep(0.01)


def has_finished(handler: Handler, count: int) -> bool:
    return len(handler.finished) == count


def is_longer(found: Sequence[object], than: int) -> bool:
    return len(found) > than


async def enqueue(database: Database, owner: Owner | None = ANN, **options: Any) -> str:
    new = NewJob(JobKind.INGEST, new_id(), owner, **options)
    async with database.transaction() as tx:
        await tx.enqueue(new)
    return new.job_id


async def wake(database: Database) -> None:
    async with database.connection() as db:
        db.notify(JobRunnable())


async def job(database: Database, job_id: str) -> dict[str, Any]:
    async with database.connection() as db:
        rows = await db.execute(
            "select *, run_time - now() as delay from jobs where job_id = %s", (job_id,)
        )
        row = await rows.fetchone()
        assert row is not None
        return row


async def change(database: Database, job_id: str, assignment: str) -> None:
    async with database.connection() as db:
        await db.execute(
            SQL("update jobs set {} where job_id = %s").format(SQL(assignment)), (job_id,)
        )


async def claim(database: Database, lease: timedelta = LEASE) -> Claim:
    async with database.connection() as db:
        claimed = await claims.claim(db, lease)
        assert claimed is not None
        return claimed


async def in_state(database: Database, job_id: str, state: JobState) -> None:
    async def reached() -> bool:
        return bool((await job(database, job_id))["state"] == state)

    await until(reached)


async def test_jobs_run_in_the_order_they_were_queued(database: Database) -> None:
    handler = Handler(database, nothing)
    jobs = [await enqueue(database) for _ in range(5)]
    async with working(database, handler):
        await until(lambda: len(handler.finished) == 5)
    assert [c.job_id for c in handler.ran] == jobs
    assert handler.finished == [True] * 5


async def test_a_wake_up_starts_a_job_at_once(database: Database) -> None:
    handler = Handler(database, nothing)
    async with working(database, handler):
        await enqueue(database)
        async with asyncio.timeout(5):  # well before the worker would poll
            await until(lambda: handler.finished)


async def test_a_delayed_job_runs_when_it_is_due(database: Database) -> None:
    handler = Handler(database, nothing)
    await enqueue(database, delay=timedelta(seconds=0.3))
    async with working(database, handler), asyncio.timeout(5):
        await until(lambda: handler.finished)


async def test_as_many_jobs_run_concurrently_as_there_are_slots(database: Database) -> None:
    together = asyncio.Barrier(2)

    async def meet(claim: Claim) -> None:
        await together.wait()

    handler = Handler(database, meet)
    for _ in range(4):
        await enqueue(database)
    async with working(database, handler, slots=2):
        await until(lambda: len(handler.finished) == 4)


async def test_no_more_jobs_are_claimed_than_there_are_slots(database: Database) -> None:
    handler = Handler(database, forever)
    first, second = [await enqueue(database) for _ in range(2)]
    async with working(database, handler):
        await in_state(database, first, JobState.RUNNING)
        assert (await job(database, second))["state"] == "QUEUED"


async def test_heavy_jobs_leave_a_slot_for_light_ones(database: Database) -> None:
    handler = Handler(database, forever)
    first, second = [await enqueue(database, heavy=True) for _ in range(2)]
    async with working(database, handler, slots=2):
        await in_state(database, first, JobState.RUNNING)
        light = await enqueue(database, CAT)
        await in_state(database, light, JobState.RUNNING)
        assert (await job(database, second))["state"] == "QUEUED"


async def test_a_heavy_job_of_a_second_owner_is_next_however_many_the_first_one_has(
    database: Database,
) -> None:
    """As when one owner has uploaded many videos, and another one."""
    ended = asyncio.Event()

    async def first_of_all(claim: Claim) -> None:
        if len(handler.ran) == 1:
            await ended.wait()

    handler = Handler(database, first_of_all)
    for _ in range(3):
        await enqueue(database, heavy=True)
    async with working(database, handler, slots=2):
        await until(lambda: handler.ran)
        await enqueue(database, BOB, heavy=True)
        ended.set()
        await until(lambda: has_finished(handler, 4))
    assert [claim.owner for claim in handler.ran] == [ANN, BOB, ANN, ANN]


async def test_a_light_job_that_takes_long_becomes_heavy_and_makes_room_for_light_ones(
    database: Database,
) -> None:
    handler = Handler(database, forever_but_for_bob)
    heavy = await enqueue(database, ANN, heavy=True)
    async with working(database, handler, slots=2, light_seconds=0.2):
        await in_state(database, heavy, JobState.RUNNING)
        long = await enqueue(database, CAT)
        await in_state(database, long, JobState.RUNNING)
        await in_state(database, await enqueue(database, BOB), JobState.SUCCEEDED)
        row = await job(database, long)
        assert (row["state"], row["heavy"], row["attempt"]) == ("QUEUED", True, 0)
        assert (await job(database, heavy))["attempt"] == 1


async def test_a_light_job_that_takes_long_keeps_its_slot_while_nobody_waits(
    database: Database,
) -> None:
    handler = Handler(database, forever)
    jobs = [await enqueue(database, owner, heavy=owner == ANN) for owner in (ANN, CAT)]
    async with working(database, handler, slots=2, light_seconds=0.1):

        async def all_heavy() -> bool:
            return all([(await job(database, job_id))["heavy"] for job_id in jobs])

        await until(all_heavy)
        await enqueue(database, CAT)  # its own jobs do not count
        await asyncio.sleep(2)
    assert len(handler.ran) == 2


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_owner_with_several_slots_gives_the_last_one_to_an_owner_without_any(
    database: Database, workers: int
) -> None:
    """Whether the slots are those of one worker or of several."""
    handler = Handler(database, forever_but_for_bob)
    async with AsyncExitStack() as stack:
        for _ in range(workers):
            await stack.enter_async_context(working(database, handler, slots=2 // workers))
        first = await enqueue(database, ANN)
        await in_state(database, first, JobState.RUNNING)
        last = await enqueue(database, ANN)
        await in_state(database, last, JobState.RUNNING)
        await in_state(database, await enqueue(database, BOB), JobState.SUCCEEDED)
        await in_state(database, last, JobState.RUNNING)
        assert [(await job(database, one))["attempt"] for one in (first, last)] == [1, 1]
        assert [claim.job_id for claim in handler.ran].count(first) == 1


async def test_a_job_of_the_service_itself_gets_a_slot_of_an_owner_with_several(
    database: Database,
) -> None:
    async def step(claim: Claim) -> None:
        if claim.owner:
            await forever(claim)

    handler = Handler(database, step)
    jobs = [await enqueue(database, ANN) for _ in range(2)]
    async with working(database, handler, slots=2):
        for job_id in jobs:
            await in_state(database, job_id, JobState.RUNNING)
        await in_state(database, await enqueue(database, None), JobState.SUCCEEDED)


async def test_a_transient_failure_is_retried_later(database: Database) -> None:
    failed = failing(Unavailable(Reason.PROCESSING_UNAVAILABLE, "The machine is at fault."))
    handler = Handler(database, failed)
    job_id = await enqueue(database)
    async with working(database, handler):
        delays = await delays_of_failures(database, job_id, range(1, ATTEMPTS))
        await until(lambda: handler.given_up)
    for delay, middle in zip(delays, [5, 20, 80, 320], strict=True):
        assert middle * 0.4 < delay <= middle * 1.5
    assert len(handler.ran) == ATTEMPTS
    assert (await job(database, job_id))["state"] == "FAILED"
    assert handler.given_up[0][1] == Fault("PROCESSING_UNAVAILABLE", "The machine is at fault.")


async def delays_of_failures(
    database: Database, job_id: str, attempts: Iterable[int]
) -> list[float]:
    """The delays after these attempts of a job that fails. The worker does not wait for them."""
    delays = []
    for attempt in attempts:

        async def put_back(attempt: int = attempt) -> bool:
            row = await job(database, job_id)
            return bool(row["state"] == "QUEUED" and row["attempt"] == attempt)

        await until(put_back)
        row = await job(database, job_id)
        assert row["error_reason"].endswith("UNAVAILABLE")
        delays.append(row["delay"].total_seconds())
        await change(database, job_id, "run_time = now()")
        await wake(database)
    return delays


@pytest.mark.parametrize("reason", [Reason.STORAGE_UNAVAILABLE, Reason.DATABASE_UNAVAILABLE])
async def test_an_outage_does_not_use_up_the_attempts_of_a_job(
    database: Database, reason: Reason
) -> None:
    handler = Handler(database, failing(Unavailable(reason, "It is away.")))
    job_id = await enqueue(database)
    async with working(database, handler):
        delays = await delays_of_failures(database, job_id, range(1, 2 * ATTEMPTS))
        # The outage ends, but the work fails.
        handler.step = failing(Unavailable(Reason.PROCESSING_UNAVAILABLE, "The machine fails."))
        rest = range(2 * ATTEMPTS, 3 * ATTEMPTS - 1)
        delays += await delays_of_failures(database, job_id, rest)
        await until(lambda: handler.given_up)
    middles = [5, 20, 80, *[320] * (2 * ATTEMPTS - 4), 5, 20, 80, 320]
    for delay, middle in zip(delays, middles, strict=True):
        assert middle * 0.4 < delay <= middle * 1.5
    assert len(handler.ran) == 3 * ATTEMPTS - 1


async def test_a_job_fails_after_a_day_of_outage(database: Database) -> None:
    failed = failing(Unavailable(Reason.STORAGE_UNAVAILABLE, "The storage is away."))
    handler = Handler(database, failed)
    job_id = await enqueue(database)
    await change(database, job_id, f"attempt = {MAX_OUTAGES - 1}, outages = {MAX_OUTAGES - 1}")
    async with working(database, handler):
        await until(lambda: handler.given_up)
    assert handler.given_up[0][1] == Fault("STORAGE_UNAVAILABLE", "The storage is away.")


async def test_bad_input_is_not_retried(database: Database) -> None:
    failed = failing(InvalidArgument(Reason.MEDIA_CORRUPT, "It is broken."))
    handler = Handler(database, failed)
    job_id = await enqueue(database)
    async with working(database, handler):
        await until(lambda: handler.given_up)
    row = await job(database, job_id)
    assert (row["state"], row["attempt"], row["error_reason"]) == ("FAILED", 1, "MEDIA_CORRUPT")


async def test_an_unknown_error_is_logged_and_shown_as_an_id(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler(database, failing(KeyError("secret detail")))
    job_id = await enqueue(database)
    async with working(database, handler):
        await until(lambda: handler.ran)
        await in_state(database, job_id, JobState.QUEUED)
    row = await job(database, job_id)
    assert row["error_reason"] == "INTERNAL"
    assert "secret" not in row["error_message"]
    assert "secret detail" in caplog.text
    error_id = row["error_message"].removesuffix(".").split()[-1]
    assert error_id in caplog.text


async def test_the_job_of_a_dead_worker_is_reclaimed_and_its_late_result_rejected(
    database: Database,
) -> None:
    job_id = await enqueue(database)
    dead = await claim(database, lease=timedelta(seconds=-1))
    handler = Handler(database, nothing)
    async with working(database, handler):
        await until(lambda: handler.finished)
    assert handler.ran[0].job_id == job_id
    assert handler.ran[0].fence > dead.fence
    async with database.connection() as db:
        assert not await claimed_jobs.finish(db, dead, JobState.FAILED, Fault("INTERNAL", "late"))
        assert not await claimed_jobs.renew(db, dead, LEASE)
        assert not await claimed_jobs.put_back(db, dead)
    assert (await job(database, job_id))["state"] == "SUCCEEDED"


async def test_a_job_that_always_kills_its_worker_fails_eventually(database: Database) -> None:
    job_id = await enqueue(database)
    for _ in range(MAX_LOST_LEASES):
        await claim(database, lease=-timedelta(hours=1))  # longer than any delay
    handler = Handler(database, nothing)
    async with working(database, handler):
        await until(lambda: handler.given_up)
    assert not handler.ran
    assert (await job(database, job_id))["state"] == "FAILED"
    assert "10 workers died" in handler.given_up[0][1].message


async def test_a_job_waits_longer_each_time_its_worker_dies(database: Database) -> None:
    job_id = await enqueue(database)
    delays = []
    for _ in range(7):
        await claim(database, lease=timedelta())
        async with database.connection() as db:
            await claiming.release_due(db)
        row = await job(database, job_id)
        assert row["state"] == "QUEUED"
        delays.append(0 if row["ready"] else row["delay"].total_seconds())
        await change(database, job_id, "run_time = now()")
    assert delays == pytest.approx([0, 5, 20, 80, 320, 600, 600], abs=3)


async def test_dead_workers_do_not_use_up_the_attempts_of_a_job(database: Database) -> None:
    """As in a rolling restart whose workers are killed."""
    job_id = await enqueue(database)
    for _ in range(MAX_LOST_LEASES - 1):
        await claim(database, lease=-timedelta(hours=1))
    failed = failing(Unavailable(Reason.STORAGE_UNAVAILABLE, "The storage is away."))
    handler = Handler(database, failed)
    async with working(database, handler):
        await until(lambda: handler.ran)
        await in_state(database, job_id, JobState.QUEUED)
    row = await job(database, job_id)
    assert (row["attempt"], row["lost_leases"]) == (MAX_LOST_LEASES, MAX_LOST_LEASES - 1)
    assert 2 < row["delay"].total_seconds() <= 7.5, "the delay after the first failure"
    assert not handler.given_up


async def test_a_running_job_keeps_its_lease(database: Database) -> None:
    handler = Handler(database, forever)
    job_id = await enqueue(database)
    lease = timedelta(seconds=0.6)
    async with working(database, handler, lease=lease):
        await in_state(database, job_id, JobState.RUNNING)
        first = (await job(database, job_id))["lease_until"]

        async def renewed_twice() -> bool:
            return bool((await job(database, job_id))["lease_until"] > first + lease / 2)

        await until(renewed_twice)
        assert len(handler.ran) == 1


async def test_work_on_a_lost_job_is_cancelled(database: Database) -> None:
    cancelled = asyncio.Event()

    async def notice(claim: Claim) -> None:
        try:
            await forever(claim)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    handler = Handler(database, notice)
    job_id = await enqueue(database)
    async with working(database, handler, lease=timedelta(seconds=0.6)):
        await in_state(database, job_id, JobState.RUNNING)
        await change(database, job_id, "fence = fence + 1, lease_until = now() + '1 hour'")
        async with asyncio.timeout(20):
            await cancelled.wait()
    row = await job(database, job_id)
    assert (row["state"], row["fence"]) == ("RUNNING", 2), "the other worker's claim stands"


async def test_a_stopping_worker_requeues_its_jobs_without_counting_the_attempt(
    database: Database,
) -> None:
    handler = Handler(database, forever)
    job_id = await enqueue(database)
    async with working(database, handler):
        await until(lambda: handler.ran)
    row = await job(database, job_id)
    assert (row["state"], row["attempt"]) == ("QUEUED", 0)
    assert row["delay"] <= timedelta()
    assert (await claim(database)).fence > handler.ran[0].fence


async def test_work_is_cancelled_only_once_so_that_it_can_clean_up(database: Database) -> None:
    """Even if its worker stops just after it lost the job."""
    cleaning, cleaned = asyncio.Event(), asyncio.Event()

    async def tidy(claim: Claim) -> None:
        try:
            await forever(claim)
        finally:
            cleaning.set()
            await asyncio.sleep(0.2)
            cleaned.set()

    job_id = await enqueue(database)
    async with working(database, Handler(database, tidy), lease=timedelta(seconds=0.6)):
        await in_state(database, job_id, JobState.RUNNING)
        await change(database, job_id, "fence = fence + 1, lease_until = now() + '1 hour'")
        async with asyncio.timeout(20):
            await cleaning.wait()
    assert cleaned.is_set()
    row = await job(database, job_id)
    assert (row["state"], row["fence"]) == ("RUNNING", 2), "the other worker's claim stands"


async def test_the_worker_survives_a_database_outage(database: Database, database_url: str) -> None:
    """All of its connections are cut, twice."""
    named = psycopg.conninfo.make_conninfo(database_url, application_name="worker")
    async with Database(named, 4) as its_own:
        handler = Handler(its_own, nothing)
        async with working(its_own, handler):
            for count in (1, 2):
                async with database.connection() as db:
                    await db.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where application_name = 'worker' and datname = current_database()"
                    )
                job_id = await enqueue(database)
                await until(partial(has_finished, handler, count))
                await in_state(database, job_id, JobState.SUCCEEDED)


async def test_work_on_a_cancelled_job_ends_at_once(database: Database) -> None:
    """Long before the worker renews its lease."""
    handler = Handler(database, forever)
    job_id = await enqueue(database)
    async with working(database, handler, lease=timedelta(hours=1)):
        await until(lambda: handler.ran)
        await asyncio.sleep(1)  # so that the worker's first poll is over, too
        other = await enqueue(database)
        async with database.connection() as db:
            await changing.cancel(db, job_id)
        async with asyncio.timeout(10):
            await in_state(database, other, JobState.RUNNING)
    assert (await job(database, job_id))["state"] == "CANCELLED"
    assert handler.given_up == []


async def test_work_on_a_job_that_is_cancelled_and_requeued_starts_over(
    database: Database,
) -> None:
    """Both happen before their notifications are sent, which are merged into one."""
    handler = Handler(database, forever)
    job_id = await enqueue(database)
    async with working(database, handler, lease=timedelta(hours=1)):
        await until(lambda: handler.ran)
        await asyncio.sleep(1)  # so that the worker's first poll is over, too
        async with database.connection() as db:
            await changing.cancel(db, job_id)
            await changing.restart(db, job_id)
        async with asyncio.timeout(10):
            await until(lambda: len(handler.ran) == 2)
    assert handler.ran[1].fence > handler.ran[0].fence


async def test_a_cancellation_during_an_outage_is_noticed_when_the_outage_ends(
    database: Database, database_url: str
) -> None:
    """Long before the worker renews its lease."""

    class Away(Database):
        missed = 0

        @asynccontextmanager
        async def connection(self) -> AsyncIterator[Connection]:
            if self.missed:
                self.missed -= 1
                raise Unavailable(Reason.DATABASE_UNAVAILABLE, "The database is away.")
            async with super().connection() as db:
                yield db

    async with Away(database_url, 4) as its_own:
        handler = Handler(database, forever)
        job_id = await enqueue(database)
        async with working(its_own, handler, lease=timedelta(hours=1)):
            await until(lambda: handler.ran)
            await asyncio.sleep(1)  # so that the worker's first poll is over, too
            other = await enqueue(database)
            its_own.missed = 2
            async with database.connection() as db:
                await changing.cancel(db, job_id)
            async with asyncio.timeout(10):
                await in_state(database, other, JobState.RUNNING)


async def test_reporting_progress_does_not_renew_the_lease(
    database: Database, database_url: str
) -> None:
    """Each report wakes the watchers. The worker ignores its own notifications."""
    job_id = await enqueue(database)
    notifications: list[JobChanged] = []

    class Reporting(Handler):
        async def run(self, claim: Claim, progress: Progress) -> None:
            await asyncio.sleep(1)  # so that the worker's first poll is over
            before = (await job(database, job_id))["lease_until"]
            for percent in (25, 50, 75):
                progress.report("work", percent)
                await until(partial(is_longer, notifications, len(notifications)))
            assert (await job(database, job_id))["lease_until"] == before
            await super().run(claim, progress)

    handler = Reporting(database, nothing)
    with database.listen(JobChanged, job_id, notifications.append):
        async with working(database, handler, lease=timedelta(hours=1)):
            await in_state(database, job_id, JobState.SUCCEEDED)


async def test_a_cancellation_without_a_wake_up_is_noticed_at_the_lease_renewal(
    database: Database,
) -> None:
    handler = Handler(database, forever)
    job_id = await enqueue(database)
    async with working(database, handler, lease=timedelta(seconds=0.6)):
        await until(lambda: handler.ran)
        other = await enqueue(database)
        await change(database, job_id, "state = 'CANCELLED', lease_until = null, end_time = now()")
        await in_state(database, other, JobState.RUNNING)
    assert (await job(database, job_id))["state"] == "CANCELLED"


async def test_a_cancelled_job_cannot_be_finished(database: Database) -> None:
    async def slow(claim: Claim) -> None:
        """Another process cancels the job, and the notification is late."""
        cancelled = "state = 'CANCELLED', lease_until = null, end_time = now()"
        await change(database, claim.job_id, cancelled)

    handler = Handler(database, slow)
    job_id = await enqueue(database)
    async with working(database, handler):
        await until(lambda: handler.finished)
    assert handler.finished == [False]
    assert (await job(database, job_id))["state"] == "CANCELLED"


async def test_work_beyond_the_time_limit_fails_with_a_reason(database: Database) -> None:
    class Limited(Handler):
        time_limit = timedelta(seconds=0.1)

    handler = Limited(database, forever)
    job_id = await enqueue(database)
    async with working(database, handler):
        await until(lambda: handler.given_up)
    row = await job(database, job_id)
    assert (row["state"], row["attempt"]) == ("FAILED", 1)
    assert row["error_reason"] == Reason.PROCESSING_LIMIT_EXCEEDED


async def test_a_timeout_inside_the_work_is_not_mistaken_for_the_time_limit(
    database: Database,
) -> None:
    class Limited(Handler):
        time_limit = timedelta(minutes=5)

    handler = Limited(database, failing(TimeoutError("of a library")))
    job_id = await enqueue(database)
    async with working(database, handler):
        await until(lambda: handler.ran)
        await in_state(database, job_id, JobState.QUEUED)
    assert (await job(database, job_id))["error_reason"] == "INTERNAL"


async def test_progress_is_recorded_at_intervals_and_never_decreases(
    database: Database,
) -> None:
    """A thousand reports become a few writes, and each write wakes the watchers."""
    job_id = await enqueue(database)
    notifications: list[JobChanged] = []
    seen: list[tuple[str, int]] = []

    class Reporting(Handler):
        async def run(self, claim: Claim, progress: Progress) -> None:
            for percent in range(1000):
                progress.report("first" if percent < 500 else "second", percent / 8)
                progress.report("first" if percent < 500 else "second", 1)
                await asyncio.sleep(0.001)
                row = await job(database, job_id)
                seen.append((row["stage"], row["progress_percent"]))
            await super().run(claim, progress)

    handler = Reporting(database, nothing)
    with database.listen(JobChanged, job_id, notifications.append):
        async with working(database, handler):
            await until(lambda: handler.finished)
        await until(lambda: notifications)
    percents = [percent for _, percent in seen]
    assert percents == sorted(percents)
    assert max(percents) <= 99
    different = sorted(set(seen))
    assert 2 < len(different) < 200
    assert {stage for stage, _ in different} <= {"", "first", "second"}
    row = await job(database, job_id)
    assert (row["progress_percent"], row["stage"]) == (100, "")


async def test_the_next_attempt_starts_with_zero_progress(database: Database) -> None:
    job_id = await enqueue(database)
    first = await claim(database)
    async with database.connection() as db:
        assert await claimed_jobs.report(db, first, "half", 50)
        assert await claimed_jobs.put_back(db, first)
        assert not await claimed_jobs.report(db, first, "late", 90)
    row = await job(database, job_id)
    assert (row["progress_percent"], row["stage"]) == (0, "")


async def test_watchers_are_woken_when_the_job_of_a_dead_worker_is_requeued(
    database: Database,
) -> None:
    job_id = await enqueue(database)
    await claim(database, lease=timedelta(seconds=-1))
    notifications: list[JobChanged] = []
    handler = Handler(database, forever)
    with database.listen(JobChanged, job_id, notifications.append):
        async with working(database, handler):
            await until(lambda: notifications and handler.ran)


async def test_a_worker_stops_although_its_claim_is_not_answered(database_url: str) -> None:
    async with line_to(database_url) as (line, url), Database(url, 4, 1.0) as database:
        worker = Worker(database, dict.fromkeys(JobKind, Handler(database, nothing)), 1)
        line.lose_answer_to(b"set state = 'RUNNING'")
        task = asyncio.create_task(worker.run())
        await line.lost.wait()
        task.cancel()
        await asyncio.wait([task], timeout=20)
        assert task.cancelled()
