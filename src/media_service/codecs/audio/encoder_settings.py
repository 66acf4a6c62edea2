"""Encoder settings for audio files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.video.source import AvSource

Audio = Operation.Audio

# The default codec by the codec of the original.
SAME_CODEC = {"mp3": Audio.MP3, "aac": Audio.AAC, "opus": Audio.OPUS, "flac": Audio.FLAC}
# Uncompressed audio.
PCM_CODECS = {"pcm", "alaw", "ulaw"}
# Lossless codecs whose samples may have more than 16 bits.
DEEP_CODECS = {"flac", "alac", "wavpack"}
DEFAULT_KBPS = 128
# The bounds of a bit rate that is taken from the original.
MIN_KBPS, MAX_KBPS = 64, 320
# The channel layouts that Opus supports. The other codecs support any layout.
OPUS_LAYOUTS = "mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"

# Write the index first, so that players can begin before the download ends.
FAST_START = {"movflags": "+faststart"}
SIXTEEN_BITS = {"sample_fmt": "s16"}
# Write RF64 if the file exceeds 4 GiB, the maximum of a plain WAV header.
LARGE_WAV = {"rf64": "auto"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode an audio file. The track is mixed down to `channels` (1 or 2) if set. `layouts`
    has the channel layouts that the codec supports; empty means any. `options` are ffmpeg
    options."""

    filename: str
    content_type: str
    channels: int | None
    layouts: str
    options: Mapping[str, Any]


def encoding_for(source: AvSource, message: Operation.Audio | None) -> Encoding:
    """Returns the encoding for a source. `message` is the operation `audio`. None selects the codec
    of the original if the service can write it, or MP3."""
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
    """Returns the bit rate of the original, within bounds, to lose little quality."""
    kbps = source.bit_rate_kbps or DEFAULT_KBPS
    return min(max(kbps, MIN_KBPS), MAX_KBPS)
