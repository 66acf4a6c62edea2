"""Videos: their renditions, and the failures of broken ones."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from mediaservice.v1 import job_pb2, media_service_pb2

from tests.support.media.small_files import jpeg
from tests.support.media.videos import generated
from tests.support.rpc.jobs import cancel, ended, process, reason, rendition, until
from tests.support.rpc.renders import render
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.tools import encoders

Job = job_pb2.Job
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "50")


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("videos") / "video.mp4"
    return generated(path, "testsrc2=s=160x120:r=25:d=2", "", *X264).read_bytes()


@pytest.fixture(scope="session")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video that takes minutes to encode."""
    path = tmp_path_factory.mktemp("videos") / "long.mp4"
    return generated(path, "mandelbrot=s=640x360:r=25,trim=duration=10", "", *X264).read_bytes()


@pytest.fixture
async def working(lend: Start) -> Running:
    """A server with a worker, without presets."""
    return await lend(work=True, video_presets="-")


async def test_a_video_is_transcoded_and_a_frame_is_extracted(
    working: Running, video: bytes
) -> None:
    ann = await working.caller()
    media = await ann.store(video, "video.mp4")
    job = await ended(ann, (await process(ann, media.media_id, "clip:0:1,mute")).job_id)
    assert (job.state, job.rendition.content_type) == (Job.SUCCEEDED, "video/mp4")
    assert (job.rendition.width, job.rendition.height) == (160, 120)
    assert (await rendition(ann, media.media_id, job.rendition.name))[4:8] == b"ftyp"
    job = await ended(ann, (await process(ann, media.media_id, "frame:1,resize:80x")).job_id)
    assert (job.rendition.width, job.rendition.height) == (80, 60)


async def test_a_storyboard_has_a_vtt_rendition_beside_it(working: Running, video: bytes) -> None:
    ann = await working.caller()
    media = await ann.store(video, "video.mp4")
    job = await process(ann, media.media_id, "storyboard:1", rendition_name="board")
    done = await ended(ann, job.job_id)
    assert (done.rendition.name, done.rendition.content_type) == ("board", "image/jpeg")
    request = media_service_pb2.GetMediaRequest(media_id=media.media_id)
    known = {each.name: each for each in (await ann.call(ann.media.GetMedia, request)).renditions}
    assert known["board.vtt"].content_type == "text/vtt"
    text = (await rendition(ann, media.media_id, "board.vtt")).decode()
    assert "\n../board/content#xywh=0,0,160,120\n" in text


async def test_the_name_of_a_storyboard_leaves_room_for_a_suffix(ann: Caller, video: bytes) -> None:
    media = await ann.store(video, "video.mp4")
    refusal = await refused(process(ann, media.media_id, "storyboard", rendition_name="a" * 61))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["rendition_name"])
    await process(ann, media.media_id, "storyboard", rendition_name="a" * 60)
    await process(ann, media.media_id, "frames", rendition_name="a" * 64)


async def test_operations_for_other_media_kinds_are_refused(working: Running, video: bytes) -> None:
    ann = await working.caller()
    media = await ann.store(video, "video.mp4")
    for ops in ("page:1", "resize:10x", "storyboard,resize:10x", "clip:0:1,frame,mute"):
        refusal = await refused(process(ann, media.media_id, ops))
        assert refusal.reason == "OPERATION_NOT_APPLICABLE", ops


async def test_a_job_on_a_video_of_noise_fails_and_later_jobs_succeed(
    working: Running, video: bytes
) -> None:
    """Its header and its index are intact; the data between them is noise."""
    ann = await working.caller()
    data = bytearray(video)
    start = data.index(b"mdat") + 4
    data[start : data.rindex(b"moov") - 4] = os.urandom(data.rindex(b"moov") - 4 - start)
    broken = await ann.store(bytes(data), "video.mp4")
    for ops in ("transcode", "storyboard", "preview", "frames", "frame"):
        job = await ended(ann, (await process(ann, broken.media_id, ops)).job_id)
        assert (job.state, reason(job)) == (Job.FAILED, "MEDIA_CORRUPT"), ops
        assert job.attempt == 1
    whole = await ann.store(video, "video.mp4")
    job = await ended(ann, (await process(ann, whole.media_id, "frame:1")).job_id)
    assert job.state == Job.SUCCEEDED


async def test_video_operations_are_refused_for_images(ann: Caller) -> None:
    media = await ann.store(jpeg())
    for ops in ("frame:1", "transcode", "clip:0:1", "preview"):
        refusal = await refused(render(ann, media.media_id, ops=ops))
        assert refusal.reason == "OPERATION_NOT_APPLICABLE", ops
        refusal = await refused(process(ann, media.media_id, ops))
        assert refusal.reason == "OPERATION_NOT_APPLICABLE", ops


def scratch() -> set[Path]:
    """Temporary entries of the service in TMPDIR, except pools."""
    found = Path(tempfile.gettempdir()).glob("media-*")
    return {path for path in found if not path.name.startswith("media-child-")}


async def test_cancelling_a_transcode_kills_its_encoder_and_leaves_no_files(
    start: Start, long_video: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    working = await start(work=True, video_presets="-")
    ann = await working.caller()
    media = await ann.store_all(long_video)
    await ended(ann, (await process(ann, media.media_id, "frame:0,resize:16x")).job_id)
    before = scratch()
    job = await process(ann, media.media_id, "transcode:VP9")
    await until(ann, job.job_id, lambda j: j.stage == "render")
    async with asyncio.timeout(60):
        while not (encoders() and scratch() - before):
            await asyncio.sleep(0.01)
    cancelled = await cancel(ann, job.job_id)
    assert cancelled.state == Job.CANCELLED
    async with asyncio.timeout(8):  # sooner than the next renewal of the lease
        while encoders() or scratch() - before:
            await asyncio.sleep(0.01)
    job = await process(ann, media.media_id, "frame:1,resize:16x")
    assert (await ended(ann, job.job_id)).state == Job.SUCCEEDED
