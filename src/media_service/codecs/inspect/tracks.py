"""The sounds, subtitles, chapters and tags of a film or a sound, as its headers name them."""

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

# Subtitles that are text; the others are pictures.
TEXTS = {"mov_text", "subrip", "ass", "ssa", "webvtt", "text"}
# Tags about the file, not about what is heard; and those that tell a place.
TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "handler_name"}
HIDDEN = ("id3v2_priv.", "location", "com.apple.quicktime.location")


def codec_name(stream: Any) -> str:
    """Empty if FFmpeg does not know the codec."""
    context = stream.codec_context
    return str(context.codec.canonical_name) if context else ""


def audio_tracks(streams: list[Any]) -> list[dict[str, Any]]:
    return [{**sound(stream), **labels(stream)} for stream in streams[:MAX_TRACKS]]


def sound(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "audio_codec": codec_name(stream),
        "audio_channels": context.channels if context else 0,
        "audio_sample_rate_hz": context.sample_rate if context else 0,
    }


def subtitle_tracks(streams: list[Any]) -> list[dict[str, Any]]:
    return [
        {"codec": codec_name(stream), "text": codec_name(stream) in TEXTS, **labels(stream)}
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
    """By lower-case names. Ogg has them with its stream."""
    named = {name.lower(): value for name, value in (container.metadata or audio.metadata).items()}
    told = [
        (name[:MAX_NAME], value[:MAX_VALUE])
        for name, value in named.items()
        if value and name not in TECHNICAL and not name.startswith(HIDDEN)
    ]
    return dict(told[:MAX_TAGS])
