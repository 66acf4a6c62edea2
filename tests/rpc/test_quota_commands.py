"""`media-service quota` against a real server."""

from datetime import UTC, datetime
from pathlib import Path

from mediaservice.v1 import quota_service_pb2

from media_service.db.database import Database
from tests.support.media.small_files import jpeg
from tests.support.rpc.commands import Run
from tests.support.rpc.server import Caller, Running
from tests.support.rpc.sharing import create_project, make_administrator, store_in

SIZE = len(jpeg())


async def test_a_quota_is_set_shown_and_counted(
    service: Running, database: Database, tmp_path: Path, ann: Caller
) -> None:
    await make_administrator(service, "root")
    run = Run(service, tmp_path)
    project = (await create_project(ann)).project_id
    shared = (await store_in(ann, project, jpeg())).media_id
    await ann.store(jpeg())
    refused = await run.result("ann", "quota", "set", "owner:/user:ann", "--bytes", "10")
    assert "ROLE_REQUIRED" in refused.stderr
    refused = await run.result("root", "quota", "set", "nonsense")
    assert "one of project:ID, organization:ID, owner:ORG/TYPE:ID," in refused.stderr
    limits = [*("--bytes", "10MiB", "--soft-bytes", "1MiB", "--rendition-bytes", "5MiB")]
    limits += ("--soft-cache-bytes", "1KiB", "--processing-seconds", "3600")
    set_ = ("quota", "set", "owner:/user:ann", *limits)
    expected = [
        ["BYTES", str(2 * SIZE), "0", "10485760", "1048576", "-"],
        ["MEDIA", "2", "0", "-", "-", "-"],
        ["FILE_BYTES", "0", "0", "-", "-", "-"],
        ["RENDITION_BYTES", "0", "0", "5242880", "-", "-"],
        ["CACHE_BYTES", "0", "0", "-", "1024", "-"],
        ["PROCESSING_SECONDS", "0", "0", "3600", "-", "-"],
    ]
    assert await run("root", *set_) == expected
    assert await run("ann", "quota", "show", "owner:/user:ann") == expected
    async with database.connection() as db:
        await db.execute("update quotas set used = 7 where measure = 'MEDIA'")
    found = await run.result("root", "quota", "recalculate", "owner:/user:ann")
    assert found.stderr == "MEDIA: The ledger had 5 more used than the media have.\n"
    assert await run("ann", "quota", "show", "owner:/user:ann") == expected
    both, one = [str(2 * SIZE), "0"], [str(SIZE), "0"]
    today = datetime.now(UTC).date().isoformat()
    async with database.connection() as db:
        aged = "update media set create_time = now() - interval '9 days' where media_id = %s"
        await db.execute(aged, (shared,))
    request = quota_service_pb2.GetUsageRequest(account="owner:/user:ann", days=5)
    counted = await ann.call(ann.quotas.GetUsage, request)
    assert (counted.total.media, [day.date for day in counted.days]) == (2, [today])
    lines = await run("ann", "quota", "usage", "owner:/user:ann", "--days", "5")
    assert sorted(lines) == sorted(
        [
            ["total", "2", *both],
            ["deleted", "0", "0", "0"],
            ["kind IMAGE", "2", *both],
            ["project -", "1", *one],
            [f"project {project}", "1", *one],
            [today, "1", *one],
        ]
    )
    assert await run("root", "quota", "set", "owner:/user:ann") == [
        ["BYTES", str(2 * SIZE), "0", "-", "-", "-"],
        ["MEDIA", "2", "0", "-", "-", "-"],
        ["FILE_BYTES", "0", "0", "-", "-", "-"],
        ["RENDITION_BYTES", "0", "0", "-", "-", "-"],
        ["CACHE_BYTES", "0", "0", "-", "-", "-"],
        ["PROCESSING_SECONDS", "0", "0", "-", "-", "-"],
    ]
