"""New content for the same media: what stays, what changes, and what a failure leaves."""

from mediaservice.v1 import download_service_pb2, media_pb2, upload_pb2

from tests.support.media.small_files import jpeg, png, video_bytes
from tests.support.rpc.catalogue import delete, get, until_done, update
from tests.support.rpc.jobs import Job, ended, listed, process, reason
from tests.support.rpc.parts import complete, put
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.sharing import grant
from tests.support.rpc.versions import replaced, until, until_version
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
    for version, send in enumerate(WAYS, 2):
        data = jpeg(color=f"#{30 * version:02x}8040")
        await send(ann, data, media_id=media.media_id)
        assert await ann.content(media.media_id), "it is served while the new one is inspected"
        media = await until_version(ann, media.media_id, version)
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
    await replaced(ann, media.media_id, png())
    await until_version(ann, media.media_id, 3)


async def failed_jobs(caller: Caller, media_id: str) -> list[Job]:
    return [job for job in await listed(caller, media_id=media_id) if job.state == Job.FAILED]
