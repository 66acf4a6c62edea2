"""No table only grows: periodic tasks remove everything that is due, in batches."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest

from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.errors import Reason, Unavailable
from media_service.ids import new_id
from media_service.jobs.model import JobKind
from media_service.jobs.periodic import Batches
from media_service.jobs.side_queue import CONCURRENT
from media_service.renditions.delete import purge_due
from media_service.renditions.periodic_tasks import remove_blobs
from media_service.storage.blob_store import BlobStore
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.uploads.periodic_tasks import BATCH, PARTS_BATCH, expire_uploads, forget_ended
from media_service.watches.tickets import remove_expired_tickets
from tests.support.batches import changed_by

DOCUMENT = Path(__file__).parents[2] / "docs/design/database.md"
WEEK = timedelta(days=7)

UPLOADS = """
    insert into uploads (upload_id, media_id, owner_type, owner_id, state, blob_id, expire_time,
                         update_time, error_reason)
    select gen_random_uuid(), gen_random_uuid(), 'user', %(owner)s, %(state)s, gen_random_uuid(),
           now() + %(expires)s::interval, now() - %(age)s::interval, %(reason)s
    from generate_series(1, %(count)s)
    returning upload_id::text as upload_id
"""
MEDIA = """
    insert into media (media_id, owner_type, owner_id, state, kind, content_type, size_bytes,
                       delete_time, purge_time, expire_time)
    select gen_random_uuid(), 'user', %(owner)s, 'READY', 'IMAGE', 'image/png', 1,
           case when %(deleted)s then now() end,
           case when %(deleted)s then now() - interval '1 hour' end,
           now() - interval '1 hour'
    from generate_series(1, %(count)s)
    returning media_id::text as media_id
"""


async def add_uploads(
    database: Database,
    count: int,
    state: str,
    *,
    owner: str = "ann",
    age: str = "8 days",
    expires: str = "-1 day",
    reason: str | None = None,
) -> list[str]:
    values = {
        "owner": owner, "state": state, "expires": expires, "age": age, "reason": reason,
        "count": count,
    }  # fmt: skip
    async with database.connection() as db:
        return [row["upload_id"] async for row in await db.execute(UPLOADS, values)]


async def add_media(
    database: Database, count: int, owner: str = "ann", *, deleted: bool
) -> list[str]:
    values = {"owner": owner, "count": count, "deleted": deleted}
    async with database.connection() as db:
        return [row["media_id"] async for row in await db.execute(MEDIA, values)]


async def count_rows(database: Database, table: str) -> int:
    async with database.connection() as db:
        rows = await db.execute(f"select count(*) as n from {table}".encode())  # noqa: S608
        row = await rows.fetchone()
    assert row
    return int(row["n"])


async def of_batches(batches: Batches) -> list[int]:
    return [count async for count in batches]


async def test_the_document_says_what_bounds_each_table(database: Database) -> None:
    text = DOCUMENT.read_text()
    section = text.partition("## What bounds each table\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \| \S.*\|$", section, re.MULTILINE)
    async with database.connection() as db:
        rows = await db.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'p') and not relispartition"
        )
        tables = {row["relname"] async for row in rows}
    assert sorted(listed) == sorted(tables)


async def test_all_due_uploads_expire_in_one_run(database: Database) -> None:
    await add_uploads(database, 2 * BATCH + 50, "ACTIVE")
    alive = await add_uploads(database, 1, "ACTIVE", expires="1 day")
    counts = await of_batches(expire_uploads(database))
    assert sum(counts) == 2 * BATCH + 50
    assert len(counts) <= 5
    async with database.connection() as db:
        rows = await db.execute("select upload_id::text from uploads where state = 'ACTIVE'")
        assert [row["upload_id"] async for row in rows] == alive
    assert await count_rows(database, "jobs") == 2 * BATCH + 50


async def test_all_deleted_media_are_purged_in_one_run(database: Database) -> None:
    await add_media(database, 130, deleted=True)
    (kept,) = await add_media(database, 1, deleted=False)
    assert await changed_by(purge_due(database)) == 130
    async with database.connection() as db:
        rows = await db.execute("select media_id::text from media")
        assert [row["media_id"] async for row in rows] == [kept]


async def test_a_backlog_of_one_owner_does_not_delay_another(database: Database) -> None:
    """Bob's rows are due later than all of Ann's, and are reached in the second batch."""
    await add_uploads(database, 3 * BATCH, "ACTIVE", owner="ann", expires="-2 days")
    await add_media(database, 60, owner="ann", deleted=True)
    for owner in ("bob", "cat"):
        await add_uploads(database, 1, "ACTIVE", owner=owner, expires="-1 hour")
        await add_media(database, 1, owner=owner, deleted=True)
    async with database.connection() as db:
        await db.execute(
            "update media set purge_time = now() - interval '1 minute' where owner_id <> 'ann'"
        )

    async def waiting() -> int:
        async with database.connection() as db:
            rows = await db.execute(
                "select from uploads where owner_id <> 'ann' and state = 'ACTIVE'"
                " union all select from media where owner_id <> 'ann'"
            )
        return rows.rowcount

    expiring, purging = expire_uploads(database), purge_due(database)
    assert (await anext(expiring), await anext(expiring)) == (BATCH, 3)
    assert sum([await anext(purging) for _ in range(23)]) == 23
    assert await waiting() == 0
    assert await changed_by(expiring) == 2 * BATCH - 1
    assert await changed_by(purging) == 39


async def test_concurrent_runs_share_the_work(database: Database) -> None:
    await add_media(database, 40, deleted=True)
    await add_uploads(database, 3 * BATCH, "ACTIVE")
    runs = [purge_due(database), purge_due(database)]
    assert sum(await asyncio.gather(*map(changed_by, runs))) == 40
    runs = [expire_uploads(database), expire_uploads(database)]
    assert sum(await asyncio.gather(*map(changed_by, runs))) == 3 * BATCH
    assert await count_rows(database, "media") == 0


async def test_a_run_does_not_wait_for_rows_that_another_holds(database: Database) -> None:
    first, *_ = await add_media(database, 3, deleted=True)
    async with database.transaction() as tx:
        await tx.execute("select from media where media_id = %s for update", (first,))
        async with asyncio.timeout(20):
            assert await changed_by(purge_due(database)) == 2
    assert await changed_by(purge_due(database)) == 1


async def test_ended_uploads_are_removed_after_a_time(database: Database) -> None:
    for state in ("FINISHED", "FAILED", "ABORTED", "EXPIRED"):
        await add_uploads(database, BATCH // 2, state)
    kept = [
        *await add_uploads(database, 1, "FINISHED", age="6 days"),
        *await add_uploads(database, 1, "ACTIVE", expires="1 day"),
        *await add_uploads(database, 1, "VERIFYING"),
    ]
    assert await of_batches(forget_ended(database, WEEK)) == [BATCH, BATCH, 0]
    async with database.connection() as db:
        rows = await db.execute("select upload_id::text from uploads")
        assert {row["upload_id"] async for row in rows} == set(kept)


async def test_an_upload_stays_while_its_bytes_are_needed_to_be_removed(
    database: Database,
) -> None:
    (discarded,) = await add_uploads(database, 1, "ABORTED")
    (unavailable,) = await add_uploads(
        database, 1, "FAILED", expires="1 day", reason="STORAGE_UNAVAILABLE"
    )
    await add_uploads(database, 1, "ABORTED", owner="reconcile")
    async with database.connection() as db:
        await db.execute("update uploads set owner_type = 'service' where owner_id = 'reconcile'")
        await db.execute(
            "insert into jobs (job_id, kind, subject_id, state)"
            " values (%s, 'DISCARD', %s, 'QUEUED')",
            (new_id(), discarded),
        )
    assert await changed_by(forget_ended(database, WEEK)) == 0
    async with database.connection() as db:
        await db.execute("update jobs set state = 'SUCCEEDED', end_time = now()")
        await db.execute(
            "update uploads set expire_time = now() where upload_id = %s", (unavailable,)
        )
    assert await changed_by(forget_ended(database, WEEK)) == 2
    assert await count_rows(database, "uploads") == 1, "the retired blob id"


async def test_many_parts_are_removed_in_batches(database: Database) -> None:
    ids = await add_uploads(database, 3, "FINISHED")
    async with database.connection() as db:
        await db.execute(
            "insert into upload_parts (upload_id, number, size_bytes, crc32c, epoch, sealed)"
            " select id, n, 1, 1, 1, true from unnest(%s::uuid[]) id, generate_series(1, %s) n",
            (ids, PARTS_BATCH // 2),
        )
    assert await of_batches(forget_ended(database, WEEK)) == [0, 3]
    assert await count_rows(database, "upload_parts") == 0


@pytest.mark.parametrize("count", [0, 1, 2500])
async def test_all_expired_tickets_are_removed(database: Database, count: int) -> None:
    async with database.connection() as db:
        await db.execute(
            "insert into watch_tickets (ticket_hash, resource_field, resource_id, principal,"
            " expire_time) select sha256(n::text::bytea), 'job_id', gen_random_uuid(), '{}',"
            " now() - interval '1 second' from generate_series(1, %s) n",
            (count,),
        )
    assert await changed_by(remove_expired_tickets(database)) == count


class Observed(LocalDriver):
    """Counts the concurrent removals."""

    running = most = 0

    async def delete(self, key: str) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await super().delete(key)
        self.running -= 1


async def add_unreferenced(database: Database, driver: LocalDriver, count: int) -> None:
    """Blobs without references, and the jobs that remove them."""
    ids = [new_id() for _ in range(count)]
    for blob_id in ids:
        await driver.put(f"blobs/{blob_id}", b"bytes")
    async with database.transaction() as tx:
        await tx.execute(
            "insert into blobs (blob_id, store, key, size_bytes, crc32c, reference_count)"
            " select id, 'raw', 'blobs/' || id, 5, 0, 0 from unnest(%s::uuid[]) id",
            (ids,),
        )
        await tx.enqueue(*(NewJob(JobKind.UNLINK, blob_id) for blob_id in ids))


async def test_all_unreferenced_blobs_are_removed_several_at_once(
    database: Database, tmp_path: Path
) -> None:
    driver = Observed(tmp_path / "raw")
    stores = {"raw": BlobStore("raw", driver)}
    await add_unreferenced(database, driver, 5 * CONCURRENT + 1)
    counts = await of_batches(remove_blobs(database, stores))
    assert counts == [*[CONCURRENT] * 5, 1]
    assert 1 < driver.most <= CONCURRENT
    assert await count_rows(database, "blobs") == 0
    assert [info async for info in driver.list("")] == []
    await driver.close()


async def test_a_removal_that_fails_is_retried_later(database: Database, tmp_path: Path) -> None:
    class Away(LocalDriver):
        async def delete(self, key: str) -> None:
            raise Unavailable(Reason.STORAGE_UNAVAILABLE, "The store is away.")

    driver = Away(tmp_path / "raw")
    await add_unreferenced(database, driver, 3)
    stores = {"raw": BlobStore("raw", driver)}
    assert await of_batches(remove_blobs(database, stores)) == [3]
    async with database.connection() as db:
        rows = await db.execute("select state, ready, attempt from jobs")
        jobs = [(row["state"], row["ready"], row["attempt"]) async for row in rows]
    assert jobs == [("QUEUED", False, 1)] * 3
    assert await count_rows(database, "blobs") == 3
    await driver.close()
