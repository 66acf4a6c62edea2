"""Notifications and jobs of a transaction take effect with its commit, and only with it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from media_service.db.database import Database, Duplicate
from media_service.db.new_job import NewJob
from media_service.db.notifications import (
    JobChanged,
    JobRunnable,
    MediaChanged,
    Notification,
    UploadChanged,
)
from media_service.db.transaction import Rollback
from media_service.errors import Fault, MediaError
from media_service.ids import new_id
from media_service.jobs.model import JobKind, JobState
from media_service.jobs.queries import claimed_jobs
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.uploads import queries as upload_queries
from media_service.uploads.model import Chunk, UploadSpec, UploadState
from tests.support import job_claims as claims
from tests.support.media.small_files import video_bytes
from tests.support.notifications import heard
from tests.support.reconciling import ANN, Service

KEY = "a key"


@pytest.fixture
async def on_disk(database: Database, store: BlobStore) -> AsyncIterator[Service]:
    service = Service(database, store)
    yield service
    await service.runner.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """The database as another process sees it."""
    async with Database(database_url, 2) as database:
        yield database


@pytest.mark.parametrize(
    "notification",
    [
        UploadChanged(KEY, "ACTIVE", 3, by_parts=True),
        MediaChanged(KEY),
        JobChanged(KEY, 7),
        JobRunnable(),
    ],
)
async def test_events_reach_other_processes_unchanged(
    database: Database, other: Database, notification: Notification
) -> None:
    kind: Any = type(notification)
    async with heard(other, kind, notification.key) as found:
        async with database.transaction() as tx:
            tx.notify(notification)
        async with asyncio.timeout(20):
            while not found.notifications:
                await asyncio.sleep(0.01)
    assert found.notifications == [notification]


async def test_events_are_delivered_only_to_listeners_of_their_key(database: Database) -> None:
    async with heard(database, MediaChanged, KEY) as found:
        async with database.transaction() as tx:
            tx.notify(MediaChanged("another"))
            tx.notify(JobChanged(KEY))
        assert await found.all() == []


async def test_events_are_delivered_after_the_commit(database: Database) -> None:
    async with heard(database, MediaChanged, KEY) as found:
        async with database.transaction() as tx:
            tx.notify(MediaChanged(KEY))
            assert await found.all() == []
        assert await found.all() == [MediaChanged(KEY)]


async def fails(database: Database) -> None:
    async with database.transaction() as tx:
        tx.notify(MediaChanged(KEY))
        await tx.enqueue(NewJob(JobKind.INGEST, new_id()))
        raise KeyError


async def rolls_back(database: Database) -> None:
    async with database.transaction() as tx:
        tx.notify(MediaChanged(KEY))
        await tx.enqueue(NewJob(JobKind.INGEST, new_id()))
        raise Rollback


async def repeats_itself(database: Database) -> None:
    job = NewJob(JobKind.INGEST, new_id())
    async with database.pipeline() as tx:
        tx.notify(MediaChanged(KEY))
        await tx.enqueue(job)
        await tx.enqueue(job)


@pytest.mark.parametrize(
    ("what", "error"), [(fails, KeyError), (rolls_back, None), (repeats_itself, Duplicate)]
)
async def test_a_rollback_discards_events_and_jobs(
    database: Database,
    what: Callable[[Database], Awaitable[None]],
    error: type[Exception] | None,
) -> None:
    async with (
        heard(database, MediaChanged, KEY) as found,
        heard(database, JobRunnable, "") as woken,
    ):
        if error:
            with pytest.raises(error):
                await what(database)
        else:
            await what(database)
        assert await found.all() == []
        assert woken.notifications == []
    async with database.connection() as db:
        assert await claims.claim(db) is None


async def test_a_pipeline_commits_its_jobs_and_events(database: Database) -> None:
    job = NewJob(JobKind.INGEST, new_id())
    async with heard(database, JobRunnable, "") as woken:
        async with database.pipeline() as tx:
            await tx.enqueue(job)
        assert await woken.all() == [JobRunnable()]
    async with database.connection() as db:
        claim = await claims.claim(db)
    assert claim is not None
    assert claim.job_id == job.job_id


async def test_events_of_a_connection_before_its_error_are_delivered(database: Database) -> None:
    async def fail() -> None:
        async with database.connection() as db:
            db.notify(MediaChanged(KEY))
            raise KeyError

    async with heard(database, MediaChanged, KEY) as found:
        with pytest.raises(KeyError):
            await fail()
        assert await found.all() == [MediaChanged(KEY)]


async def test_requeuing_a_job_wakes_workers(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.enqueue(NewJob(JobKind.INGEST, new_id()))
    async with database.connection() as db:
        claim = await claims.claim(db)
        assert claim is not None
    async with heard(database, JobRunnable, "") as woken:
        async with database.connection() as db:
            assert await claimed_jobs.put_back(db, claim)
        assert await woken.all() == [JobRunnable()]


async def test_the_discard_job_of_an_upload_that_a_worker_gives_up_wakes_workers(
    on_disk: Service,
) -> None:
    (created,) = await on_disk.uploads.create(ANN, [(UploadSpec(), None)])
    assert not isinstance(created, MediaError)
    upload_id = created.upload.upload_id
    async with on_disk.database.transaction() as tx:
        await upload_queries.begin_verifying(tx, upload_id, Checksums(), 0, 1)
        await tx.enqueue(NewJob(JobKind.FINISH, upload_id))
    claim = await on_disk.claim(JobKind.FINISH)
    async with (
        heard(on_disk.database, JobRunnable, "") as woken,
        heard(on_disk.database, UploadChanged, upload_id) as changed,
    ):
        await on_disk.finisher.give_up_job(claim, Fault("INTERNAL", "It did not work."))
        assert await woken.all() == [JobRunnable()]
        assert [each.state for each in changed.notifications] == [UploadState.FAILED]
    assert (await on_disk.claim(JobKind.DISCARD)).subject_id == upload_id


async def test_watchers_are_notified_when_an_unresumable_upload_breaks_off(
    on_disk: Service,
) -> None:
    ids: list[str] = []
    exists, go_on = asyncio.Event(), asyncio.Event()

    async def created(upload_id: str) -> None:
        ids.append(upload_id)
        exists.set()

    async def chunks() -> AsyncGenerator[Chunk, None]:
        yield Chunk(video_bytes(2 << 20))
        await go_on.wait()
        raise KeyError

    writing = asyncio.create_task(
        on_disk.uploads.write_new(ANN, UploadSpec(), chunks(), on_created=created, resumable=False)
    )
    async with asyncio.timeout(20):
        await exists.wait()
    async with heard(on_disk.database, UploadChanged, ids[0]) as changed:
        go_on.set()
        with pytest.raises(KeyError):
            await writing
        await on_disk.runner.close()
        await changed.all()
    assert changed.notifications[-1].state == UploadState.ABORTED


async def test_the_end_of_a_job_is_announced(database: Database) -> None:
    job = NewJob(JobKind.PROCESS, new_id(), ANN.owner)
    async with database.transaction() as tx:
        await tx.enqueue(job)
    async with heard(database, JobChanged, job.job_id) as found:
        async with database.connection() as db:
            claim = await claims.claim(db)
            assert claim is not None
        async with database.transaction() as tx:
            assert await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED)
        assert JobChanged(job.job_id, claim.fence) in await found.all()
