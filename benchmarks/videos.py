"""Videos encoded for streaming, compared with a bare ffmpeg that does the same work."""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import imageio_ffmpeg
import pyvips
from mediaservice.v1 import (
    download_service_pb2,
    download_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    processing_service_pb2,
    processing_service_pb2_grpc,
    upload_pb2,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

from benchmarks.measure import Bench, say
from benchmarks.report import Outcome, Row
from benchmarks.stack import MESSAGE
from benchmarks.transfer import Client, client
from media_service.codecs.sandbox.forks import WARM_UP_SECONDS
from media_service.codecs.video.segment_encoder import AAC_CODER, AUDIO_KBPS, PRESET, QUALITY, X264

RATE = 30
SEGMENT = 2 * RATE
# Shorter side and kbit/s of the service's default ladder.
LADDER = {1080: 5000, 720: 2800, 480: 1400}
NO_PRESETS = {"MEDIA_VIDEO_PRESETS": "-"}
FIRST_SEGMENT_SECONDS = 3.0
ROUNDS = 3


def make_video(path: Path, seconds: int, size: str) -> Path:
    """A video with detail at every scale, a slow zoom and pan, and camera noise."""
    image_path = path.with_suffix(".jpg")
    bands = []
    for seed in range(3):
        rough = pyvips.Image.perlin(3840, 2160, cell_size=512, seed=seed)
        fine = pyvips.Image.perlin(3840, 2160, cell_size=24, seed=seed + 9)
        bands.append(rough * 90 + fine * 30 + 128)
    image = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb")
    image.jpegsave(str(image_path), Q=95)
    move = (
        f"zoompan=z='1.2+0.2*sin(on/90)':x='iw/3*(1+sin(on/150))/2':y='ih/3*(1+cos(on/110))/2'"
        f":d={seconds * RATE}:s={size}:fps={RATE},noise=alls=7:allf=t,format=yuv420p"
    )
    ffmpeg(
        *("-i", str(image_path), "-f", "lavfi", "-i", f"sine=f=440:b=2:d={seconds}"),
        *("-filter_complex", f"[0:v]{move}[v]", "-map", "[v]", "-map", "1:a"),
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-g", "250", "-c:a", "aac"),
        *("-maxrate", "15M", "-bufsize", "30M"),  # like a phone
        *("-t", str(seconds), "-movflags", "+faststart", str(path)),
    )
    return path


def ffmpeg(*arguments: str) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-nostdin", "-y"]
    subprocess.run([*command, *arguments], check=True)


def bare(source: Path, folder: Path) -> None:
    """Encodes the same sizes with the same settings into files, decoding once."""
    graph = "[0:v]split[v1080][a];[a]scale=-2:720,split[v720][b];[b]scale=-2:480[v480]"
    outputs: list[str] = []
    for height, kbps in LADDER.items():
        outputs += [
            *("-map", f"[v{height}]", "-c:v", "libx264", "-preset", PRESET),
            *(
                "-profile:v",
                "high",
                "-crf",
                str(QUALITY),
                "-maxrate",
                f"{kbps}k",
                "-bufsize",
                f"{2 * kbps}k",
            ),
            *("-x264-params", X264),
            *("-g", str(SEGMENT), "-keyint_min", str(SEGMENT), "-sc_threshold", "0"),
            *("-movflags", "+frag_keyframe+empty_moov", str(folder / f"bare{height}.mp4")),
        ]
    outputs += ["-map", "0:a", "-c:a", "aac", "-aac_coder", AAC_CODER]
    outputs += ["-b:a", f"{AUDIO_KBPS}k", str(folder / "bare.m4a")]
    ffmpeg("-i", str(source), "-filter_complex", graph, *outputs)


@contextmanager
def workers(bench: Bench, count: int, **settings: str) -> Iterator[None]:
    """Runs `count` workers. With several settings, each has its own processor."""
    with ExitStack() as stack, bench.stack.log.open("ab") as log:
        cores = sorted(os.sched_getaffinity(0))
        pinned = settings.pop("pinned", "")
        for number in range(count):
            command = [sys.executable, "-m", "media_service", "work"]
            if pinned:
                command = ["taskset", "-c", str(cores[number % len(cores)]), *command]
            process = subprocess.Popen(
                command,
                env={**os.environ, **bench.stack.settings, **settings},
                stdout=log,
                stderr=log,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        # Warm, like a worker that has run for a while when a video arrives.
        time.sleep(WARM_UP_SECONDS + 3)
        yield


async def store(to: Client, path: Path) -> str:
    """Uploads a file and returns the id of its media."""
    stub: Any = upload_service_pb2_grpc.UploadServiceStub(to.service)
    call = stub.WriteUpload(metadata=to.metadata)
    message = upload_service_pb2.WriteUploadRequest
    spec = upload_pb2.UploadSpec(filename=path.name)
    await call.write(message(spec=spec))
    data, offset = path.read_bytes(), 0
    while offset < len(data):
        piece = data[offset : offset + MESSAGE]
        await call.write(message(offset=offset, data=piece))
        offset += len(piece)
    await call.write(message(offset=offset, finish=True))
    await call.done_writing()
    upload = await call
    assert upload.state == upload_pb2.Upload.FINISHED
    return str(upload.media_id)


async def streamed(to: Client, media_id: str, ops: str) -> float:
    """The seconds from the start of the job to its end."""
    stub: Any = processing_service_pb2_grpc.ProcessingServiceStub(to.service)
    request = processing_service_pb2.ProcessMediaRequest(media_id=media_id, ops=ops)
    job = await stub.ProcessMedia(request, metadata=to.metadata)
    jobs: Any = job_service_pb2_grpc.JobServiceStub(to.service)
    watched = jobs.WatchJob(
        job_service_pb2.WatchJobRequest(job_id=job.job_id), metadata=to.metadata
    )
    async for seen in watched:
        job = seen
    assert job.state == job_pb2.Job.SUCCEEDED, job
    return float(job.end_time.ToNanoseconds() - job.start_time.ToNanoseconds()) / 1e9


async def first_segment(to: Client, path: Path) -> float:
    """The seconds from the end of an upload until the first segment of a size is read."""
    stub: Any = download_service_pb2_grpc.DownloadServiceStub(to.service)
    media_id = await store(to, path)
    begin = time.perf_counter()

    async def read(name: str) -> bytes:
        request = download_service_pb2.GetStreamRequest(media_id=media_id, path=name)
        call = stub.GetStream(request, metadata=to.metadata)
        return b"".join([message.data async for message in call])

    while True:
        try:
            master = (await read("master.m3u8")).decode()
            break
        except grpc.RpcError:
            await asyncio.sleep(0.1)  # like a player, and with little load of its own
    first = next(line for line in master.splitlines() if not line.startswith("#"))
    assert await read(first)
    assert await read(first.replace("playlist.m3u8", "init.mp4"))
    assert await read(first.replace("playlist.m3u8", "1.m4s"))
    return time.perf_counter() - begin


async def videos(bench: Bench) -> Outcome:
    folder = bench.payload.path.parent
    quick = bench.seconds < 5
    seconds = 20 if quick else 60
    say("  making the videos ...")
    source = await asyncio.to_thread(make_video, folder / "video.mp4", seconds, "1920x1080")
    long = await asyncio.to_thread(make_video, folder / "long.mp4", 5 * seconds, "640x360")
    async with client(bench.stack) as to:
        rows = [
            *await ladder(bench, to, source, seconds),
            await chunks(bench, to, long),
            await starts(bench, to, source),
        ]
    return Outcome(rows)


async def ladder(bench: Bench, to: Client, source: Path, seconds: int) -> list[Row]:
    media_id = await store(to, source)
    ours, theirs = [], []
    with workers(bench, 1, **NO_PRESETS):
        for number in range(ROUNDS):
            # A different pipeline each time, because existing renditions are reused.
            ops = f"clip:0:{seconds + number + 1},stream"
            ours.append(await streamed(to, media_id, ops))
            begin = time.perf_counter()
            await asyncio.to_thread(bare, source, source.parent)
            theirs.append(time.perf_counter() - begin)
            say(f"  stream: {ours[-1]:.1f} s, bare ffmpeg: {theirs[-1]:.1f} s")
    took = statistics.median(ours)
    return [
        row("1080p30 → 1080, 720, 480 as HLS and DASH", took, float(seconds), 1.0, "its duration"),
        row("the same", took, statistics.median(theirs), 1.05, "bare ffmpeg, the same settings"),
    ]


async def chunks(bench: Bench, to: Client, long: Path) -> Row:
    media_id = await store(to, long)
    settings: Mapping[str, str] = {
        **NO_PRESETS,
        "MEDIA_ENCODE_THREADS": "1",
        "MEDIA_WORKER_SLOTS": "1",
        "pinned": "yes",
    }
    took = {}
    for count in (1, 2):
        with workers(bench, count, **settings):
            ops = f"clip:0:{3600 + count},stream:max_height=360:min_height=360"
            took[count] = await streamed(to, media_id, ops)
            say(f"  {count} workers: {took[count]:.1f} s")
    return Row(
        figure="a video of 5 minutes in chunks, 2 workers with one core each",
        unit="/s",
        target=1.7,
        measured=1 / took[2],
        limit=1 / took[1],
        limit_name="1 such worker",
    )


async def starts(bench: Bench, to: Client, source: Path) -> Row:
    took = []
    with workers(bench, 1):
        for _ in range(2 * ROUNDS - 1):
            took.append(await first_segment(to, source))
            say(f"  first segment: {took[-1]:.2f} s")
            await cancel_all(to)  # the rest of the job is not measured
            await asyncio.sleep(5)
    return row(
        "upload finished → first segment read",
        statistics.median(took),
        FIRST_SEGMENT_SECONDS,
        1.0,
        "as asked for",
    )


async def cancel_all(to: Client) -> None:
    stub: Any = job_service_pb2_grpc.JobServiceStub(to.service)
    for state in (job_pb2.Job.RUNNING, job_pb2.Job.QUEUED):
        request = job_service_pb2.ListJobsRequest(state=state, type=job_pb2.Job.PROCESS)
        for job in (await stub.ListJobs(request, metadata=to.metadata)).jobs:
            cancel = job_service_pb2.CancelJobRequest(job_id=job.job_id)
            await stub.CancelJob(cancel, metadata=to.metadata)


def row(figure: str, measured: float, limit: float, target: float, name: str) -> Row:
    return Row(
        figure=figure,
        unit="s",
        target=target,
        at_most=True,
        measured=measured,
        limit=limit,
        limit_name=name,
    )
