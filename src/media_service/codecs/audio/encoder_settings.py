"""Encoder settings for audio files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.video.source import AvSource

Audio = Operation.Audio

# The codec for an original of each codec, if the request names none.
SAME_CODEC = {"mp3": Audio.MP3, "aac": Audio.AAC, "opus": Audio.OPUS, "flac": Audio.FLAC}
# Uncompressed audio.
PCM_CODECS = {"pcm", "alaw", "ulaw"}
# Lossless codecs whose samples may have more than 16 bits.
DEEP_CODECS = {"flac", "alac", "wavpack"}
DEFAULT_KBPS = 128
# Bounds for a bit rate taken from the original.
MIN_KBPS, MAX_KBPS = 64, 320
# Opus takes only these channel layouts; the other codecs take any.
OPUS_LAYOUTS = "mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"

# Write the index first, so that players can begin before the download ends.
FAST_START = {"movflags": "+faststart"}
SIXTEEN_BITS = {"sample_fmt": "s16"}
# Write RF64 if the file exceeds 4 GiB, the maximum of a plain WAV header.
LARGE_WAV = {"rf64": "auto"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """`channels`: 1 or 2, to mix the track down to. `layouts`: the channel layouts that the codec
    takes; empty: any. `options`: of ffmpeg."""

    filename: str
    content_type: str
    channels: int | None
    layouts: str
    options: Mapping[str, Any]


def encoding_for(source: AvSource, message: Operation.Audio | None) -> Encoding:
    """`message`: the operation `audio`; None: the codec of the original, if the service writes it,
    or else MP3."""
    track = source.first_audio_track
    codec = message.codec if message else codec_like(track.codec)
    channels = message.channels if message and message.HasField("channels") else None
    kbps = message.bit_rate_kbps if message else bit_rate_kbps_like(source)
    deep = track.codec in DEEP_CODECS or track.bit_depth > 16
    match codec:
        case Audio.AAC:
            options = {"acodec": "aac", "b:a": f"{kbps}k", "format": "ipod"}
            return Encoding("audio.m4a", "audio/mp4", channels, "", FAST_START | options)
        case Audio.OPUS:
            kbps = min(kbps, 256 * (channels or track.channels or 1))
            options = {"acodec": "libopus", "b:a": f"{kbps}k", "format": "ogg"}
            return Encoding("audio.ogg", "audio/ogg", channels, OPUS_LAYOUTS, options)
        case Audio.FLAC:
            options = {"acodec": "flac", "format": "flac", **({} if deep else SIXTEEN_BITS)}
            return Encoding("audio.flac", "audio/flac", channels, "", options)
        case Audio.WAV:
            options = {"acodec": "pcm_s24le" if deep else "pcm_s16le", "format": "wav"}
            return Encoding("audio.wav", "audio/wav", channels, "", LARGE_WAV | options)
    options = {"acodec": "libmp3lame", "b:a": f"{min(kbps, 320)}k", "format": "mp3"}
    stereo = channels or (2 if track.channels > 2 else None)
    return Encoding("audio.mp3", "audio/mpeg", stereo, "", options)


def codec_like(codec: str) -> Any:
    return Audio.WAV if codec in PCM_CODECS else SAME_CODEC.get(codec, Audio.MP3)


def bit_rate_kbps_like(source: AvSource) -> int:
    """The bit rate of the original, so that little quality is lost."""
    kbps = source.bit_rate_kbps or DEFAULT_KBPS
    return min(max(kbps, MIN_KBPS), MAX_KBPS)
