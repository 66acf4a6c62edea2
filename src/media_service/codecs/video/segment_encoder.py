"""Encodes the tracks of a stream as fragmented MP4, and delivers each segment as it is written."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import ffmpeg

from media_service.codecs.ffmpeg.pipes import Pipe, open_pipe
from media_service.codecs.ffmpeg.run import (
    NICE_AUDIO,
    NICE_INTERACTIVE,
    ReportSeconds,
    ffmpeg_input,
    open_file,
    run_ffmpeg,
)
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.task_group import run_together
from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.fmp4 import Fragment, FragmentParser, InitSegment
from media_service.codecs.video.ladder import SAMPLE_RATE, SEGMENT_SECONDS, Ladder, Rung, Track
from media_service.codecs.video.source import MAX_KEY_FRAME_SECONDS, AvSource
from media_service.errors import InvalidArgument

# Takes the name of a track and its next segment. The calls start in order. A call may start before
# the previous one has returned.
Deliver = Callable[[str, InitSegment | Fragment], Awaitable[None]]

# One moov before the first fragment, with the edit list that B-frames and encoder delay need. Each
# fragment begins with a key frame.
FRAGMENTED = "+delay_moov+default_base_moof+cmaf"
# Subtitle files are read into memory.
SUBTITLE_FILE_BYTES = 16 << 20
QUALITY = 23
# With these, two cores keep up with a video of 30 frames per second in 1080p, 720p and 480p: the
# motion search of the preset, with macroblock-tree rate control as in slower presets
# (docs/performance.md). Each frame of lookahead delays the first segment, so there are few, and
# none for a lookahead thread.
PRESET, X264 = "superfast", "mbtree=1:rc-lookahead=10:b-adapt=0:sync-lookahead=0"
# This coder does two fifths less work than the default one, which is better only at low bit rates.
AUDIO_KBPS, AAC_CODER = 128, "fast"
# hls.js never reports the end of a stream whose last segment is as short as a few frames.
SHORTEST_SECONDS = 0.4
# How much farther back each search for the last frame of an ended video track begins.
FARTHER = 4
# Segments of a track that are delivered concurrently.
CONCURRENT_DELIVERIES = 4


async def encode_video(
    source: AvSource,
    edits: Edits,
    ladder: Ladder,
    chunk: int,
    deliver: Deliver,
    *,
    threads: int = 0,
    report: ReportSeconds | None = None,
) -> None:
    """Encodes one chunk (from 0) in all rungs, and decodes it only once. Times begin at 0. Each
    fragment is a segment.

    Raises the errors of `Program.wait` and `deliver`.
    """
    first = chunk * ladder.chunk_frames
    begin = edits.start + first / frame_rate(ladder) * edits.speed
    pieces = 0

    async def counted(track: str, piece: InitSegment | Fragment) -> None:
        nonlocal pieces
        pieces += 1
        await deliver(track, piece)

    back = source.seek_margin_seconds
    while True:
        try:
            await encode_from(
                begin - back, source, edits, ladder, chunk, counted, threads=threads, report=report
            )
        except InvalidArgument:
            if pieces or begin <= back:
                raise
        if pieces or begin <= back:
            return
        # The video track ended before. Its last frame, farther back, is held.
        back = max(back * FARTHER, MAX_KEY_FRAME_SECONDS)


async def encode_from(
    time: float,
    source: AvSource,
    edits: Edits,
    ladder: Ladder,
    chunk: int,
    deliver: Deliver,
    *,
    threads: int,
    report: ReportSeconds | None,
) -> None:
    """Like `encode_video`. Decodes from the key frame before `time` on, in seconds of the
    source."""
    async with AsyncExitStack() as stack:
        file = stack.enter_context(open_file(source.path))
        seek: dict[str, Any] = {"ss": f"{time:.6f}"} if source.can_seek(time) else {}
        node = ffmpeg_input(
            file,
            source.demuxer,
            **seek,
            # From the key frame before: the frame on display when the chunk begins may have begun
            # long before. Times stay those of the original, so that all chunks count the same
            # frames.
            noaccurate_seek=None,
            copyts=None,
            start_at_zero=None,
        )
        video = graph.deinterlaced(node[source.video_selector], source)
        video = chunk_frames(video, source, edits, ladder, chunk)
        largest = ladder.rungs[0]
        video = graph.for_display(video, source, (largest.width, largest.height))
        outputs, pipes = [], []
        for rung, scaled in zip(ladder.rungs, scale_to_rungs(video, ladder.rungs), strict=True):
            pipe = await stack.enter_async_context(open_pipe())
            pipes.append((rung.name, pipe))
            options = video_options(rung, ladder, chunk, threads)
            outputs.append(scaled.output(f"pipe:{pipe.file}", **options))
        outputs.append(discarded(node["a?"]))
        await encode(
            stack, outputs, file, pipes, deliver, report, source.limits, nice=NICE_INTERACTIVE
        )


def discarded(node: graph.Node) -> graph.Node:
    """Returns an output that discards a track. ffmpeg's time 0 is the begin of the first track in
    use. It must be the same in every run, so every run uses all tracks."""
    return node.output("-", format="null", codec="copy")


def frame_rate(ladder: Ladder) -> float:
    return ladder.rate[0] / ladder.rate[1]


def chunk_frames(
    video: graph.Node, source: AvSource, edits: Edits, ladder: Ladder, chunk: int
) -> graph.Node:
    """Returns the frames of a chunk (from 0) at the constant rate. Every chunk has its full length:
    the last frame is held where frames are missing, and after the last one until the audio ends."""
    first, frames = chunk * ladder.chunk_frames, length(ladder, chunk)
    per_second = f"{ladder.rate[0]}/{ladder.rate[1]}"
    video = video.filter("setpts", f"(PTS-{edits.start:.6f}/TB)/{edits.speed:.9g}")
    # The last frame may have no duration.
    options = {**source.constant_rate, "fps": per_second, "eof_action": "pass"}
    video = video.filter("fps", **options)
    video = video.filter("tpad", stop=-1, stop_mode="clone")
    # A frame that begins later is repeated from the begin of the chunk on.
    video = video.filter("fps", per_second, start_time=f"{first / frame_rate(ladder):.6f}")
    video = video.filter("trim", start_pts=first, end_pts=first + frames)
    return video.filter("setpts", f"PTS-{first}")


def length(ladder: Ladder, chunk: int) -> int:
    """The number of frames of a chunk."""
    if chunk < ladder.chunks - 1:
        return ladder.chunk_frames
    frames = round(ladder.seconds * frame_rate(ladder)) - chunk * ladder.chunk_frames
    return max(frames, 1)


def scale_to_rungs(video: graph.Node, rungs: Sequence[Rung]) -> list[graph.Node]:
    """Returns the video in the size of each rung. Each one is scaled from the previous one."""
    nodes = []
    for smaller in rungs[1:]:
        split = video.filter_multi_output("split", 2)
        nodes.append(split[0])
        video = split[1].filter("scale", smaller.width, smaller.height)
    return [*nodes, video]


def video_options(rung: Rung, ladder: Ladder, chunk: int, threads: int) -> dict[str, Any]:
    return {
        "format": "mp4",
        "vcodec": "libx264",
        "preset": PRESET,
        "x264-params": X264,
        "profile:v": "high",
        "crf": QUALITY,
        "maxrate": f"{rung.bit_rate_kbps}k",
        "bufsize": f"{2 * rung.bit_rate_kbps}k",
        # One closed GOP per segment, at the same times in all rungs.
        "g": ladder.segment_frames + round(SHORTEST_SECONDS * frame_rate(ladder)),
        "keyint_min": ladder.segment_frames,
        "sc_threshold": 0,
        "force_key_frames": key_frames(ladder, chunk),
        "flags": "+cgop",
        "threads": threads,
        "map_metadata": -1,
        "map_chapters": -1,
        "fps_mode": "passthrough",
        "video_track_timescale": ladder.timescale,
        "movflags": FRAGMENTED + "+frag_keyframe",
        "flush_packets": 1,
    }


def key_frames(ladder: Ladder, chunk: int) -> str:
    """The frames of a chunk that begin a segment, counted from 0, as an expression of ffmpeg."""
    opening = ladder.opening_frames if chunk == 0 else 0
    begins = f"not(mod(n,{ladder.segment_frames}))" + (f"+eq(n,{opening})" if opening else "")
    end = length(ladder, chunk)
    whole = (end - 1) // ladder.segment_frames * ladder.segment_frames
    last = whole or (opening if opening < end else 0)
    if last and end - last < SHORTEST_SECONDS * frame_rate(ladder):
        return f"expr:({begins})*not(eq(n,{last}))"
    return f"expr:{begins}"


async def encode_audio(
    source: AvSource,
    edits: Edits,
    tracks: Sequence[Track],
    deliver: Deliver,
    report: ReportSeconds | None = None,
) -> None:
    """Encodes all audio tracks, each as a whole, because chunks would have audible seams. Raises
    the errors of `encode_video`."""
    async with AsyncExitStack() as stack:
        file = stack.enter_context(open_file(source.path))
        trimmed = graph.TrimmedInput.of(source, edits, file)
        outputs, pipes = [discarded(trimmed.node["V?"])], []
        for track in tracks:
            pipe = await stack.enter_async_context(open_pipe())
            pipes.append((track.name, pipe))
            audio = graph.change_tempo(trimmed.audio_track(track.index), edits.speed)
            # Start at 0 and fill gaps, so that audio stays in sync with the video.
            audio = audio.filter(
                "aresample", SAMPLE_RATE, **{"async": SAMPLE_RATE}, first_pts=0
            ).filter("aformat", channel_layouts="stereo")
            outputs.append(
                audio.output(
                    f"pipe:{pipe.file}",
                    format="mp4",
                    acodec="aac",
                    aac_coder=AAC_CODER,
                    audio_bitrate=f"{AUDIO_KBPS}k",
                    map_metadata=-1,
                    map_chapters=-1,
                    movflags=FRAGMENTED,
                    frag_duration=SEGMENT_SECONDS * 1_000_000,
                    flush_packets=1,
                )
            )
        await encode(
            stack,
            outputs,
            file,
            pipes,
            deliver,
            report,
            source.limits,
            nice=NICE_AUDIO,
            shortest=round(SHORTEST_SECONDS * SAMPLE_RATE),
        )


async def encode_subtitles(
    stack: AsyncExitStack, source: AvSource, edits: Edits, tracks: Sequence[Track]
) -> list[Path]:
    """Converts each track to a WebVTT file, which exists until `stack` closes. Raises the errors of
    `Program.wait`."""
    file = stack.enter_context(open_file(source.path))
    node = graph.open_range(source, edits, file, vn=None, an=None)
    outputs = [
        node[f"s:{track.index}"].output(f"{track.name}.vtt", format="webvtt", map_metadata=-1)
        for track in tracks
    ]
    limits = replace(source.limits, file_bytes=SUBTITLE_FILE_BYTES)
    running = run_ffmpeg(ffmpeg.merge_outputs(*outputs), [file], limits=limits)
    program = await stack.enter_async_context(running)
    await program.wait()
    return [program.folder / f"{track.name}.vtt" for track in tracks]


async def encode(
    stack: AsyncExitStack,
    outputs: Sequence[graph.Node],
    file: int,
    pipes: Sequence[tuple[str, Pipe]],
    deliver: Deliver,
    report: ReportSeconds | None,
    limits: ResourceLimits,
    *,
    nice: int,
    shortest: int = 0,
) -> None:
    """Runs ffmpeg until all segments are delivered. A segment of less than `shortest` ticks is
    joined to the one before it."""
    files = [file, *(pipe.file for _, pipe in pipes)]
    program = await stack.enter_async_context(
        run_ffmpeg(ffmpeg.merge_outputs(*outputs), files, limits=limits, progress=report, nice=nice)
    )
    for _, pipe in pipes:
        pipe.hand_over()
    tasks = [
        asyncio.create_task(deliver_track(name, pipe, deliver, shortest)) for name, pipe in pipes
    ]
    tasks.append(asyncio.create_task(program.wait()))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        # Raise the program's error first, because it causes the other errors.
        for task in reversed(tasks):
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def deliver_track(name: str, pipe: Pipe, deliver: Deliver, shortest: int) -> None:
    """Delivers the init segment and the fragments of a track, in order."""
    parser = FragmentParser(shortest)
    async for data in pipe.read():
        segments = list(parser.feed(data))
        for at in range(0, len(segments), CONCURRENT_DELIVERIES):
            batch = segments[at : at + CONCURRENT_DELIVERIES]
            await run_together(*(deliver(name, segment) for segment in batch))
    for segment in parser.end():
        await deliver(name, segment)
