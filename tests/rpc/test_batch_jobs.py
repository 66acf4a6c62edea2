"""Batches that select so many media that they are jobs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from media_service.batches import service
from media_service.batches.handlers import batch as handler
from tests.support.media.small_files import jpeg
from tests.support.rpc import batches, catalogue
from tests.support.rpc.batches import reason_of, reasons
from tests.support.rpc.credentials import account, api_key, delete_account
from tests.support.rpc.jobs import Job, cancel, ended, get, listed, retry, watch
from tests.support.rpc.server import Running, refused, unknown_id
from tests.support.rpc.sharing import add_project, grant, revoke
from tests.support.tools import eventually_async

IMAGES = "kind=IMAGE"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of more than 20 media is a job, which changes ten at once."""
    monkeypatch.setattr(service, "MAX_MEDIA", 20)
    monkeypatch.setattr(handler, "AT_ONCE", 10)


@asynccontextmanager
async def locked(running: Running, media_id: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Holds the lock of a media. Yields what waits until a job waits for it."""
    async with running.database() as db, db.transaction():
        await db.execute("select from media where media_id = %s for update", (media_id,))

        async def waits() -> bool:
            async with running.database() as other:
                rows = await other.execute(
                    "select from pg_stat_activity where datname = current_database()"
                    " and wait_event_type = 'Lock' and query like '%for update%'"
                )
                return rows.rowcount > 0

        yield lambda: eventually_async(waits)


async def test_a_filter_that_selects_many_media_starts_a_job(working: Running) -> None:
    ann, bob = await working.caller("ann"), await working.caller("bob")
    await batches.add_media(working, 30)
    others = (await bob.store(jpeg())).media_id
    full = (await ann.store(jpeg())).media_id
    tags = [str(number) for number in range(100)]
    await catalogue.update(ann, ["tags"], media_id=full, tags=tags)
    started = await batches.tag(ann, ["x"], filter=IMAGES)
    assert (started.results, started.changed_count, started.selected_count) == ([], 0, 31)
    job = started.job
    assert (job.type, job.media_id, job.batch_id) == (Job.BATCH, "", job.job_id)
    assert (await refused(get(bob, job.job_id))).reason == "JOB_NOT_FOUND"
    later = (await ann.store(jpeg())).media_id
    seen = [each async for each in watch(ann, job.job_id)]
    done, batch = seen[-1], seen[-1].batch
    assert (done.state, done.progress_percent) == (Job.SUCCEEDED, 100)
    processed = [each.batch.processed_count for each in seen]
    assert processed == sorted(processed)
    assert (batch.selected_count, batch.processed_count) == (31, 31)
    assert (batch.changed_count, batch.failed_count) == (30, 1)
    assert [(each.media_id, reason_of(each)) for each in batch.errors] == [(full, "INVALID_FIELD")]
    (listed_job,) = await listed(ann, type=Job.BATCH)
    assert (listed_job.job_id, len(listed_job.batch.errors)) == (job.job_id, 0)
    for caller, untouched in ((ann, later), (ann, full), (bob, others)):
        assert "x" not in (await catalogue.get(caller, untouched)).tags
    async with working.database() as db:
        rows = await db.execute(
            "select count(*), count(distinct media_id), min(p.id) from audit_entries e"
            " join audit_people p using (person_id) where action = 'media.update'"
            " and media_id <> %s",
            (full,),
        )
        assert await rows.fetchall() == [(30, 30, "ann")], "each is recorded once, as Ann's"


async def test_the_job_of_a_batch_obeys_roles_at_the_time_of_each_change(
    working: Running,
) -> None:
    ann, bob = await working.caller("ann"), await working.caller("bob")
    await add_project(working, "shared", "bob")
    await grant(bob, "project:shared", "user:ann", "EDITOR")
    shared = await batches.add_media(working, 30, "bob", "shared")
    async with locked(working, shared[15]) as wait:
        job = (await batches.tag(ann, ["x"], filter=IMAGES)).job
        await wait()
        await revoke(bob, "project:shared", "user:ann")
    done = await ended(ann, job.job_id)
    assert done.state == Job.SUCCEEDED
    assert (done.batch.processed_count, done.batch.changed_count) == (20, 10)
    assert {reason_of(each) for each in done.batch.errors} == {"MEDIA_NOT_FOUND"}


async def test_a_cancelled_batch_stops_and_a_retry_goes_on_where_it_stopped(
    working: Running,
) -> None:
    ann = await working.caller("ann")
    await add_project(working, "target")
    media = await batches.add_media(working, 30)
    async with locked(working, media[15]) as wait:
        job = (await batches.move(ann, "target", filter=IMAGES)).job
        await wait()
        cancelled = await cancel(ann, job.job_id)
    assert (cancelled.state, cancelled.batch.changed_count) == (Job.CANCELLED, 10)
    moved = 'project_id="target"'
    assert len(await catalogue.names(ann, filter=moved)) == 10
    await retry(ann, job.job_id)
    done = await ended(ann, job.job_id)
    assert (done.state, done.batch.changed_count) == (Job.SUCCEEDED, 30)
    assert len(await catalogue.names(ann, filter=moved)) == 30


async def test_a_batch_ends_with_the_service_account_that_started_it(working: Running) -> None:
    ann = await working.caller("ann")
    robot = await account(ann)
    await grant(ann, "owner:/user:ann", f"service_account:{robot}", "MANAGER")
    caller = await working.bearer((await api_key(ann, robot)).key)
    media = await batches.add_media(working, 30)
    async with locked(working, media[15]) as wait:
        job = (await batches.delete(caller, filter=IMAGES)).job
        await wait()
        await delete_account(ann, robot)
    async with working.database() as db:

        async def failed() -> bool:
            rows = await db.execute(
                "select state, error_reason from jobs where job_id = %s", (job.job_id,)
            )
            return await rows.fetchall() == [("FAILED", "TOKEN_INVALID")]

        await eventually_async(failed)
    assert len(await catalogue.names(ann, filter=IMAGES)) == 20


async def test_a_batch_processes_media(working: Running) -> None:
    ann = await working.caller("ann")
    stored = [(await ann.store(jpeg(width=8, height=8))).media_id for _ in range(2)]
    ids = [*stored, *await batches.add_media(working, 1, kind="AUDIO"), unknown_id()]
    tried = await batches.process(ann, "negate", media_ids=ids, validate_only=True)
    assert (tried.changed_count, tried.failed_count, tried.selected_count) == (2, 2, 4)
    assert await listed(ann, type=Job.PROCESS) == []
    done = await batches.process(ann, "negate", rendition_name="n", media_ids=ids)
    assert reasons(done) == ["", "", "OPERATION_NOT_APPLICABLE", "MEDIA_NOT_FOUND"]
    for media_id, result in zip(stored, done.results, strict=False):
        assert (await ended(ann, result.job_id)).rendition.name == "n"
        assert result.media_id == media_id
    again = await batches.process(ann, "negate", rendition_name="n", media_ids=stored)
    assert (again.changed_count, again.failed_count) == (0, 0)


async def test_a_batch_processes_all_media_that_match_a_filter(working: Running) -> None:
    ann = await working.caller("ann")
    for _ in range(21):
        await ann.store(jpeg(width=8, height=8))
    job = (await batches.process(ann, "negate", filter=IMAGES)).job
    done = await ended(ann, job.job_id)
    assert (done.batch.changed_count, done.batch.failed_count) == (21, 0)
    started = await listed(ann, type=Job.PROCESS, page_size=100)
    assert len({each.media_id for each in started}) == 21
    assert {(each.actor.id, each.rendition_name[:2]) for each in started} == {("ann", "p-")}
