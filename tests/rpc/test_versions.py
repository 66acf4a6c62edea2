"""New content for the same media: what stays, what changes, and what a failure leaves."""

from datetime import timedelta
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from mediaservice.v1 import download_service_pb2, media_pb2, upload_pb2

from media_service.db.database import Database
from media_service.renditions.version_retention import delete_outdated_versions
from tests.support.batches import changed_by
from tests.support.media.small_files import jpeg, png, video_bytes
from tests.support.rpc.catalogue import delete, get, purge, until_done, update
from tests.support.rpc.catalogue import listed as all_media
from tests.support.rpc.commands import Run
from tests.support.rpc.jobs import Job, ended, listed, process, reason
from tests.support.rpc.parts import complete, put
from tests.support.rpc.policies import set_policy
from tests.support.rpc.quotas import set_quota, usage
from tests.support.rpc.renders import render
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.sharing import create_project, grant, make_administrator, store_in
from tests.support.rpc.versions import (
    content,
    delete_version,
    replaced,
    restore,
    until,
    until_version,
    version,
    versions,
)
from tests.support.rpc.ways import WAYS
from tests.support.tools import eventually_async

Media = media_pb2.Media


async def rendition(caller: Caller, media_id: str, name: str) -> bytes:
    request = download_service_pb2.DownloadRequest(media_id=media_id, rendition=name)
    call = caller.downloads.Download(request, metadata=caller.metadata)
    return b"".join([message.data async for message in call])


async def test_a_file_is_replaced_in_every_way_and_its_address_keeps_working(
    working: Running,
) -> None:
    ann = await working.caller()
    stored = await ann.store(jpeg(), "photo.jpg")
    media = await until_done(ann, stored.media_id)
    await update(ann, ["title"], media_id=media.media_id, title="Beach")
    before = await rendition(ann, media.media_id, "small")
    for number, send in enumerate(WAYS, 2):
        data = jpeg(color=f"#{30 * number:02x}8040")
        await send(ann, data, media_id=media.media_id)
        assert await ann.content(media.media_id), "it is served while the new one is inspected"
        media = await until_version(ann, media.media_id, number)
        assert await ann.content(media.media_id) == data
        after = await rendition(ann, media.media_id, "small")
        assert after != before
        before = after
    assert (media.title, media.filename) == ("Beach", "photo.jpg")
    assert media.latest_version == media.version == 1 + len(WAYS)
    assert {r.version for r in media.renditions} == {media.version}
    assert media.create_time == stored.create_time


async def test_a_version_needs_the_role_editor_and_the_etag(working: Running) -> None:
    ann, bob = await working.caller("ann"), await working.caller("bob")
    media = await until_done(ann, (await ann.store(jpeg())).media_id)
    assert (await refused(replaced(bob, media.media_id, png()))).reason == "MEDIA_NOT_FOUND"
    await grant(ann, f"media:{media.media_id}", "user:bob", "VIEWER")
    assert (await refused(replaced(bob, media.media_id, png()))).reason == "ROLE_REQUIRED"
    await grant(ann, f"media:{media.media_id}", "user:bob", "EDITOR")
    refusal = await refused(replaced(bob, media.media_id, png(), if_etag='"0"'))
    assert (refusal.reason, refusal.metadata["etag"]) == ("ETAG_MISMATCH", media.etag)
    upload = await replaced(bob, media.media_id, png(), if_etag=media.etag)
    assert (upload.media_id, upload.version) == (media.media_id, 2)
    assert upload.owner.id == "ann"
    found = await until_version(ann, media.media_id, 2)
    assert found.content_type == "image/png"
    refusal = await refused(replaced(ann, media.media_id, png(), title="new"))
    assert refusal.fields == ["title"]
    await delete(ann, media.media_id)
    assert (await refused(replaced(ann, media.media_id, png()))).reason == "MEDIA_DELETED"


async def test_the_etag_is_compared_when_the_upload_completes(ann: Caller) -> None:
    media = await ann.store(jpeg())
    upload = await ann.create(media_id=media.media_id, if_etag=media.etag)
    await put(ann, upload.upload_id, 1, jpeg())
    await replaced(ann, media.media_id, png())
    refusal = await refused(complete(ann, upload.upload_id))
    assert refusal.reason == "ETAG_MISMATCH"
    found = await ann.get_upload(upload.upload_id)
    assert found.state == upload_pb2.Upload.FAILED
    assert (await get(ann, media.media_id)).latest_version == 2


async def test_what_was_rendered_is_rendered_again(working: Running) -> None:
    ann = await working.caller()
    media = await until_done(ann, (await ann.store(jpeg())).media_id)
    done = await process(ann, media.media_id, "resize:20x", rendition_name="tiny")
    await ended(ann, done.job_id)
    fits = await process(ann, media.media_id, "crop:60x40,resize:10x", rendition_name="cut")
    await ended(ann, fits.job_id)
    before = await rendition(ann, media.media_id, "tiny")
    async with working.database() as db:  # a worker is rendering it
        await db.execute(
            "update jobs set state = 'RUNNING', end_time = null, attempt = 1,"
            " lease_until = now() + interval '1 hour' where job_id = %s",
            (done.job_id,),
        )
    await replaced(ann, media.media_id, jpeg(color="red"))
    await until_version(ann, media.media_id, 2)
    stopped = await ended(ann, done.job_id)
    assert (stopped.state, reason(stopped)) == (Job.FAILED, "MEDIA_REPLACED")
    assert await rendition(ann, media.media_id, "tiny"), "it is served until it is rendered again"
    found = await until(ann, media.media_id, lambda m: {r.version for r in m.renditions} == {2})
    assert {"tiny", "cut"} <= {r.name for r in found.renditions}
    assert await rendition(ann, media.media_id, "tiny") != before


async def test_a_version_that_fails_leaves_the_one_before(working: Running) -> None:
    ann = await working.caller()
    media = await until_done(ann, (await ann.store(jpeg())).media_id)
    refusal = await refused(replaced(ann, media.media_id, video_bytes(5000)))
    assert (refusal.reason, refusal.metadata["new_kind"]) == ("KIND_MISMATCH", "VIDEO")
    await replaced(ann, media.media_id, jpeg()[:200])  # damaged
    jobs = await eventually_async(lambda: failed_jobs(ann, media.media_id), 30)
    assert len(jobs) == 1
    found = await get(ann, media.media_id)
    assert (found.state, found.version, found.latest_version) == (Media.READY, 1, 2)
    assert await ann.content(media.media_id) == jpeg()
    assert ("media.version_failed", 2) in await told(working, media.media_id)
    await replaced(ann, media.media_id, png())
    await until_version(ann, media.media_id, 3)


async def failed_jobs(caller: Caller, media_id: str) -> list[Job]:
    return [job for job in await listed(caller, media_id=media_id) if job.state == Job.FAILED]


async def test_the_history_is_read_restored_and_deleted(working: Running) -> None:
    ann, bob = await working.caller("ann"), await working.caller("bob")
    first, second = jpeg(color="red"), jpeg(color="blue")
    media_id = (await ann.store(first, "one.jpg")).media_id
    await until_done(ann, media_id)
    await replaced(ann, media_id, second, filename="two.jpg")
    media = await until_version(ann, media_id, 2)
    found = await versions(ann, media_id)
    assert [(v.version, v.current, v.original_filename) for v in found] == [
        (2, True, "two.jpg"),
        (1, False, "one.jpg"),
    ]
    assert {v.state for v in found} == {Media.READY}
    assert (found[1].image.width, found[1].size_bytes) == (64, len(first))
    assert await content(ann, media_id, 1) == first
    assert await content(ann, media_id, 2) == second
    assert (await refused(content(ann, media_id, 3))).reason == "VERSION_NOT_FOUND"
    assert (await refused(content(ann, media_id, 1, "none"))).reason == "RENDITION_NOT_FOUND"
    red = await render(ann, media_id, width=8, version=1)
    assert red.content != (await render(ann, media_id, width=8)).content
    await grant(ann, f"media:{media_id}", "user:bob", "VIEWER")
    assert await content(bob, media_id, 2) == second
    for call in (content(bob, media_id, 1), version(bob, media_id, 1), versions(bob, media_id)):
        assert (await refused(call)).reason == "ROLE_REQUIRED"
    assert (await refused(restore(ann, media_id, 1, '"0"'))).reason == "ETAG_MISMATCH"
    added = await restore(ann, media_id, 1, media.etag)
    assert (added.version, added.restored_from, added.state) == (3, 1, Media.PENDING)
    await until_version(ann, media_id, 3)
    assert await ann.content(media_id) == first
    assert (await restore(ann, media_id, 3)).current, "there is nothing to do"
    assert (await refused(delete_version(ann, media_id, 3))).reason == "VERSION_CURRENT"
    await delete_version(ann, media_id, 1)
    assert (await refused(version(ann, media_id, 1))).reason == "VERSION_NOT_FOUND"
    assert (await refused(restore(ann, media_id, 1))).reason == "VERSION_NOT_FOUND"
    assert await ann.content(media_id) == first, "the bytes are shared"
    await delete_version(ann, media_id, 2)
    assert [v.version for v in await versions(ann, media_id)] == [3]
    assert (await get(ann, media_id)).latest_version == 3
    assert await told(working, media_id) == [
        *(("media.version_created", 2), ("media.replaced", None)),
        *(("media.version_created", 3), ("media.replaced", None)),
        *(("media.version_deleted", 1), ("media.version_deleted", 2)),
    ]


async def told(service: Running, media_id: str) -> list[tuple[str, int | None]]:
    """The events about the versions of a media."""
    async with service.database() as db:
        rows = await db.execute(
            "select type, (data->>'ofVersion')::int from ("
            " select event->>'type' as type, event->'data' as data,"
            " (event->>'sequence')::bigint as sequence, (event->>'media_id')::uuid as media_id"
            " from event_outbox"
            " union all select type, data, sequence, media_id from events) e"
            " where media_id = %s and (type like 'media.version%%' or type = 'media.replaced')"
            " order by sequence",
            (media_id,),
        )
        return [(type_, version) for type_, version in await rows.fetchall()]


async def test_only_a_version_that_is_ready_is_restored(ann: Caller) -> None:
    media = await ann.store(jpeg())
    await replaced(ann, media.media_id, png())
    await replaced(ann, media.media_id, png())
    refusal = await refused(restore(ann, media.media_id, 2))
    assert (refusal.reason, refusal.metadata["state"]) == ("VERSION_NOT_READY", "PENDING")
    assert [v.version for v in await versions(ann, media.media_id, page_size=2)] == [3, 2]
    await delete_version(ann, media.media_id, 2)
    assert [v.version for v in await versions(ann, media.media_id)] == [3, 1]


async def test_all_versions_count_for_quotas(working: Running) -> None:
    await make_administrator(working, "root")
    ann, operator = await working.caller(), await working.caller("root")
    media_id = (await ann.store(jpeg())).media_id
    await until_done(ann, media_id)
    account = "owner:/user:ann"
    await set_quota(operator, account, BYTES=2 * len(jpeg()) + len(png()) + 1, MEDIA=1)
    await replaced(ann, media_id, png())
    await until_version(ann, media_id, 2)
    await restore(ann, media_id, 1)
    await until_version(ann, media_id, 3)
    used = await usage(operator, account)
    assert used["BYTES"] == (0, 2 * len(jpeg()) + len(png()))
    refusal = await refused(replaced(ann, media_id, png()))
    assert (refusal.reason, refusal.metadata["measure"]) == ("QUOTA_EXCEEDED", "BYTES")
    await delete_version(ann, media_id, 1)
    upload = await ann.create(media_id=media_id, size_bytes=len(jpeg()))
    assert (await usage(operator, account))["MEDIA"] == (0, 1), "it will add none"
    await put(ann, upload.upload_id, 1, jpeg())
    await complete(ann, upload.upload_id)
    assert (await usage(operator, account))["BYTES"] == used["BYTES"]
    await delete(ann, media_id)
    await purge(ann, media_id)
    assert (await usage(operator, account))["BYTES"] == (0, 0)


async def test_policies_say_how_long_versions_and_deleted_media_are_kept(
    working: Running, database: Database
) -> None:
    ann = await working.caller()
    project = (await create_project(ann)).project_id
    media_id = (await store_in(ann, project, jpeg())).media_id
    await until_done(ann, media_id)
    for number in (2, 3, 4):
        await replaced(ann, media_id, jpeg(color=f"#{number}00"))
        await until_version(ann, media_id, number)
    resource = f"project:{project}"
    await set_policy(ann, resource, keep_versions=2, keep_versions_days=30, keep_deleted_days=3)
    assert await changed_by(delete_outdated_versions(database)) == 1
    assert [v.version for v in await versions(ann, media_id)] == [4, 3, 2]
    async with working.database() as db:
        await db.execute(
            "update media_versions set replace_time = now() - interval '31 days'"
            " where media_id = %s and version = 2",
            (media_id,),
        )
    assert await changed_by(delete_outdated_versions(database)) == 1
    assert [v.version for v in await versions(ann, media_id)] == [4, 3]
    deleted = await delete(ann, media_id)
    kept = deleted.purge_time.ToDatetime() - deleted.delete_time.ToDatetime()
    assert kept == timedelta(days=3)


async def test_the_commands_replace_list_and_restore(working: Running, tmp_path: Path) -> None:
    run, ann = Run(working, tmp_path), await working.caller()
    media_id = (await ann.store(jpeg(), "one.jpg")).media_id
    await until_done(ann, media_id)
    file = tmp_path / "two.png"
    file.write_bytes(png())
    await run("ann", "upload", "--replace", media_id, str(file))
    await until_version(ann, media_id, 2)
    assert await run("ann", "versions", media_id) == [
        ["2", "current", str(len(png())), "image/png", "two.png"],
        ["1", "READY", str(len(jpeg())), "image/jpeg", "one.jpg"],
    ]
    copy = tmp_path / "copy.jpg"
    ((_, size, *_),) = await run("ann", "download", media_id, "--version", "1", "-o", str(copy))
    assert (copy.read_bytes(), size) == (jpeg(), str(len(jpeg())))
    ((number, *_),) = await run("ann", "restore", media_id, "1")
    assert number == "3"
    await until_version(ann, media_id, 3)
    await run("ann", "versions", media_id, "--delete", "2")
    assert [fields[0] for fields in await run("ann", "versions", media_id)] == ["3", "1"]


async def test_a_time_to_live_holds_for_every_way_of_upload(ann: Caller) -> None:
    expire = Timestamp(seconds=4_000_000_000)
    for send in WAYS:
        await send(ann, jpeg(), expire_time=expire)
    found = await all_media(ann)
    assert [media.expire_time for media in found] == [expire] * len(WAYS)
