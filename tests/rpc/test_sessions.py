"""Uploads: create, get, list, watch, complete, abort, expire."""

import asyncio
import hashlib
from datetime import timedelta

import grpc
import pytest
from crc32c import crc32c as crc32c_of
from google.rpc import error_details_pb2
from mediaservice.v1 import media_service_pb2, upload_pb2, upload_service_pb2

from media_service.db.database import Database
from media_service.uploads.periodic_tasks import expire_uploads, forget_ended
from tests.support.batches import changed_by
from tests.support.media.small_files import jpeg, png, video_bytes
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.sessions import Upload, abort, complete, write
from tests.support.rpc.streams_of_writes import MIB, chunks
from tests.support.stores.local_files import blob_files

Spec = upload_pb2.UploadSpec
Result = upload_service_pb2.BatchCreateUploadsResponse.Result


async def test_an_upload_shows_its_declared_values_and_expiry(ann: Caller) -> None:
    upload = await ann.create(filename="a.jpg", content_type="image/jpeg", size_bytes=7)
    assert upload.state == Upload.ACTIVE
    assert upload.spec.filename == "a.jpg"
    assert upload.spec.size_bytes == 7
    assert upload.expire_time.seconds - upload.create_time.seconds == 7 * 86400
    assert await ann.get_upload(upload.upload_id) == upload


async def test_an_upload_and_its_media_have_different_ids(ann: Caller) -> None:
    upload = await ann.create()
    assert len({upload.upload_id, upload.media_id, ""}) == 3
    await write(ann, upload.upload_id, jpeg())
    done = await complete(ann, upload.upload_id)
    assert done.media.media_id == done.media_id == upload.media_id
    assert (await refused(ann.content(upload.upload_id))).reason == "MEDIA_NOT_FOUND"
    assert (await refused(ann.get_upload(upload.media_id))).reason == "UPLOAD_NOT_FOUND"


async def batch(caller: Caller, *specs: Spec, atomic: bool = False) -> list[Result]:
    requests = [upload_service_pb2.CreateUploadRequest(spec=spec) for spec in specs]
    request = upload_service_pb2.BatchCreateUploadsRequest(requests=requests, atomic=atomic)
    return list((await caller.call(caller.uploads.BatchCreateUploads, request)).results)


async def listed(caller: Caller) -> list[str]:
    request = upload_service_pb2.ListUploadsRequest(page_size=5000)
    found = await caller.call(caller.uploads.ListUploads, request)
    return [upload.upload_id for upload in found.uploads]


GOOD = Spec(filename="new.jpg")
BAD = Spec(content_type="text/html")


async def test_a_batch_has_one_result_for_each_request_in_order(ann: Caller) -> None:
    results = await batch(ann, GOOD, BAD, GOOD)
    assert [result.WhichOneof("result") for result in results] == ["upload", "error", "upload"]
    info = error_details_pb2.ErrorInfo()
    assert results[1].error.details[0].Unpack(info)
    assert (results[1].error.code, info.reason) == (3, "TYPE_NOT_ALLOWED")
    assert sorted(await listed(ann)) == sorted(
        [results[0].upload.upload_id, results[2].upload.upload_id]
    )


async def test_an_atomic_batch_creates_all_or_none(ann: Caller) -> None:
    refusal = await refused(batch(ann, GOOD, BAD, GOOD, atomic=True))
    assert refusal.reason == "TYPE_NOT_ALLOWED"
    assert await listed(ann) == []
    results = await batch(ann, GOOD, GOOD, atomic=True)
    assert len({result.upload.upload_id for result in results}) == 2
    assert len(await listed(ann)) == 2


async def test_a_batch_creates_up_to_a_thousand_uploads(ann: Caller) -> None:
    results = await batch(ann, *[GOOD] * 1000)
    created = [result.upload.upload_id for result in results]
    assert len(set(created)) == 1000
    # A page size above the maximum is coerced to it.
    assert set(await listed(ann)) == set(created)
    refusal = await refused(batch(ann, *[GOOD] * 1001))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["requests"])


async def test_uploads_of_an_owner_are_listed_newest_first_in_pages(
    ann: Caller, bob: Caller
) -> None:
    ids = [(await ann.create()).upload_id for _ in range(5)]
    await bob.create()
    seen: list[str] = []
    request = upload_service_pb2.ListUploadsRequest(page_size=2)
    while True:
        page = await ann.call(ann.uploads.ListUploads, request)
        seen += [upload.upload_id for upload in page.uploads]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == ids[::-1]
    await abort(ann, ids[0])
    request = upload_service_pb2.ListUploadsRequest(state=Upload.ABORTED)
    assert [u.upload_id for u in (await ann.call(ann.uploads.ListUploads, request)).uploads] == [
        ids[0]
    ]


async def test_a_page_token_of_another_list_is_refused(ann: Caller) -> None:
    await ann.create()
    await ann.create()
    page = await ann.call(
        ann.uploads.ListUploads, upload_service_pb2.ListUploadsRequest(page_size=1)
    )
    request = upload_service_pb2.ListUploadsRequest(
        page_token=page.next_page_token, state=Upload.ACTIVE
    )
    refusal = await refused(ann.call(ann.uploads.ListUploads, request))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
    )


async def test_completing_twice_returns_the_same_media(ann: Caller) -> None:
    data = jpeg()
    upload = await ann.create()
    await write(ann, upload.upload_id, data)
    first = await complete(ann, upload.upload_id, crc32c=crc32c_of(data))
    second = await complete(ann, upload.upload_id)
    assert first.state == second.state == Upload.FINISHED
    assert first.media == second.media
    assert await ann.content(upload.media_id) == data


async def test_completing_too_early_names_the_missing_bytes_and_changes_nothing(
    ann: Caller,
) -> None:
    upload = await ann.create(size_bytes=1000)
    await write(ann, upload.upload_id, b"x" * 400)
    refusal = await refused(complete(ann, upload.upload_id))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "UPLOAD_INCOMPLETE",
    )
    assert refusal.metadata == {
        "committed_size_bytes": "400",
        "size_bytes": "1000",
        "missing_parts": "",
    }
    assert (await ann.get_upload(upload.upload_id)).state == Upload.ACTIVE


@pytest.mark.parametrize("pieces", [1, 2, 5])
async def test_bytes_of_several_streams_are_joined(ann: Caller, pieces: int) -> None:
    data = video_bytes(3 * MIB + 17)
    upload = await ann.create(size_bytes=len(data))
    step = len(data) // pieces + 1
    for start in range(0, len(data), step):
        await write(ann, upload.upload_id, data[start : start + step][: 2 * MIB], start)
        if step > 2 * MIB:
            await write(
                ann, upload.upload_id, data[start + 2 * MIB : start + step], start + 2 * MIB
            )
    done = await complete(ann, upload.upload_id)
    assert done.state == Upload.FINISHED
    assert done.media.checksums.crc32c == crc32c_of(data)
    assert await ann.content(upload.media_id) == data


async def test_a_declared_sha256_that_must_be_read_back_passes_through_verifying(
    working: Running,
) -> None:
    ann = await working.caller()
    data = video_bytes(MIB)
    upload = await ann.create(checksums={"sha256": hashlib.sha256(data).digest()})
    await write(ann, upload.upload_id, data[:1000])
    await write(ann, upload.upload_id, data[1000:], 1000)
    completed = await complete(ann, upload.upload_id)
    assert completed.state in {Upload.VERIFYING, Upload.FINISHED}
    done = await ann.until_upload(upload.upload_id, lambda u: u.state == Upload.FINISHED)
    assert done.media.checksums.sha256 == hashlib.sha256(data).digest()
    assert await ann.content(upload.media_id) == data


async def test_reading_back_detects_a_wrong_declared_sha256(working: Running) -> None:
    ann = await working.caller()
    data = video_bytes(MIB)
    upload = await ann.create(checksums={"sha256": hashlib.sha256(b"other").digest()})
    await write(ann, upload.upload_id, data[:1000])
    await write(ann, upload.upload_id, data[1000:], 1000)
    await complete(ann, upload.upload_id)
    done = await ann.until_upload(upload.upload_id, lambda u: u.state == Upload.FAILED)
    assert "sha256" in done.error.message
    refusal = await refused(ann.content(upload.media_id))
    assert refusal.reason == "MEDIA_NOT_FOUND"
    await nothing_left(working)


async def test_an_undeclared_sha256_is_recorded_later(working: Running) -> None:
    ann = await working.caller()
    data = jpeg(300, 300)
    upload = await ann.create()
    await write(ann, upload.upload_id, data[:1000])
    await write(ann, upload.upload_id, data[1000:], 1000)
    done = await complete(ann, upload.upload_id)
    assert done.state == Upload.FINISHED
    request = media_service_pb2.GetMediaRequest(media_id=upload.media_id)
    async with asyncio.timeout(20):
        while not (media := await ann.call(ann.media.GetMedia, request)).checksums.sha256:
            await asyncio.sleep(0.05)
    assert media.checksums.sha256 == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("data", "declared", "reason", "http"),
    [
        (b"", "", "FILE_EMPTY", "400"),
        (b"<html><script>alert(1)</script>", "", "TYPE_NOT_ALLOWED", "415"),
        (b"MZ\x90\0" + bytes(200), "", "TYPE_NOT_ALLOWED", "415"),
        (jpeg(), "application/pdf", "TYPE_MISMATCH", "415"),
        (png()[:16] + b"\0\1\0\0" * 2 + png()[24:], "", "PIXEL_LIMIT_EXCEEDED", "413"),
    ],
)
async def test_unaccepted_bytes_fail_the_upload_and_are_removed(
    working: Running, data: bytes, declared: str, reason: str, http: str
) -> None:
    ann = await working.caller()
    upload = await ann.create(filename="x.jpg", content_type=declared)
    if data:
        await write(ann, upload.upload_id, data)
    refusal = await refused(complete(ann, upload.upload_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert refusal.headers["x-http-status"] == http
    failed = await ann.get_upload(upload.upload_id)
    assert failed.state == Upload.FAILED
    assert failed.error.message == refusal.message
    refusal = await refused(complete(ann, upload.upload_id))
    assert (refusal.reason, refusal.metadata["cause"]) == ("UPLOAD_NOT_ACTIVE", reason)
    await nothing_left(working)


async def nothing_left(service: Running) -> None:
    """Waits until the worker has removed every stored byte."""
    async with asyncio.timeout(20):
        while blob_files(service.data_dir / "raw"):
            await asyncio.sleep(0.05)


async def test_an_unaccepted_declared_type_is_refused_before_any_bytes(ann: Caller) -> None:
    refusal = await refused(ann.create(content_type="text/html"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TYPE_NOT_ALLOWED")


async def test_an_aborted_upload_loses_its_bytes_and_can_be_aborted_again(
    working: Running,
) -> None:
    ann = await working.caller()
    upload = await ann.create()
    await write(ann, upload.upload_id, b"x" * 1000)
    assert (await abort(ann, upload.upload_id)).state == Upload.ABORTED
    assert (await abort(ann, upload.upload_id)).state == Upload.ABORTED
    await nothing_left(working)
    refusal = await refused(write(ann, upload.upload_id, b"more", 1000))
    assert refusal.reason == "UPLOAD_NOT_ACTIVE"


async def test_a_finished_upload_cannot_be_aborted(ann: Caller) -> None:
    upload = await ann.create()
    await write(ann, upload.upload_id, jpeg())
    media = (await complete(ann, upload.upload_id)).media
    refusal = await refused(abort(ann, upload.upload_id))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "UPLOAD_NOT_ACTIVE",
    )
    assert await ann.content(media.media_id) == jpeg()


async def test_an_idle_upload_expires_and_loses_its_bytes(
    working: Running, database: Database
) -> None:
    ann = await working.caller()
    upload = await ann.create()
    await write(ann, upload.upload_id, b"x" * 1000)
    async with working.database() as db:
        await db.execute("update uploads set expire_time = now() - interval '1 s'")
    await changed_by(expire_uploads(database))
    assert (await ann.get_upload(upload.upload_id)).state == Upload.EXPIRED
    await nothing_left(working)


async def test_an_upload_that_ended_long_ago_is_gone_and_its_media_remains(
    ann: Caller, service: Running, database: Database
) -> None:
    upload = await ann.create(filename="beach.jpg")
    await write(ann, upload.upload_id, jpeg())
    done = await complete(ann, upload.upload_id)
    open_upload = await ann.create(filename="b.jpg")
    async with service.database() as db:
        await db.execute("update uploads set update_time = now() - interval '7 days 1 second'")
    assert await changed_by(forget_ended(database, timedelta(days=7))) == 1
    assert (await refused(ann.get_upload(upload.upload_id))).reason == "UPLOAD_NOT_FOUND"
    listed = await ann.call(ann.uploads.ListUploads, upload_service_pb2.ListUploadsRequest())
    assert [each.upload_id for each in listed.uploads] == [open_upload.upload_id]
    request = media_service_pb2.GetMediaRequest(media_id=done.media_id)
    media = await ann.call(ann.media.GetMedia, request)
    assert media.original_filename == "beach.jpg"
    assert await ann.content(media.media_id) == jpeg()


async def test_a_watch_reports_progress_and_ends_with_the_upload(ann: Caller) -> None:
    data = video_bytes(MIB)
    upload = await ann.create()
    states: list[tuple[int, int]] = []

    async def watch() -> None:
        request = upload_service_pb2.WatchUploadRequest(upload_id=upload.upload_id)
        call = ann.uploads.WatchUpload(request, metadata=ann.metadata)
        states.extend([(seen.state, seen.committed_size_bytes) async for seen in call])

    watching = asyncio.create_task(watch())
    await write(ann, upload.upload_id, data[:1000])
    await ann.write(chunks(data, upload_id=upload.upload_id, start=1000))
    async with asyncio.timeout(10):
        await watching
    sizes = [size for _, size in states]
    assert sizes == sorted(sizes)
    assert states[-1] == (Upload.FINISHED, len(data))


async def test_a_watch_of_another_owners_upload_is_not_found(ann: Caller, bob: Caller) -> None:
    upload = await ann.create()
    request = upload_service_pb2.WatchUploadRequest(upload_id=upload.upload_id)

    async def watch() -> None:
        async for _ in bob.uploads.WatchUpload(request, metadata=bob.metadata):
            pass

    assert (await refused(watch())).reason == "UPLOAD_NOT_FOUND"


async def test_an_upload_left_verifying_by_a_dead_server_is_finished_by_the_worker(
    start: Start,
) -> None:
    """The state after a server dies between deciding to finish and finishing."""
    service = await start()
    ann = await service.caller()
    data = jpeg()
    upload = await ann.create()
    await write(ann, upload.upload_id, data)
    async with service.database() as db:
        await db.execute("update uploads set state = 'VERIFYING'")
        await db.execute(
            "insert into jobs (job_id, kind, subject_id, state)"
            " values (gen_random_uuid(), 'FINISH', %s, 'QUEUED')",
            (upload.upload_id,),
        )
    again = await (await start(work=True)).caller()
    done = await again.until_upload(upload.upload_id, lambda u: u.state == Upload.FINISHED)
    assert done.media.checksums.crc32c == crc32c_of(data)
