"""Encodes films for adaptive streaming: pieces of fragmented MP4, as they come."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import ffmpeg

from media_service.codecs.ffmpeg.pipes import Pipe, pipe
from media_service.codecs.ffmpeg.run import (
    LIMITS,
    NICE_IF_AWAITED,
    NICE_OF_SOUND,
    Seconds,
    coding,
    opened,
    source,
)
from media_service.codecs.task_group import run_together
from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.fmp4 import Fragment, FragmentParser, InitSegment
from media_service.codecs.video.ladder import SAMPLE_RATE, SEGMENT_SECONDS, Ladder, Rung, Track
from media_service.codecs.video.source import AvSource

# Is given each piece of a track. It is called in order, and may be called again before it returns.
Deliver = Callable[[str, InitSegment | Fragment], Awaitable[None]]

# One moov before the first fragment, with the edit list that B-frames and the encoder's delay ask
# for; a fragment begins with each key frame.
FRAGMENTED = "+delay_moov+default_base_moof+cmaf"
# Subtitles are read into memory.
TEXT_LIMITS = replace(LIMITS, file_bytes=16 << 20)
QUALITY = 23
# Two cores keep up with a film of 30 pictures a second in 1080p, 720p and 480p so: the preset's
# search, but bits go where later pictures use them, as with slower ones (docs/performance.md). Each
# picture that is looked ahead delays the first segment: those, and no more for its own thread.
PRESET, X264 = "superfast", "mbtree=1:rc-lookahead=10:b-adapt=0:sync-lookahead=0"
# Two fifths less work than the usual one, whose search is for low bitrates.
AUDIO_KBPS, AAC_CODER = 128, "fast"
# Pieces of a track that are kept at the same time.
AT_ONCE = 4


async def encode_video(
    film: AvSource,
    edits: Edits,
    ladder: Ladder,
    chunk: int,
    deliver: Deliver,
    *,
    threads: int = 0,
    told: Seconds | None = None,
) -> None:
    """One chunk (from 0) of all rungs, decoded once. Times begin at 0; each fragment is a segment.

    Raises as `Program.wait`, and what `deliver` raises.
    """
    first = chunk * ladder.chunk_frames
    begin = edits.start + first / rate(ladder) * edits.factor
    async with AsyncExitStack() as stack:
        file = stack.enter_context(opened(film.path))
        stream = source(
            file,
            film.demuxer,
            ss=f"{max(0.0, begin - film.blind_seconds):.6f}",
            # From the key frame before on, since what is seen where the chunk begins may have begun
            # long before; the times of the original stay, so all chunks count the same pictures.
            noaccurate_seek=None,
            copyts=None,
            start_at_zero=None,
        )
        others = stream["a?"]
        stream = stream["V:0"]
        stream = even(stream, edits, ladder, chunk)
        largest = ladder.rungs[0]
        stream = graph.shown(stream, film, (largest.width, largest.height))
        outputs, pipes = [], []
        for rung, node in zip(ladder.rungs, copies(stream, ladder.rungs), strict=True):
            into = await stack.enter_async_context(pipe())
            pipes.append((rung.name, into))
            outputs.append(
                node.output(f"pipe:{into.file}", **picture_options(rung, ladder, chunk, threads))
            )
        outputs.append(unheard(others))
        await deliver_all(stack, outputs, file, pipes, deliver, told, nice=NICE_IF_AWAITED)


def unheard(stream: graph.Node) -> graph.Node:
    """An output for what is not wanted: time begins with the first stream that is used, and is to
    begin at the same place for all that is made of a film."""
    return stream.output("-", format="null", codec="copy")


def rate(ladder: Ladder) -> float:
    return ladder.rate[0] / ladder.rate[1]


def even(stream: graph.Node, edits: Edits, ladder: Ladder, chunk: int) -> graph.Node:
    """The pictures of a chunk, evenly spaced and counted from 0. All chunks but the last are as
    long as they ought to be, whatever is missing."""
    first, frames = chunk * ladder.chunk_frames, ladder.chunk_frames
    per_second = f"{ladder.rate[0]}/{ladder.rate[1]}"
    stream = stream.filter("bwdif", "send_frame", deint="interlaced")
    stream = stream.filter("setpts", f"(PTS-{edits.start:.6f}/TB)/{edits.factor:.9g}")
    stream = stream.filter("fps", per_second)
    if chunk == ladder.chunks - 1:
        frames = max(round(ladder.seconds * rate(ladder)) - first, 1)
    else:
        stream = stream.filter("tpad", stop=-1, stop_mode="clone")
    # What begins later is seen from the beginning of the chunk on.
    stream = stream.filter("fps", per_second, start_time=f"{first / rate(ladder):.6f}")
    stream = stream.filter("trim", start_pts=first, end_pts=first + frames)
    return stream.filter("setpts", f"PTS-{first}")


def copies(stream: graph.Node, rungs: Sequence[Rung]) -> list[graph.Node]:
    """The pictures in the size of each rung, each made of the one before."""
    found = []
    for smaller in rungs[1:]:
        split = stream.filter_multi_output("split", 2)
        found.append(split[0])
        stream = split[1].filter("scale", smaller.width, smaller.height)
    return [*found, stream]


def picture_options(rung: Rung, ladder: Ladder, chunk: int, threads: int) -> dict[str, Any]:
    return {
        "format": "mp4",
        "vcodec": "libx264",
        "preset": PRESET,
        "x264-params": X264,
        "profile:v": "high",
        "crf": QUALITY,
        "maxrate": f"{rung.kbps}k",
        "bufsize": f"{2 * rung.kbps}k",
        # Closed groups, the same in all rungs, and each a segment.
        "g": ladder.segment_frames,
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
    """Which pictures of a chunk begin a segment, counted from 0, as an expression of ffmpeg."""
    opening = f"+eq(n,{ladder.opening_frames})" if chunk == 0 and ladder.opening_frames else ""
    return f"expr:not(mod(n,{ladder.segment_frames})){opening}"


async def encode_audio(
    film: AvSource,
    edits: Edits,
    tracks: Sequence[Track],
    deliver: Deliver,
    told: Seconds | None = None,
) -> None:
    """All sounds, each as a whole: what is cut has no seams to be heard. Raises as
    `encode_video`."""
    async with AsyncExitStack() as stack:
        file = stack.enter_context(opened(film.path))
        part = graph.Part.of(film, edits, file)
        outputs, pipes = [unheard(part.media["V?"])], []
        for track in tracks:
            into = await stack.enter_async_context(pipe())
            pipes.append((track.name, into))
            stream = graph.sound_faster(part.sound(track.index), edits)
            # From 0 on without a gap, so that it stays with the pictures.
            stream = stream.filter(
                "aresample", SAMPLE_RATE, **{"async": SAMPLE_RATE}, first_pts=0
            ).filter("aformat", channel_layouts="stereo")
            outputs.append(
                stream.output(
                    f"pipe:{into.file}",
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
        await deliver_all(stack, outputs, file, pipes, deliver, told, nice=NICE_OF_SOUND)


async def encode_subtitles(
    stack: AsyncExitStack, film: AvSource, edits: Edits, tracks: Sequence[Track]
) -> list[Path]:
    """WebVTT of each, for as long as the stack lasts."""
    file = stack.enter_context(opened(film.path))
    streams = graph.opened(film, edits, file, vn=None, an=None)
    outputs = [
        streams[f"s:{track.index}"].output(f"{track.name}.vtt", format="webvtt", map_metadata=-1)
        for track in tracks
    ]
    program = await stack.enter_async_context(
        coding(ffmpeg.merge_outputs(*outputs), [file], limits=TEXT_LIMITS)
    )
    await program.wait()
    return [program.folder / f"{track.name}.vtt" for track in tracks]


async def deliver_all(
    stack: AsyncExitStack,
    outputs: Sequence[graph.Node],
    file: int,
    pipes: Sequence[tuple[str, Pipe]],
    deliver: Deliver,
    told: Seconds | None,
    *,
    nice: int,
) -> None:
    """Until all is delivered."""
    files = [file, *(into.file for _, into in pipes)]
    program = await stack.enter_async_context(
        coding(ffmpeg.merge_outputs(*outputs), files, progress=told, nice=nice)
    )
    for _, into in pipes:
        into.hand_over()
    tasks = [asyncio.create_task(deliver_track(name, into, deliver)) for name, into in pipes]
    tasks.append(asyncio.create_task(program.wait()))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        # What the program says of itself comes first: the rest follows from it.
        for task in reversed(tasks):
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def deliver_track(name: str, into: Pipe, deliver: Deliver) -> None:
    """Begun in order: what is kept is waited for, and the head comes with the first fragment."""
    cutter = FragmentParser()
    async for piece in into.pieces():
        found = list(cutter.feed(piece))
        for at in range(0, len(found), AT_ONCE):
            await run_together(*(deliver(name, made) for made in found[at : at + AT_ONCE]))
