"""`transcode`: encodes a video file that plays everywhere."""

from collections.abc import Sequence

import ffmpeg

from media_service.codecs.audio.loudness import Correction, loudness_correction
from media_service.codecs.av_task import AvTask
from media_service.codecs.ffmpeg.run import run_ffmpeg
from media_service.codecs.output import Output
from media_service.codecs.progress import report_range, report_seconds
from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.encoder_settings import CODECS, KEY_FRAME_SECONDS, max_bit_rate_kbps

FILENAME = "video"


async def render(task: AvTask) -> Sequence[Output]:
    """Encodes at a constant frame rate, with mono or stereo audio. Keeps only the languages from
    the original's metadata.

    Raises the errors of `Program.wait`.
    """
    source, edits, message = task.source, task.edits, task.message
    height = message.max_height if message.HasField("max_height") else None
    size = graph.fit_short_side((source.width, source.height), height)
    tracks = graph.edited_tracks(task.stack, source, edits, size, rate=source.constant_rate)
    begin = 0.3 if edits.normalize and tracks.audio else 0.0
    correction = Correction()
    if begin:  # measure after the downmix, which is what is heard
        channels = 2 if source.first_audio_track.channels > 2 else None
        report = report_range(task.report, 0, begin)
        correction = await loudness_correction(source, edits, report, channels)
    audio = [downmixed(correction.applied(downmixed(track))) for track in tracks.audio]
    codec = CODECS[message.codec]
    kbps = message.video_bit_rate_kbps or max_bit_rate_kbps(task.profiles, min(size))
    options = {
        **codec.options,
        codec.max_rate_option: f"{kbps}k",
        "bufsize:v": f"{2 * kbps}k",
        "g": round(source.frame_rate * KEY_FRAME_SECONDS),
        "pix_fmt": "yuv420p",
        "map_metadata": -1,
        "map_chapters": -1,
    }
    if audio:
        options["b:a"] = f"{message.audio_bit_rate_kbps}k"
    for number, (_, track) in enumerate(source.audio_tracks[: len(audio)]):
        if track.language:
            options[f"metadata:s:a:{number}"] = f"language={track.language}"
    progress = report_seconds(report_range(task.report, begin, 1), edits.seconds)
    output = ffmpeg.output(tracks.video, *audio, FILENAME, **options)
    running = run_ffmpeg(output, tracks.files, limits=source.limits, progress=progress)
    program = await task.stack.enter_async_context(running)
    await program.wait()
    return [Output(program.folder / FILENAME, codec.content_type, *size)]


def downmixed(audio: graph.Node) -> graph.Node:
    """Mixes audio down to mono or stereo, at a sample rate that every player supports."""
    return audio.filter("aformat", sample_rates="48000|44100", channel_layouts="mono|stereo")
