"""Encodes the tracks of a stream as a worker does, without a service."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from media_service.codecs.inspector import Inspector
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.codecs.video.edits import collect_edits
from media_service.codecs.video.fmp4 import Fragment, InitSegment
from media_service.codecs.video.ladder import SAMPLE_RATE, build_ladder
from media_service.codecs.video.segment_encoder import encode_audio, encode_video
from media_service.codecs.video.source import AvSource
from tests.support.media.videos import TYPES

PROFILES = {144: 200, 480: 1400}


@dataclass(frozen=True)
class EncodedTrack:
    """A track as a player assembles it, and its duration by its playlist."""

    path: Path
    seconds: float


async def encoded_stream(
    inspector: Inspector, path: Path, folder: Path, ops: str = "stream:min_height=144"
) -> dict[str, EncodedTrack]:
    """Returns the tracks of the stream of a video, by name: "v" is the smallest rung."""
    content_type = TYPES[path.suffix]
    info = (await inspector.inspect(path, "VIDEO", content_type)).info
    source = AvSource.of(path, content_type, info)
    steps = find_route(parsed_pipeline(ops), "VIDEO").steps
    edits, ((_, message),) = collect_edits(steps, source.duration_seconds)
    ladder = build_ladder(source, edits, PROFILES, message)
    data: dict[str, bytes] = defaultdict(bytes)
    ticks: dict[str, int] = defaultdict(int)
    chunk = number = 0

    async def deliver(track: str, piece: InitSegment | Fragment) -> None:
        nonlocal number
        name = "v" if track == ladder.rungs[-1].name else track
        if isinstance(piece, Fragment):
            number += 1
            ticks[name] += piece.duration
            shift = chunk * ladder.chunk_frames * ladder.frame_ticks if name == "v" else 0
            data[name] += piece.shifted(shift, number)
        elif not data[name]:
            data[name] = piece.data

    for chunk in range(ladder.chunks):
        await encode_video(source, edits, ladder, chunk, deliver, threads=1)
    chunk = 0
    if ladder.audio_tracks:
        await encode_audio(source, edits, ladder.audio_tracks, deliver)
    found = {}
    for name, whole in data.items():
        scale = ladder.timescale if name == "v" else SAMPLE_RATE
        (made := folder / f"{path.stem}-{name}.mp4").write_bytes(whole)
        found[name] = EncodedTrack(made, ticks[name] / scale)
    return found
