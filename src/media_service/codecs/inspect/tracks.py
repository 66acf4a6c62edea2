"""Reads the tracks, chapters and tags of a video or audio file from its headers."""

from typing import Any

from media_service.codecs.inspect import names
from media_service.codecs.inspect.limits import (
    MAX_CHAPTERS,
    MAX_LANGUAGE,
    MAX_NAME,
    MAX_TAGS,
    MAX_TITLE,
    MAX_TRACKS,
    count,
    text,
)
from media_service.codecs.inspection import AudioTrack, Chapter, SubtitleTrack

# Subtitle formats that consist of text. The others consist of images.
TEXT_CODECS = {"tx3g", "subrip", "ass", "ssa", "webvtt", "text"}
# Tags about the file format, and prefixes of tags about a position.
TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "handler_name"}
HIDDEN = ("id3v2_priv.", "location", "com.apple.quicktime.location")


def ffmpeg_codec(stream: Any) -> str:
    """Empty if FFmpeg does not know the codec."""
    context = stream.codec_context
    return str(context.codec.canonical_name) if context else ""


def codec_name(stream: Any) -> str:
    """Empty if FFmpeg does not know the codec."""
    return names.codec(ffmpeg_codec(stream))


def audio_track(stream: Any) -> AudioTrack:
    context = stream.codec_context
    return AudioTrack(
        codec=codec_name(stream),
        channels=count(context.channels) if context else 0,
        sample_rate_hz=count(context.sample_rate) if context else 0,
        bit_depth=names.bit_depth(ffmpeg_codec(stream)),
        language=language(stream),
        title=title(stream),
    )


def audio_tracks(streams: list[Any]) -> tuple[AudioTrack, ...]:
    return tuple(audio_track(stream) for stream in streams[:MAX_TRACKS])


def subtitle_tracks(streams: list[Any]) -> tuple[SubtitleTrack, ...]:
    return tuple(
        SubtitleTrack(
            codec=codec_name(stream),
            language=language(stream),
            title=title(stream),
            text=codec_name(stream) in TEXT_CODECS,
        )
        for stream in streams[:MAX_TRACKS]
    )


def language(stream: Any) -> str:
    found = text(stream.metadata.get("language", ""), MAX_LANGUAGE)
    return "" if found == "und" else found


def title(stream: Any) -> str:
    return text(stream.metadata.get("title") or stream.metadata.get("name") or "", MAX_TITLE)


def chapters(container: Any) -> tuple[Chapter, ...]:
    return tuple(
        Chapter(
            start_seconds=round(float(chapter["start"] * chapter["time_base"]), 6),
            end_seconds=round(float(chapter["end"] * chapter["time_base"]), 6),
            title=text(chapter["metadata"].get("title", ""), MAX_TITLE),
        )
        for chapter in container.chapters()[:MAX_CHAPTERS]
        if chapter["time_base"]
    )


def tags(container: Any, audio: Any) -> dict[str, str]:
    """Returns tags by lower-case name. In Ogg, they belong to the track, not the file."""
    named = {name.lower(): value for name, value in (container.metadata or audio.metadata).items()}
    public = [
        (text(name, MAX_NAME), text(value))
        for name, value in named.items()
        if value and name not in TECHNICAL and not name.startswith(HIDDEN)
    ]
    return dict(public[:MAX_TAGS])
