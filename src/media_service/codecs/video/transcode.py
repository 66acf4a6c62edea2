"""A film as one file that plays everywhere."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import ffmpeg

from media_service.codecs.audio.loudness import Correction, correction
from media_service.codecs.ffmpeg.run import coding
from media_service.codecs.output import Output
from media_service.codecs.progress import ProgressCallback, between, seconds
from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.encoder_settings import CODECS, KEY_SECONDS, kbps
from media_service.codecs.video.source import AvSource

NAME = "film"


async def transcode(
    stack: AsyncExitStack,
    film: AvSource,
    edits: Edits,
    message: Any,
    profiles: Mapping[int, int],
    told: ProgressCallback,
) -> Output:
    """Pictures are evenly spaced, sound is mono or stereo, and of what the original says about
    itself only the languages stay.

    Raises as `Program.wait`.
    """
    height = message.height if message.HasField("height") else None
    size = graph.scaled((film.width, film.height), height)
    drawn = graph.drawn(stack, film, edits, size, rate={"fps": film.frame_rate})
    begin = 0.3 if edits.normalize and drawn.sounds else 0.0
    louder = Correction()
    if begin:  # what comes out of the mix is what is heard
        mixed = 2 if film.sound.get("audio_channels", 0) > 2 else None
        louder = await correction(film, edits, between(told, 0, begin), mixed)
    sounds = [ordinary(louder.applied(ordinary(sound))) for sound in drawn.sounds]
    codec = CODECS[message.codec]
    most = message.video_kbps or kbps(profiles, min(size))
    options = {
        **codec.options,
        codec.capped: f"{most}k",
        "bufsize:v": f"{2 * most}k",
        "g": round(film.frame_rate * KEY_SECONDS),
        "pix_fmt": "yuv420p",
        "map_metadata": -1,
        "map_chapters": -1,
    }
    if sounds:
        options["b:a"] = f"{message.audio_kbps}k"
    for number, (_, track) in enumerate(film.sounds[: len(sounds)]):
        if language := track.get("language"):
            options[f"metadata:s:a:{number}"] = f"language={language}"
    progress = seconds(between(told, begin, 1), edits.seconds)
    output = ffmpeg.output(drawn.pictures, *sounds, NAME, **options)
    program = await stack.enter_async_context(coding(output, drawn.files, progress=progress))
    await program.wait()
    return Output(program.folder / NAME, codec.content_type, *size)


def ordinary(sound: graph.Node) -> graph.Node:
    """What everything can play: more channels are mixed down to two."""
    return sound.filter("aformat", sample_rates="48000|44100", channel_layouts="mono|stereo")
