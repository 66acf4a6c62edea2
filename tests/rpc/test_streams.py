"""Streams: playable while they are encoded, complete at the end, and private to their owner."""

import asyncio
import re
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

import av
import grpc
import numpy as np
import psutil
import pytest
from google.protobuf import duration_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from mediaservice.v1 import download_service_pb2, job_pb2, media_pb2, media_service_pb2

from media_service.db.database import Database
from media_service.renditions.streams.cleanup import remove_abandoned
from tests.support.batches import changed_by
from tests.support.media.numbered_frames import (
    audio_seconds,
    counted,
    ffmpeg,
    frames_of,
    made,
    shade,
)
from tests.support.rpc import catalogue
from tests.support.rpc.jobs import cancel, ended, listed, process, reason, retry, until
from tests.support.rpc.playlists import playlists, read, text
from tests.support.rpc.quotas import set_quota, usage
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.sharing import make_administrator
from tests.support.tools import encoders, eventually

Job = job_pb2.Job
SIZES = {"video_profiles": "144=200,240=400,480=1400"}
OPS = "stream:min_height=144"


async def by_link(caller: Caller, token: str, path: str) -> bytes:
    request = download_service_pb2.GetSignedRequest(token=token, path=path)
    return b"".join([message.data async for message in caller.downloads.GetSigned(request)])


async def in_public(caller: Caller, path: str) -> bytes:
    request = download_service_pb2.GetPublicRequest(path=path)
    return b"".join([message.data async for message in caller.downloads.GetPublic(request)])


async def show(
    caller: Caller, media_id: str, visibility: "media_pb2.Media.Visibility.ValueType"
) -> media_pb2.Media:
    media = media_pb2.Media(media_id=media_id, visibility=visibility)
    request = media_service_pb2.UpdateMediaRequest(
        media=media, update_mask=FieldMask(paths=["visibility"])
    )
    return await caller.call(caller.media.UpdateMedia, request)


@dataclass(frozen=True)
class Played:
    """A track as a player assembles it."""

    path: Path
    durations: Sequence[float]
    playlist: str


async def play(caller: Caller, media_id: str, playlist: str, folder: Path) -> Played:
    found = await text(caller, media_id, playlist)
    place = playlist.rpartition("/")[0]
    data = await read(caller, media_id, f"{place}/init.mp4")
    for name in re.findall(r"^\d+\.m4s$", found, re.MULTILINE):
        data += await read(caller, media_id, f"{place}/{name}")
    path = folder / f"{place.rpartition('/')[2]}.mp4"
    path.write_bytes(data)
    durations = [float(seconds) for seconds in re.findall(r"#EXTINF:([\d.]+)", found)]
    return Played(path, durations, found)


@pytest.fixture
async def streaming(lend: Start) -> Running:
    return await lend(work=True, **SIZES)


async def streamed(caller: Caller, data: bytes, ops: str = OPS) -> tuple[str, Job]:
    media = await caller.store_all(data)
    job = await ended(caller, (await process(caller, media.media_id, ops)).job_id)
    return media.media_id, job


async def test_a_stream_has_every_rung_up_to_the_size_of_its_video(
    streaming: Running, tmp_path: Path
) -> None:
    ann = await streaming.caller()
    media_id, job = await streamed(ann, counted(7, "30000/1001", "426x240"))
    assert job.state == Job.SUCCEEDED, job.error
    made_of_it = job.rendition
    assert (made_of_it.name, made_of_it.width, made_of_it.height) == ("stream", 426, 240)
    found = await playlists(ann, media_id)
    assert [name.split("/")[1] for name in found] == ["240p", "144p"]
    for playlist, size in zip(found, ("426x240", "256x144"), strict=True):
        assert f"RESOLUTION={size}" in await text(ann, media_id, "master.m3u8")
        played = await play(ann, media_id, playlist, tmp_path)
        shown = frames_of(played.path)
        assert [luma for _, luma in shown] == pytest.approx([shade(n) for n in range(210)], abs=2)
        assert [time for time, _ in shown] == pytest.approx(
            [n * 1001 / 30000 for n in range(210)], abs=0.001
        )
        # The first segment is short, because a viewer may be waiting for it.
        assert played.durations[:-1] == pytest.approx([0.667, 1.335, 2.002, 2.002], abs=0.001)
        assert sum(played.durations) == pytest.approx(210 * 1001 / 30000, abs=0.001)
        assert played.playlist.endswith("#EXT-X-ENDLIST\n")
    audio = await play(ann, media_id, found[0].replace("240p", "a1"), tmp_path)
    assert audio_seconds(audio.path) == pytest.approx(7, abs=0.03)
    frames = await text(ann, media_id, found[0].replace("playlist", "iframes"))
    assert "#EXT-X-I-FRAMES-ONLY" in frames
    assert frames.count("#EXT-X-BYTERANGE") == len(played.durations)
    # Even if the short first segment needs more bits per second than all others.
    master = await text(ann, media_id, "master.m3u8")
    rates = re.findall(r":BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+)", master)
    assert len(rates) == 2
    assert all(int(peak) >= int(average) for peak, average in rates)


async def test_joined_chunks_have_no_extra_or_missing_frame(
    streaming: Running, tmp_path: Path
) -> None:
    ann = await streaming.caller()
    media_id, job = await streamed(ann, counted(101, "5", "256x144", 0))
    assert job.state == Job.SUCCEEDED, job.error
    (playlist,) = await playlists(ann, media_id)
    played = await play(ann, media_id, playlist, tmp_path)
    shown = frames_of(played.path)
    assert [luma for _, luma in shown] == pytest.approx([shade(n) for n in range(505)], abs=2)
    assert [time for time, _ in shown] == pytest.approx([n / 5 for n in range(505)], abs=0.001)
    assert played.durations == pytest.approx([0.6, 1.4, *[2] * 49, 1], abs=0.001)
    # The jobs of the parts are hidden from callers.
    assert [job.type for job in await listed(ann, media_id=media_id)] == [Job.PROCESS, Job.INGEST]


@pytest.mark.usefixtures("impatient")
async def test_a_stream_plays_before_it_is_complete(streaming: Running, tmp_path: Path) -> None:
    ann = await streaming.caller()
    media = await ann.store_all(made(["testsrc2=s=256x144:r=30:d=60", "sine=d=60"]))
    job = await process(ann, media.media_id, OPS)
    refusal = await refused(text(ann, media.media_id, "master.m3u8"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "MEDIA_NOT_READY")

    async def begun() -> list[str]:
        while True:
            try:
                return await playlists(ann, media.media_id)
            except grpc.RpcError:
                await asyncio.sleep(0.05)

    async with asyncio.timeout(60):
        found = await begun()
    working = encoders()
    for encoder in working:  # so that none finishes while the stream is read
        with suppress(psutil.NoSuchProcess):  # the audio encoder may have ended
            encoder.suspend()
    played = await play(ann, media.media_id, found[0], tmp_path)
    assert "#EXT-X-ENDLIST" not in played.playlist
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in played.playlist
    assert 0 < len(frames_of(played.path)) < 1800
    refusal = await refused(text(ann, media.media_id, "manifest.mpd"))
    assert refusal.reason == "MEDIA_NOT_READY"
    for encoder in working:
        with suppress(psutil.NoSuchProcess):
            encoder.resume()
    assert (await ended(ann, job.job_id)).state == Job.SUCCEEDED
    assert "#EXT-X-ENDLIST" in await text(ann, media.media_id, found[0])
    assert 'type="static"' in await text(ann, media.media_id, "manifest.mpd")


async def test_a_stream_of_a_clipped_video_starts_at_the_clip(
    streaming: Running, tmp_path: Path
) -> None:
    ann = await streaming.caller()
    media_id, job = await streamed(
        ann, counted(12, "10", "256x144"), f"clip:3.5:8,mute,speed:0.5,{OPS}"
    )
    assert job.state == Job.SUCCEEDED, job.error
    (playlist,) = await playlists(ann, media_id)
    shown = frames_of((await play(ann, media_id, playlist, tmp_path)).path)
    assert len(shown) == pytest.approx(45, abs=1)
    assert shown[0][1] == pytest.approx(shade(35), abs=STEPS)
    assert shown[-1][1] == pytest.approx(shade(79), abs=STEPS)
    assert "AUDIO" not in await text(ann, media_id, "master.m3u8")


# The luma may differ by one where a cut lies between two frames.
STEPS = 6


async def test_every_audio_and_subtitle_track_is_listed(streaming: Running, tmp_path: Path) -> None:
    subtitles = tmp_path / "en.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:02,000\nGood evening\n")
    video, whole = tmp_path / "video.mp4", tmp_path / "whole.mp4"
    video.write_bytes(counted(4, "5", "256x144", 2))
    ffmpeg(
        *("-i", str(video), "-i", str(subtitles), "-map", "0", "-map", "1", "-c", "copy"),
        *("-c:s", "mov_text", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra"),
        *("-metadata:s:s:0", "language=eng", str(whole)),
    )
    data = whole.read_bytes()
    ann = await streaming.caller()
    media_id, job = await streamed(ann, data)
    assert job.state == Job.SUCCEEDED, job.error
    master = await text(ann, media_id, "master.m3u8")
    audio_tracks = re.findall(r'TYPE=AUDIO.*LANGUAGE="(\w+)",DEFAULT=(\w+)', master)
    assert audio_tracks == [("eng", "YES"), ("fra", "NO")]
    (address,) = re.findall(r'TYPE=SUBTITLES.*URI="(.+)"', master)
    assert "1.vtt" in await text(ann, media_id, address)
    words = await text(ann, media_id, address.replace("playlist.m3u8", "1.vtt"))
    assert words.startswith("WEBVTT")
    assert "00:01.000 --> 00:02.000\nGood evening" in words
    manifest = await text(ann, media_id, "manifest.mpd")
    assert re.findall(r'contentType="(\w+)"', manifest) == ["video", "audio", "audio", "text"]


async def test_a_second_stream_replaces_the_first(streaming: Running, database: Database) -> None:
    ann = await streaming.caller()
    media_id, _ = await streamed(ann, counted(4, "5", "426x240"))
    before = await playlists(ann, media_id)
    job = await ended(
        ann, (await process(ann, media_id, "stream:max_height=144:min_height=144")).job_id
    )
    assert job.state == Job.SUCCEEDED, job.error
    after = await playlists(ann, media_id)
    assert [name.split("/")[1] for name in after] == ["144p"]
    # A client that plays the first stream can finish it within some hours.
    assert "#EXT-X-ENDLIST" in await text(ann, media_id, before[0])
    async with streaming.database() as db:
        await db.execute(
            "update streams set replace_time = now() - interval '7 hours'"
            " where replace_time is not null"
        )
        assert await changed_by(remove_abandoned(database)) > 0
        rows = await db.execute("select distinct track from stream_segments")
        assert {track async for (track,) in rows} == {"144p", "a1"}
    assert (await refused(text(ann, media_id, before[0]))).reason == "RENDITION_NOT_FOUND"


async def test_deleting_a_stream_removes_its_bytes(streaming: Running) -> None:
    ann = await streaming.caller()
    await make_administrator(streaming, "root")
    admin = await streaming.caller("root")
    await set_quota(admin, "owner:/user:ann", RENDITION_BYTES=1 << 30)
    media_id, _ = await streamed(ann, counted(4, "5", "256x144"))
    async with streaming.database() as db:
        rows = await db.execute(
            "select sum(size_bytes)::bigint from stream_segments join blobs using (blob_id)"
        )
        ((segments,),) = await rows.fetchall()
    (_, stored) = (await usage(admin, "owner:/user:ann"))["RENDITION_BYTES"]
    others = sum(each.size_bytes for each in (await catalogue.get(ann, media_id)).renditions)
    assert (segments > 0, stored) == (True, segments + others)
    request = media_service_pb2.DeleteRenditionRequest(media_id=media_id, rendition="stream")
    await ann.call(ann.media.DeleteRendition, request)
    assert (await refused(text(ann, media_id, "master.m3u8"))).reason == "RENDITION_NOT_FOUND"
    assert (await usage(admin, "owner:/user:ann"))["RENDITION_BYTES"][1] < stored - segments
    async with streaming.database() as db:
        rows = await db.execute("select count(*) from stream_segments")
        assert await rows.fetchone() == (0,)


async def test_a_path_outside_a_stream_is_not_found(streaming: Running) -> None:
    ann, bob = await streaming.caller("ann"), await streaming.caller("bob")
    media_id, _ = await streamed(ann, counted(4, "5", "256x144"))
    (playlist,) = await playlists(ann, media_id)
    place = playlist.rpartition("/")[0]
    for path in (
        "other.m3u8", "../x", f"{place}/99.m4s", f"{place}/0.m4s", f"{place}/1.vtt/..",
        playlist.replace("144p", "720p"), playlist.replace(playlist[:8], "00000000"), "\0",
    ):  # fmt: skip
        assert (await refused(read(ann, media_id, path))).reason == "RENDITION_NOT_FOUND", path
    assert (await refused(read(bob, media_id, "master.m3u8"))).reason == "MEDIA_NOT_FOUND"
    assert (await refused(read(bob, media_id, playlist))).reason == "MEDIA_NOT_FOUND"
    # A path of another media is not found in the caller's own media either.
    other = await bob.store_all(counted(4, "5", "256x144"))
    assert (await refused(read(bob, other.media_id, playlist))).reason == "RENDITION_NOT_FOUND"
    assert (await refused(read(ann, media_id, ""))).reason == "INVALID_FIELD"


async def test_a_link_opens_every_file_of_a_stream_and_nothing_else(streaming: Running) -> None:
    ann = await streaming.caller()
    media_id, _ = await streamed(ann, counted(4, "5", "256x144"))
    request = download_service_pb2.SignUrlRequest(
        media_id=media_id, rendition="stream", ttl=duration_pb2.Duration(seconds=60)
    )
    url = (await ann.call(ann.downloads.SignUrl, request)).url
    assert url.endswith("/master.m3u8")
    token = url.split("/")[-2]

    signed = partial(by_link, ann, token)
    for path in ("master.m3u8", "manifest.mpd", *await playlists(ann, media_id)):
        assert await signed(path) == await read(ann, media_id, path)
    (playlist,) = await playlists(ann, media_id)
    segment = playlist.replace("playlist.m3u8", "1.m4s")
    assert await signed(segment) == await read(ann, media_id, segment)
    assert (await refused(signed("master.m3u9"))).reason == "LINK_INVALID"
    await ann.call(ann.media.DeleteMedia, media_service_pb2.DeleteMediaRequest(media_id=media_id))
    assert (await refused(signed(segment))).reason == "LINK_INVALID"


async def test_a_stream_link_opens_its_storyboard_and_no_other_rendition(
    streaming: Running,
) -> None:
    ann = await streaming.caller()
    media_id, _ = await streamed(ann, counted(4, "5", "256x144"))
    for name, ops in (("storyboard", "storyboard"), ("board", "mute,storyboard:1"), ("p", "frame")):
        await ended(ann, (await process(ann, media_id, ops, rendition_name=name)).job_id)
    sign = download_service_pb2.SignUrlRequest(media_id=media_id, rendition="stream")
    token = (await ann.call(ann.downloads.SignUrl, sign)).url.split("/")[-2]
    await show(ann, media_id, media_pb2.Media.PUBLIC)

    async def public(path: str) -> bytes:
        return await in_public(ann, f"streams/{media_id}/{path}")

    for get in (partial(by_link, ann, token), public, partial(read, ann, media_id)):
        for name in ("storyboard", "board"):
            times = (await get(f"{name}.vtt/content")).decode()
            (line, *_) = [line for line in times.splitlines() if "#xywh=" in line]
            # As a player locates the I-frames.
            sheet = urljoin(f"{name}.vtt/content", line.partition("#")[0])
            assert (await get(sheet)).startswith(b"\xff\xd8"), get
        for other in ("p/content", "none.vtt/content"):
            assert (await refused(get(other))).reason in {"RENDITION_NOT_FOUND", "LINK_INVALID"}


async def test_signing_a_link_to_a_missing_stream_is_refused(streaming: Running) -> None:
    ann = await streaming.caller()
    media = await ann.store_all(counted(4, "5", "256x144"))
    request = download_service_pb2.SignUrlRequest(media_id=media.media_id, rendition="stream")
    await ended(ann, (await listed(ann, media_id=media.media_id))[0].job_id)
    refusal = await refused(ann.call(ann.downloads.SignUrl, request))
    assert refusal.reason == "RENDITION_NOT_FOUND"


async def test_cancelling_a_stream_kills_its_encoders_and_leaves_no_files(
    streaming: Running,
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path_factory.mktemp("tmp")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    ann = await streaming.caller()
    media = await ann.store_all(made(["testsrc2=s=256x144:r=30:d=60"]))
    job = await process(ann, media.media_id, OPS)
    async with asyncio.timeout(60):
        while not encoders():
            await asyncio.sleep(0.02)
    assert (await cancel(ann, job.job_id)).state == Job.CANCELLED
    # psutil's own wait would reap the children of this process before the service does.
    await asyncio.to_thread(eventually, lambda: not encoders(), 5)
    await asyncio.to_thread(eventually, lambda: not list(folder.glob("media-program-*")))
    await changed_by(remove_abandoned(database))
    async with streaming.database() as db:
        rows = await db.execute("select count(*) from streams")
        assert await rows.fetchone() == (0,)
    # It can be started again from scratch.
    await retry(ann, job.job_id)
    assert (await until(ann, job.job_id, lambda job: job.state != Job.QUEUED)).state == Job.RUNNING
    assert (await cancel(ann, job.job_id)).state == Job.CANCELLED


async def test_streaming_a_partly_broken_video_fails_with_a_reason(streaming: Running) -> None:
    ann = await streaming.caller()
    data = bytearray(counted(101, "5", "256x144"))
    for place in range(len(data) // 2, len(data) - 1000, 7):
        data[place] ^= 0x5A
    media_id, job = await streamed(ann, bytes(data))
    if job.state == Job.FAILED:
        assert reason(job) == "MEDIA_CORRUPT"
    else:
        (playlist,) = await playlists(ann, media_id)
        assert (await text(ann, media_id, playlist)).count("#EXTINF") == 51


async def test_the_rendition_name_stream_is_reserved_for_streams(streaming: Running) -> None:
    ann = await streaming.caller()
    media = await ann.store_all(counted(4, "5", "256x144"))
    for ops, name in (("stream", "mine"), ("frame", "stream")):
        refusal = await refused(process(ann, media.media_id, ops, rendition_name=name))
        assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["rendition_name"])


async def test_a_media_without_video_is_not_streamed(streaming: Running) -> None:
    ann = await streaming.caller()
    data = made(["sine=d=3"])
    _, job = await streamed(ann, data)
    assert (job.state, reason(job)) == (Job.FAILED, "OPERATION_NOT_APPLICABLE")


async def test_presets_run_for_new_videos(start: Start) -> None:
    service = await start(
        work=True, video_presets="stream=stream;poster=frame:1,resize:100x", **SIZES
    )
    ann = await service.caller()
    media = await ann.store_all(counted(4, "5", "256x144"))

    async def names() -> set[str]:
        request = media_service_pb2.GetMediaRequest(media_id=media.media_id)
        found = await ann.call(ann.media.GetMedia, request)
        return {rendition.name for rendition in found.renditions}

    async with asyncio.timeout(60):
        while await names() != {"stream", "poster"}:
            await asyncio.sleep(0.1)
    refusal = await refused(process(ann, media.media_id, "frame", rendition_name="poster"))
    assert refusal.reason == "INVALID_FIELD"


async def test_the_audio_of_a_streamed_clip_may_begin_after_the_clip(streaming: Running) -> None:
    ann = await streaming.caller()
    data = made(["testsrc2=s=256x144:r=5:d=8", "sine=d=2"], "-af", "asetpts=PTS+5/TB")
    media_id, job = await streamed(ann, data, f"clip:0:3,{OPS}")
    assert job.state == Job.SUCCEEDED, job.error.message
    assert await playlists(ann, media_id)


async def test_an_explicit_stream_request_takes_precedence_over_the_preset(start: Start) -> None:
    ann = await (await start(**SIZES)).caller()
    media = await ann.store_all(counted(4, "5", "256x144"))
    job = await process(ann, media.media_id, "clip:0:2,stream:min_height=144")
    await start(work=True, video_presets="stream=stream;poster=frame", **SIZES)
    assert (await ended(ann, job.job_id)).state == Job.SUCCEEDED

    async def jobs() -> list[Job]:
        return [each for each in await listed(ann, media_id=media.media_id) if each.operations]

    async with asyncio.timeout(60):
        while len(await jobs()) < 2 or not all(each.HasField("end_time") for each in await jobs()):
            await asyncio.sleep(0.1)
    assert {each.rendition_name for each in await jobs()} == {"stream", "poster"}
    (playlist,) = await playlists(ann, media.media_id)
    assert (
        sum(map(float, re.findall(r"#EXTINF:([\d.]+)", await text(ann, media.media_id, playlist))))
        == 2
    )


async def test_a_public_stream_plays_without_a_token_until_it_is_private(
    streaming: Running,
) -> None:
    ann = await streaming.caller()
    media_id, job = await streamed(ann, counted(4, "5", "256x144"))
    assert job.rendition.public_url == ""

    public = partial(in_public, ann)
    path = f"streams/{media_id}/"
    assert (await refused(public(f"{path}master.m3u8"))).reason == "MEDIA_NOT_FOUND"
    (stream,) = (await show(ann, media_id, media_pb2.Media.PUBLIC)).renditions
    assert stream.public_url.endswith(f"/v1/public/{path}master.m3u8")
    for name in ("master.m3u8", "manifest.mpd", *await playlists(ann, media_id)):
        assert await public(path + name) == await read(ann, media_id, name)
    (playlist,) = await playlists(ann, media_id)
    segment = playlist.replace("playlist.m3u8", "1.m4s")
    assert await public(path + segment) == await read(ann, media_id, segment)
    for nothing in ("streams", "streams/", "streams/x/master.m3u8", f"streams/{media_id}"):
        assert (await refused(public(nothing))).reason in {"MEDIA_NOT_FOUND", "RENDITION_NOT_FOUND"}
    await show(ann, media_id, media_pb2.Media.PRIVATE)
    assert (await refused(public(path + segment))).reason == "MEDIA_NOT_FOUND"


async def shades(
    ann: Caller, data: bytes, folder: Path, ops: str = OPS
) -> tuple[list[int], list[float]]:
    """The luma and the presentation time of each frame of a stream."""
    media_id, job = await streamed(ann, data, ops)
    assert job.state == Job.SUCCEEDED, job.error
    shown = frames_of((await play(ann, media_id, (await playlists(ann, media_id))[0], folder)).path)
    return [luma for _, luma in shown], [time for time, _ in shown]


async def test_a_long_frame_keeps_its_full_duration(streaming: Running, tmp_path: Path) -> None:
    """Slides of eight seconds, one frame each, across chunk boundaries."""
    video, slides = tmp_path / "video.mp4", tmp_path / "slides.mp4"
    video.write_bytes(counted(13, "1", "256x144"))
    keep = ["-i", str(video), "-an", "-vf", "setpts=8*PTS,fps=5", "-c:v", "libx264", "-g", "40"]
    ffmpeg(*keep, "-pix_fmt", "yuv420p", str(video.with_name("even.mp4")))
    # The same video with each frame stored once.
    ffmpeg(
        *(
            "-i",
            str(video.with_name("even.mp4")),
            "-vf",
            "mpdecimate=hi=64:lo=32:frac=0.1",
            "-fps_mode",
            "vfr",
        ),
        *("-c:v", "libx264", "-crf", "5", str(slides)),
    )
    ann = await streaming.caller()
    lumas, times = await shades(ann, slides.read_bytes(), tmp_path)
    seen = {round(time): luma for luma, time in zip(lumas, times, strict=True)}
    for second in range(2, 90, 4):
        assert seen[second] == pytest.approx(shade(second // 8), abs=2), second


async def test_a_video_whose_audio_outlasts_its_frames_is_streamed(
    streaming: Running, tmp_path: Path
) -> None:
    video, whole = tmp_path / "video.mp4", tmp_path / "whole.mp4"
    video.write_bytes(counted(20, "5", "256x144", 0))
    audio = ["-f", "lavfi", "-i", "sine=d=65"]
    ffmpeg("-i", str(video), *audio, "-c:v", "copy", "-c:a", "aac", str(whole))
    ann = await streaming.caller()
    lumas, _ = await shades(ann, whole.read_bytes(), tmp_path)
    assert lumas[:100] == pytest.approx([shade(n) for n in range(100)], abs=2)
    assert len(lumas) == 65 * 5
    assert set(lumas[100:]) <= {lumas[99] - 1, lumas[99], lumas[99] + 1}


async def test_a_job_whose_result_lacks_a_part_of_its_source_fails(
    streaming: Running, tmp_path: Path
) -> None:
    """The second half of the audio cannot be decoded. Players would play silence."""
    video = tmp_path / "video.mp4"
    video.write_bytes(counted(4, "5", "256x144"))
    data = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        for packet in container.demux(audio=0):
            if packet.pos is not None and (packet.pts or 0) * packet.time_base > 2:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    ann = await streaming.caller()
    media = await ann.store_all(bytes(data))
    for ops in (OPS, "transcode"):
        job = await ended(ann, (await process(ann, media.media_id, ops)).job_id)
        assert (job.state, reason(job)) == (Job.FAILED, "MEDIA_CORRUPT"), ops
        assert "of the result ends" in job.error.message


async def test_audio_of_a_transport_stream_keeps_its_start_offset(
    streaming: Running, tmp_path: Path
) -> None:
    video, late = tmp_path / "video.mp4", tmp_path / "late.ts"
    video.write_bytes(counted(10, "5", "256x144", 0))
    audio = ["-itsoffset", "2", "-f", "lavfi", "-i", "sine=d=6"]
    ffmpeg("-i", str(video), *audio, "-c:v", "copy", "-c:a", "aac", "-f", "mpegts", str(late))
    ann = await streaming.caller()
    media_id, job = await streamed(ann, late.read_bytes())
    assert job.state == Job.SUCCEEDED, job.error
    (playlist,) = await playlists(ann, media_id)
    shown = frames_of((await play(ann, media_id, playlist, tmp_path)).path)
    assert [luma for _, luma in shown[:5]] == pytest.approx([shade(n) for n in range(5)], abs=2)
    audio_path = (await play(ann, media_id, playlist.replace("144p", "a1"), tmp_path)).path
    with av.open(str(audio_path)) as container:
        loud = [
            frame.time
            for frame in container.decode(audio=0)
            if np.abs(frame.to_ndarray()).max() > 0.01
        ]
    assert loud[0] == pytest.approx(2, abs=0.06)


async def test_a_video_whose_header_claims_days_is_refused(
    streaming: Running, tmp_path: Path
) -> None:
    video = tmp_path / "video.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=256x144:r=5:d=3", "-c:v", "libx264", str(video))
    data = bytearray(video.read_bytes())
    place = data.index(b"\x44\x89\x88") + 3
    data[place : place + 8] = struct.pack(">d", 1e14)
    ann = await streaming.caller()
    media = await ann.store_all(bytes(data))
    job = await ended(ann, (await process(ann, media.media_id, OPS)).job_id)
    if job.state == Job.FAILED:
        assert reason(job) in {"PROCESSING_LIMIT_EXCEEDED", "MEDIA_CORRUPT"}
    else:  # streamed with its actual length
        (playlist,) = await playlists(ann, media.media_id)
        assert (await text(ann, media.media_id, playlist)).count("#EXTINF") == 3
