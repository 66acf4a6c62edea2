"""Uploads are scanned by a real clamd: what is found, and what is served meanwhile."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from mediaservice.v1 import (
    download_service_pb2,
    download_service_pb2_grpc,
    health_service_pb2,
    health_service_pb2_grpc,
    media_pb2,
)

from media_service import app
from media_service.codecs.sandbox.forks import ForkServer
from media_service.config import ConfigError, load
from media_service.db.database import Database
from media_service.db.notifications import MediaChanged
from media_service.jobs import attempt
from media_service.scanning import scanner
from media_service.scanning.engines import open_engine
from media_service.scanning.periodic_tasks import scan_again
from media_service.sharing import administrators
from tests.support.batches import changed_by
from tests.support.clamd import FILE_MAX, SIGNATURE, STREAM_MAX, THREAT, Clamd, infected
from tests.support.media.small_files import jpeg
from tests.support.ports import free_port
from tests.support.rpc.audit import entries
from tests.support.rpc.catalogue import delete, get, listed, undelete, update
from tests.support.rpc.commands import Run
from tests.support.rpc.jobs import (
    Job,
    ended,
    error_info,
    execute,
    process,
    reason,
    rendition,
    reprocess,
)
from tests.support.rpc.jobs import listed as listed_jobs
from tests.support.rpc.links import Anybody, link, signed, somebody
from tests.support.rpc.renders import render
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.starter import starter
from tests.support.rpc.versions import content, replaced, restore, until_version, version
from tests.support.stores.local_files import blob_files
from tests.support.tools import eventually_async

Media = media_pb2.Media
Scan = media_pb2.Scan
CLEAN, BAD = jpeg(), infected(jpeg())
# Scanned with other signatures, longer ago than an hour.
OLD = (
    "update media_versions set scan_engine = 'ClamAV 0.1/1', scan_time = now() - interval '2h'"
    " where media_id = %s"
)


@pytest.fixture
def own_clamd() -> Iterator[Clamd]:
    """A clamd of this test, which is not running yet."""
    with tempfile.TemporaryDirectory(prefix="clamd-") as folder:
        clamd = Clamd(Path(folder))
        yield clamd
        clamd.kill()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are repeated, and the scanner is looked at, without long pauses."""
    monkeypatch.setattr(attempt, "FIRST_DELAY_SECONDS", 0.1)
    monkeypatch.setattr(attempt, "MAX_DELAY_SECONDS", 0.5)
    monkeypatch.setattr(scanner, "OUTAGE_PAUSE_SECONDS", 0.1)


async def until(caller: Caller, media_id: str, state: "Media.State.ValueType") -> media_pb2.Media:
    async def reached() -> media_pb2.Media | None:
        media = await get(caller, media_id)
        return media if media.state == state else None

    return await eventually_async(reached)


async def until_scanned(
    caller: Caller, media_id: str, state: "Scan.State.ValueType"
) -> media_pb2.Media:
    async def reached() -> media_pb2.Media | None:
        media = await get(caller, media_id)
        return media if media.scan.state == state else None

    return await eventually_async(reached)


async def public(service: Running, path: str) -> bytes:
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = download_service_pb2_grpc.DownloadServiceStub(channel)
        call = stub.GetPublic(download_service_pb2.GetPublicRequest(path=path))
        return b"".join([message.data async for message in call])


async def degraded(service: Running) -> list[str]:
    """What the health of a server reports, which serves in any case."""
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = health_service_pb2_grpc.HealthServiceStub(channel)
        health = await stub.CheckReadiness(health_service_pb2.CheckReadinessRequest())
    assert health.state == health_service_pb2.Health.SERVING
    return list(health.degraded)


async def unreadable(caller: Caller, anybody: Anybody, service: Running, media_id: str) -> set[str]:
    """The reasons for which each way to read the content is refused."""
    token, ops = await link(caller, media_id), "resize:30x"
    stream = download_service_pb2.GetStreamRequest(media_id=media_id, path="master.m3u8")
    render_token = await link(caller, media_id, ops=ops)
    reads = [
        caller.content(media_id),
        rendition(caller, media_id, "small"),
        render(caller, media_id, ops=ops),
        anybody.read(token),
        anybody.read(await link(caller, media_id, rendition="small")),
        anybody.read(render_token),
        signed(caller, media_id, direct=True),
        caller.downloads.GetStream(stream, metadata=caller.metadata).read(),
    ]
    found = {(await refused(read)).reason for read in reads}
    for path in (f"originals/{media_id}/1/a.jpg", f"streams/{media_id}/master.m3u8"):
        assert (await refused(public(service, path))).reason == "MEDIA_NOT_FOUND"
    return found


async def test_a_clean_file_is_served(start: Start, clamd: Clamd) -> None:
    service = await start(work=True, scan="required", scan_address=clamd.tcp)
    ann = await service.caller("ann")
    stored = await ann.store(CLEAN)
    assert stored.scan.state == Scan.PENDING
    media = await until(ann, stored.media_id, Media.READY)
    assert media.scan.state == Scan.CLEAN
    assert media.scan.engine == await open_engine(clamd.unix).version()
    assert media.scan.HasField("time")
    assert await ann.content(media.media_id) == CLEAN
    assert await rendition(ann, media.media_id, "small")
    jobs = await listed_jobs(ann, media_id=media.media_id)
    assert {job.type for job in jobs} == {Job.SCAN, Job.INGEST}
    found = await listed(ann, filter="scan_state=CLEAN state=READY")
    assert [each.media_id for each in found] == [media.media_id]
    assert await listed(ann, filter="scan_state!=CLEAN") == []
    assert await degraded(service) == []


async def test_an_infected_file_is_quarantined(start: Start, clamd: Clamd) -> None:
    service = await start(scan="required", scan_address=clamd.unix)
    ann = await service.caller("ann")
    stored = await ann.store(BAD)
    changed = asyncio.Event()
    async with Database(service.database_url, 2) as database:
        with database.listen(MediaChanged, stored.media_id, lambda _: changed.set()):
            working = await start(work=True, scan="required", scan_address=clamd.unix)
            media = await until(ann, stored.media_id, Media.QUARANTINED)
            async with asyncio.timeout(20):
                await changed.wait()
    assert (media.scan.state, media.scan.threat) == (Scan.INFECTED, THREAT)
    error = error_info(media)
    assert (error.reason, dict(error.metadata)) == ("THREAT_FOUND", {"threat": THREAT})
    assert not media.renditions
    assert media.WhichOneof("info") is None
    recorded = ("service", "media.quarantine", media.media_id, "THREAT_FOUND")
    assert recorded in await entries(service, "actor_type", "action", "media_id", "outcome")
    jobs = await listed_jobs(ann, media_id=media.media_id)
    assert [(job.type, job.state) for job in jobs] == [(Job.SCAN, Job.SUCCEEDED)]
    for read in (
        ann.content(media.media_id),
        render(ann, media.media_id, ops="resize:30x"),
        link(ann, media.media_id),
        process(ann, media.media_id, "resize:30x"),
        reprocess(ann, media.media_id),
    ):
        assert (await refused(read)).reason == "MEDIA_QUARANTINED"
    path = f"originals/{media.media_id}/1/a.jpg"
    assert (await refused(public(working, path))).reason == "MEDIA_NOT_FOUND"


async def test_an_infected_version_leaves_the_one_before(start: Start, clamd: Clamd) -> None:
    service = await start(work=True, scan="required", scan_address=clamd.unix)
    ann = await service.caller("ann")
    media_id = (await ann.store(CLEAN)).media_id
    await until(ann, media_id, Media.READY)
    await replaced(ann, media_id, BAD)

    async def scanned() -> media_pb2.MediaVersion | None:
        found = await version(ann, media_id, 2)
        return found if found.state == Media.QUARANTINED else None

    bad = await eventually_async(scanned)
    assert (bad.scan.threat, bad.current) == (THREAT, False)
    assert await ann.content(media_id) == CLEAN
    assert (await refused(content(ann, media_id, 2))).reason == "MEDIA_QUARANTINED"
    assert (await refused(restore(ann, media_id, 2))).reason == "VERSION_NOT_READY"
    recorded = ("media.quarantine", media_id, 2, "THREAT_FOUND")
    assert recorded in await entries(service, "action", "media_id", "version", "outcome")
    await replaced(ann, media_id, jpeg(color="red"))
    media = await until_version(ann, media_id, 3)
    assert (media.scan.state, await ann.content(media_id)) == (Scan.CLEAN, jpeg(color="red"))


async def test_only_administrators_read_what_is_in_quarantine(start: Start, clamd: Clamd) -> None:
    service = await start(
        work=True, scan="required", scan_address=clamd.unix, admin_claim="roles=admin"
    )
    ann, root = await service.caller("ann"), await service.caller("root", roles=["admin"])
    eve = await service.caller("eve")
    media_id = (await ann.store(BAD)).media_id
    await until(ann, media_id, Media.QUARANTINED)
    assert await root.content(media_id) == BAD
    assert (await refused(ann.content(media_id))).reason == "MEDIA_QUARANTINED"
    assert (await refused(eve.content(media_id))).reason == "MEDIA_NOT_FOUND"
    await administrators.add(service.database_url, "user:eve")
    assert await eve.content(media_id) == BAD
    assert (await refused(render(eve, media_id, ops="resize:30x"))).reason == "MEDIA_QUARANTINED"
    await administrators.remove(service.database_url, "user:eve")
    assert (await refused(eve.content(media_id))).reason == "MEDIA_NOT_FOUND"


@pytest.mark.usefixtures("impatient", "hurried")
async def test_nothing_is_read_while_clamd_is_away(start: Start, own_clamd: Clamd) -> None:
    service = await start(work=True, scan="required", scan_address=own_clamd.tcp)
    ann = await service.caller("ann")
    media_id = (await ann.store(CLEAN)).media_id
    async with somebody(service) as anybody:
        await execute(
            service, "update media set visibility = 'PUBLIC_ORIGINAL' where media_id = %s", media_id
        )

        async def waits() -> bool:
            (job,) = await listed_jobs(ann, media_id=media_id)
            again = job.attempt >= 2 and job.state == Job.QUEUED
            return again and reason(job) == "SCAN_UNAVAILABLE"

        await eventually_async(waits)
        assert await unreadable(ann, anybody, service, media_id) == {"MEDIA_NOT_READY"}
        assert (await refused(reprocess(ann, media_id))).reason == "MEDIA_NOT_READY"
        processing = await process(ann, media_id, "resize:30x")
        media = await get(ann, media_id)
        assert (media.state, media.scan.state) == (Media.PENDING, Scan.PENDING)
        assert not media.public_url
        assert await degraded(service) == ["SCAN_UNAVAILABLE"]
        token = await link(ann, media_id)
        own_clamd.start()
        await until(ann, media_id, Media.READY)
        assert (await ended(ann, processing.job_id)).state == Job.SUCCEEDED
        assert (await anybody.read(token)).content == CLEAN
        assert await public(service, f"originals/{media_id}/1/a.jpg") == CLEAN

        async def works() -> bool:
            return await degraded(service) == []

        await eventually_async(works)


@pytest.mark.usefixtures("impatient", "hurried")
async def test_clamd_killed_in_the_middle_of_a_scan(start: Start, own_clamd: Clamd) -> None:
    own_clamd.start()
    service = await start(work=True, scan="required", scan_address=own_clamd.unix)
    ann = await service.caller("ann")
    assert own_clamd.process is not None
    own_clamd.process.send_signal(signal.SIGSTOP)
    media_id = (await ann.store(BAD)).media_id
    other_id = (await ann.store(CLEAN)).media_id

    async def scanning() -> bool:
        jobs = await listed_jobs(ann)
        return all((job.state, job.stage) == (Job.RUNNING, "scan") for job in jobs)

    await eventually_async(scanning)
    own_clamd.kill()

    async def waits() -> bool:
        jobs = await listed_jobs(ann)
        return all(job.state == Job.QUEUED and job.attempt >= 2 for job in jobs)

    await eventually_async(waits)
    async with somebody(service) as anybody:
        for each in (media_id, other_id):
            assert await unreadable(ann, anybody, service, each) == {"MEDIA_NOT_READY"}
    own_clamd.start()
    await until(ann, media_id, Media.QUARANTINED)
    await until(ann, other_id, Media.READY)
    assert await ann.content(other_id) == CLEAN


@pytest.mark.parametrize("size", [FILE_MAX + 1, STREAM_MAX + FILE_MAX])
@pytest.mark.parametrize("policy", ["hold", "allow"])
async def test_a_file_that_is_too_large_to_scan_is_never_clean(
    start: Start, clamd: Clamd, size: int, policy: str
) -> None:
    service = await start(work=True, scan="required", scan_address=clamd.tcp, scan_too_large=policy)
    ann = await service.caller("ann")
    data = BAD.ljust(size, b"x")
    media_id = (await ann.store_all(data)).media_id
    state = Media.QUARANTINED if policy == "hold" else Media.READY
    media = await until(ann, media_id, state)
    assert (media.scan.state, media.scan.threat) == (Scan.TOO_LARGE, "")
    if policy == "hold":
        assert error_info(media).reason == "TOO_LARGE_TO_SCAN"
        assert (await refused(ann.content(media_id))).reason == "MEDIA_QUARANTINED"
    else:
        assert await ann.content(media_id) == data


async def test_reports_withhold_nothing(start: Start, clamd: Clamd) -> None:
    service = await start(work=True, scan="report", scan_address=clamd.tcp)
    ann = await service.caller("ann")
    media_id = (await ann.store(BAD)).media_id
    assert await ann.content(media_id) == BAD
    media = await until_scanned(ann, media_id, Scan.INFECTED)
    assert media.scan.threat == THREAT
    assert ("media.scan", "THREAT_FOUND") in await entries(service, "action", "outcome")
    await until(ann, media_id, Media.READY)
    assert await ann.content(media_id) == BAD
    # Once scans are required, what was reported is quarantined.
    await start(work=True, scan="required", scan_address=clamd.tcp)
    await until(ann, media_id, Media.QUARANTINED)


@pytest.mark.usefixtures("hurried")
async def test_scans_that_fail_open(start: Start, own_clamd: Clamd) -> None:
    service = await start(
        work=True, scan="required", scan_address=own_clamd.tcp, scan_failure="open"
    )
    ann = await service.caller("ann")
    media_id = (await ann.store(BAD)).media_id
    media = await until(ann, media_id, Media.READY)
    assert (media.scan.state, media.scan.reason) == (Scan.FAILED, "SCAN_UNAVAILABLE")
    assert await ann.content(media_id) == BAD
    own_clamd.start()
    await rescan(service, own_clamd)
    media = await until(ann, media_id, Media.QUARANTINED)
    assert media.scan.state == Scan.INFECTED


async def rescan(service: Running, clamd: Clamd) -> int:
    """Does what the periodic task does. Returns how many scans it has started."""
    async with (
        Database(service.database_url, 2) as database,
        scanner.Scanner(open_engine(clamd.tcp)) as opened,
    ):
        return await changed_by(scan_again(database, opened))


async def test_what_was_stored_before_is_scanned_and_unpublished(
    start: Start, clamd: Clamd, database_url: str, tmp_path: Path, fork_server: ForkServer
) -> None:
    async with starter(database_url, tmp_path, fork_server) as start_earlier:
        service = await start_earlier(work=True)
        ann = await service.caller("ann")
        media_id = (await ann.store(BAD)).media_id
        await until(ann, media_id, Media.READY)
        media = await until_scanned(ann, media_id, Scan.NOT_SCANNED)
        assert media.scan == Scan(state=Scan.NOT_SCANNED)
        kinds = {job.type for job in await listed_jobs(ann, media_id=media_id)}
        assert Job.SCAN not in kinds
        await update(ann, ["visibility"], media_id=media_id, visibility=Media.PUBLIC)

        async def is_public() -> bool:
            return all(r.public_url for r in (await get(ann, media_id)).renditions)

        await eventually_async(is_public)
        published = service.data_dir / "public"
        assert blob_files(published)
    service = await start(work=True, scan="required", scan_address=clamd.tcp)
    await until(await service.caller("ann"), media_id, Media.QUARANTINED)

    async def nothing_public() -> bool:
        return not blob_files(published)

    await eventually_async(nothing_public)


async def test_changed_signatures_end_and_begin_a_quarantine(
    start: Start, own_clamd: Clamd
) -> None:
    own_clamd.start(signature="Other:0:*:" + b"something else".hex())
    service = await start(work=True, scan="required", scan_address=own_clamd.tcp)
    ann = await service.caller("ann")
    first, second = [(await ann.store(data)).media_id for data in (BAD, CLEAN)]
    clean = await until(ann, first, Media.READY)
    same = await until(ann, second, Media.READY)
    assert await rescan(service, own_clamd) == 0
    own_clamd.kill()
    own_clamd.start()
    for media_id in (first, second):
        await execute(service, OLD, media_id)
    assert await rescan(service, own_clamd) == 2
    assert (await until(ann, first, Media.QUARANTINED)).scan.threat == THREAT

    async def scanned_again() -> media_pb2.Media | None:
        media = await get(ann, second)
        return media if media.scan.engine == clean.scan.engine else None

    assert (await eventually_async(scanned_again)).etag == same.etag
    assert await rescan(service, own_clamd) == 0
    own_clamd.kill()
    own_clamd.start(signature="Other:0:*:" + b"something else".hex())
    await execute(service, OLD, first)
    assert await rescan(service, own_clamd) == 1
    media = await until(ann, first, Media.READY)
    assert (media.scan.state, media.scan.threat) == (Scan.CLEAN, "")
    assert not media.HasField("error")
    assert ("media.release", first) in await entries(service, "action", "media_id")
    assert await ann.content(first) == BAD


async def test_everything_is_scanned_again_after_local_signatures_changed(
    start: Start, own_clamd: Clamd, tmp_path: Path
) -> None:
    own_clamd.start(signature="Other:0:*:" + b"something else".hex())
    service = await start(work=True, scan="required", scan_address=own_clamd.tcp)
    ann = await service.caller("ann")
    first, second = [(await ann.store(data)).media_id for data in (BAD, CLEAN)]
    for media_id in (first, second):
        engine = (await until(ann, media_id, Media.READY)).scan.engine
    before = own_clamd.version()
    await asyncio.to_thread(own_clamd.add_signature, SIGNATURE, BAD)
    # The engine reports nothing new.
    assert own_clamd.version() == before
    assert await rescan(service, own_clamd) == 0
    for change in (1, 2):
        (_,) = await Run(service, tmp_path)("root", "rescan")
        assert await rescan(service, own_clamd) == 2
        assert (await until(ann, first, Media.QUARANTINED)).scan.threat == THREAT
        for media_id in (first, second):
            await until_engine(ann, media_id, f"{engine}#{change}")
        assert await rescan(service, own_clamd) == 0
    assert await ann.content(second) == CLEAN


async def until_engine(caller: Caller, media_id: str, engine: str) -> None:
    async def scanned() -> bool:
        return (await get(caller, media_id)).scan.engine == engine

    await eventually_async(scanned)


async def test_a_worker_that_does_not_scan_leaves_scans_to_others(
    start: Start, clamd: Clamd
) -> None:
    """As while scans are turned on in one process after the other."""
    earlier = await start(work=True)
    service = await start(scan="required", scan_address=clamd.tcp)
    ann = await service.caller("ann")
    waiting = await ann.store(CLEAN)
    bob = await earlier.caller("bob")
    await until(bob, (await bob.store(CLEAN)).media_id, Media.READY)
    (job,) = await listed_jobs(ann, media_id=waiting.media_id)
    assert (job.type, job.state, job.attempt) == (Job.SCAN, Job.QUEUED, 0)
    await start(work=True, scan="required", scan_address=clamd.tcp)
    assert (await until(ann, waiting.media_id, Media.READY)).scan.state == Scan.CLEAN


@pytest.mark.parametrize("policy", ["required", "report"])
@pytest.mark.usefixtures("hurried")
async def test_turning_scans_off_releases_what_waits(start: Start, policy: str) -> None:
    away = f"clamd://127.0.0.1:{free_port()}"
    service = await start(scan=policy, scan_address=away)
    ann = await service.caller("ann")
    ids = [(await ann.store(data)).media_id for data in (BAD, CLEAN)]
    lost = "delete from jobs where kind = 'SCAN' and subject_id = %s"
    await execute(service, lost, ids[0])
    await start(work=True)
    for media_id in ids:
        await until(ann, media_id, Media.READY)
        media = await until_scanned(ann, media_id, Scan.NOT_SCANNED)
        assert media.scan == Scan(state=Scan.NOT_SCANNED)
        kinds = {job.type for job in await listed_jobs(ann, media_id=media_id)}
        assert Job.SCAN not in kinds


@pytest.mark.usefixtures("impatient", "hurried")
async def test_a_scan_that_always_fails_closes_until_it_succeeds(
    start: Start, clamd: Clamd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "ATTEMPTS", 1)
    service = await start(scan="required", scan_address=clamd.tcp)
    ann = await service.caller("ann")
    media_id = (await ann.store(CLEAN)).media_id
    (original,) = blob_files(service.data_dir / "raw")
    content = original.read_bytes()
    original.unlink()
    await start(work=True, scan="required", scan_address=clamd.tcp)
    media = await until(ann, media_id, Media.FAILED)
    assert (media.scan.state, media.scan.reason) == (Scan.FAILED, "BLOB_MISSING")
    original.write_bytes(content)
    assert (await refused(ann.content(media_id))).reason == "MEDIA_NOT_READY"
    (job,) = await listed_jobs(ann, media_id=media_id)
    await execute(service, "delete from jobs where job_id = %s", job.job_id)
    assert await rescan(service, clamd) == 1
    assert (await until(ann, media_id, Media.READY)).scan.state == Scan.CLEAN


@pytest.mark.usefixtures("hurried")
async def test_a_deleted_media_is_scanned_once_it_is_undeleted(
    start: Start, own_clamd: Clamd
) -> None:
    service = await start(work=True, scan="required", scan_address=own_clamd.tcp)
    ann = await service.caller("ann")
    media_id = (await ann.store(CLEAN)).media_id
    await delete(ann, media_id)
    (job,) = await listed_jobs(ann, media_id=media_id)
    assert (job.state, reason(job)) == (Job.FAILED, "MEDIA_DELETED")
    await undelete(ann, media_id)
    own_clamd.start()
    assert (await until(ann, media_id, Media.READY)).scan.state == Scan.CLEAN


async def test_files_on_s3_are_scanned(start: Start, clamd: Clamd, s3_url: str) -> None:
    service = await start(
        work=True, scan="required", scan_address=clamd.tcp, storage_raw_url=s3_url
    )
    ann = await service.caller("ann")
    bad, good = [(await ann.store(data)).media_id for data in (BAD, CLEAN)]
    await until(ann, bad, Media.QUARANTINED)
    assert (await until(ann, good, Media.READY)).scan.state == Scan.CLEAN


async def test_a_worker_does_not_start_if_clamd_calls_clean_what_it_does_not_scan(
    service: Running, own_clamd: Clamd
) -> None:
    own_clamd.start(AlertExceedsMax="no")
    settings = {"MEDIA_SCAN": "report", "MEDIA_SCAN_ADDRESS": own_clamd.tcp}
    with pytest.raises(ConfigError, match="AlertExceedsMax yes"):
        async with asyncio.timeout(20):
            await app.work(load({**service.environ, **settings}), lambda: None)
