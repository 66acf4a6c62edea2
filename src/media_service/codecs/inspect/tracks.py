"""Reads the tracks, chapters and tags of a video or audio file from its headers."""

from typing import Any

from media_service.codecs.inspect.limits import (
    MAX_CHAPTERS,
    MAX_LANGUAGE,
    MAX_NAME,
    MAX_TAGS,
    MAX_TITLE,
    MAX_TRACKS,
    MAX_VALUE,
)

# Subtitle codecs that are text; the others are images.
TEXT_CODECS = {"mov_text", "subrip", "ass", "ssa", "webvtt", "text"}
# Tags about the file format, and prefixes of tags about a position.
TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "handler_name"}
HIDDEN = ("id3v2_priv.", "location", "com.apple.quicktime.location")


def codec_name(stream: Any) -> str:
    """Empty: FFmpeg does not know the codec."""
    context = stream.codec_context
    return str(context.codec.canonical_name) if context else ""


def audio_tracks(streams: list[Any]) -> list[dict[str, Any]]:
    return [{**audio_format(stream), **labels(stream)} for stream in streams[:MAX_TRACKS]]


def audio_format(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "audio_codec": codec_name(stream),
        "audio_channels": context.channels if context else 0,
        "audio_sample_rate_hz": context.sample_rate if context else 0,
    }


def subtitle_tracks(streams: list[Any]) -> list[dict[str, Any]]:
    return [
        {"codec": codec_name(stream), "text": codec_name(stream) in TEXT_CODECS, **labels(stream)}
        for stream in streams[:MAX_TRACKS]
    ]


def labels(stream: Any) -> dict[str, str]:
    language = stream.metadata.get("language", "")[:MAX_LANGUAGE]
    title = stream.metadata.get("title") or stream.metadata.get("name") or ""
    return {"language": "" if language == "und" else language, "title": title[:MAX_TITLE]}


def chapters(container: Any) -> list[dict[str, Any]]:
    return [
        {
            "start_seconds": round(float(chapter["start"] * chapter["time_base"]), 6),
            "end_seconds": round(float(chapter["end"] * chapter["time_base"]), 6),
            "title": chapter["metadata"].get("title", "")[:MAX_TITLE],
        }
        for chapter in container.chapters()[:MAX_CHAPTERS]
        if chapter["time_base"]
    ]


def tags(container: Any, audio: Any) -> dict[str, str]:
    """Tags by lower-case name. Ogg has them with the track, not the file."""
    named = {name.lower(): value for name, value in (container.metadata or audio.metadata).items()}
    public = [
        (name[:MAX_NAME], value[:MAX_VALUE])
        for name, value in named.items()
        if value and name not in TECHNICAL and not name.startswith(HIDDEN)
    ]
    return dict(public[:MAX_TAGS])
