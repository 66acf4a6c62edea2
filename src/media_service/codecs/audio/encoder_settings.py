"""How sound is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.video.source import AvSource

Audio = Operation.Audio

# What an original is written as, if nothing is said.
LIKE = {"mp3": Audio.MP3, "aac": Audio.AAC, "opus": Audio.OPUS, "flac": Audio.FLAC}
# Of originals that lose nothing, those that may hold more than 16 bits.
DEEP = ("flac", "alac", "pcm_s24", "pcm_s32", "pcm_f", "wavpack")
KBPS = 128
# What an original's own rate is taken as, if nothing is said.
LEAST_KBPS, MOST_KBPS = 64, 320
# The others take any number of channels; Opus, only in these orders.
ORDERS = "mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"


@dataclass(frozen=True, slots=True)
class Encoding:
    """`name`: of the file. `channels`: 1 or 2, what is mixed down to. `options`: of ffmpeg."""

    name: str
    content_type: str
    channels: int | None
    layouts: str
    options: Mapping[str, Any]


def encoding(film: AvSource, message: Any) -> Encoding:
    """`message`: of `audio`; None: like the original, if it is written in one of its codecs."""
    original, has = film.sound.get("audio_codec", ""), film.sound.get("audio_channels", 0)
    codec = message.codec if message else like(original)
    channels = message.channels if message and message.HasField("channels") else None
    kbps = message.kbps if message else kbps_of(film)
    deep = original.startswith(DEEP)
    match codec:
        case Audio.AAC:
            options = {"acodec": "aac", "b:a": f"{kbps}k", "format": "ipod"}
            return Encoding("sound.m4a", "audio/mp4", channels, "", FAST | options)
        case Audio.OPUS:
            kbps = min(kbps, 256 * (channels or has or 1))
            options = {"acodec": "libopus", "b:a": f"{kbps}k", "format": "ogg"}
            return Encoding("sound.ogg", "audio/ogg", channels, ORDERS, options)
        case Audio.FLAC:
            options = {"acodec": "flac", "format": "flac", **({} if deep else SHALLOW)}
            return Encoding("sound.flac", "audio/flac", channels, "", options)
        case Audio.WAV:
            options = {"acodec": "pcm_s24le" if deep else "pcm_s16le", "format": "wav"}
            return Encoding("sound.wav", "audio/wav", channels, "", LARGE | options)
    options = {"acodec": "libmp3lame", "b:a": f"{min(kbps, 320)}k", "format": "mp3"}
    return Encoding("sound.mp3", "audio/mpeg", channels or (2 if has > 2 else None), "", options)


# The index first, so that it plays before it is there.
FAST = {"movflags": "+faststart"}
SHALLOW = {"sample_fmt": "s16"}
# The header of an ordinary WAV can say 4 GiB at most.
LARGE = {"rf64": "auto"}


def like(codec: str) -> Any:
    return Audio.WAV if codec.startswith("pcm_") else LIKE.get(codec, Audio.MP3)


def kbps_of(film: AvSource) -> int:
    """As the original has it, so that little is lost."""
    kbps = round(film.bit_rate_bps / 1000) or KBPS
    return min(max(kbps, LEAST_KBPS), MOST_KBPS)
