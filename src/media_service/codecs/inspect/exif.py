"""EXIF tags as libvips gives them: one text per tag, with libexif's rendering behind the value."""

import re

from media_service.codecs.inspect.limits import MAX_TAGS, MAX_VALUE

# 0 the picture, 2 the camera's settings, 3 the position; 1 is about the thumbnail.
PICTURE, SETTINGS, POSITION = "exif-ifd0-", "exif-ifd2-", "exif-ifd3-"

FORM = re.compile(r", [A-Za-z]+, \d+ components?, \d+ bytes?\)$")


def plain(text: str) -> str:
    """The value alone: "Canon" of "Canon (Canon, ASCII, 6 components, 6 bytes)", and "1/60" of
    "1/60 (1/60 sec., Rational, 1 components, 8 bytes)"."""
    body = FORM.sub("", text)
    half = (len(body) - 2) // 2
    # Text is rendered as itself, and may have parentheses of its own; numbers have none.
    if body == f"{body[:half]} ({body[:half]}":
        return body[:half].strip()
    return body.partition(" (")[0].strip()


def shareable(fields: dict[str, str]) -> dict[str, str]:
    """Tags by name without those that tell a place, nor the maker's unreadable notes."""
    tags: dict[str, str] = {}
    for field, text in fields.items():
        name = field.removeprefix(PICTURE).removeprefix(SETTINGS)
        value = plain(text)
        hidden = name == field or name.startswith("GPS") or name == "MakerNote"
        if not hidden and value and len(tags) < MAX_TAGS:
            tags[name] = value[:MAX_VALUE]
    return tags


def positional(fields: dict[str, str]) -> dict[str, str]:
    """The tags about the position, by name."""
    return {f.removeprefix(POSITION): plain(t) for f, t in fields.items() if f.startswith(POSITION)}
