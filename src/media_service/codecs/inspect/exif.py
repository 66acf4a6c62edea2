"""Reads EXIF tags from libvips, which returns one text per tag: the value, and its rendering by
libexif."""

import re

from media_service.codecs.inspect.limits import MAX_NAME, MAX_TAGS, text

# IFD 0 is about the image, 2 the camera settings, 3 the position; 1 is about the thumbnail.
IMAGE, SETTINGS, POSITION = "exif-ifd0-", "exif-ifd2-", "exif-ifd3-"

RENDERING_END = re.compile(r", [A-Za-z]+, \d+ components?, \d+ bytes?\)$")


def plain_value(raw: str) -> str:
    """Extracts the value: "Canon" from "Canon (Canon, ASCII, 6 components, 6 bytes)", and "1/60"
    from "1/60 (1/60 sec., Rational, 1 components, 8 bytes)"."""
    body = RENDERING_END.sub("", raw)
    half = (len(body) - 2) // 2
    # A text is rendered as itself, and may contain parentheses; numbers do not.
    if body == f"{body[:half]} ({body[:half]}":
        return body[:half].strip()
    return body.partition(" (")[0].strip()


def public_tags(fields: dict[str, str]) -> dict[str, str]:
    """Tags by name, without those about a position, and without the binary maker note."""
    tags: dict[str, str] = {}
    for field, raw in fields.items():
        name = field.removeprefix(IMAGE).removeprefix(SETTINGS)
        value = text(plain_value(raw))
        hidden = name == field or name.startswith("GPS") or name == "MakerNote"
        if not hidden and value and len(tags) < MAX_TAGS:
            tags[text(name, MAX_NAME)] = value
    return tags


def position_tags(fields: dict[str, str]) -> dict[str, str]:
    """Tags about the position, by name."""
    return tags_of(POSITION, fields)


def setting_tags(fields: dict[str, str]) -> dict[str, str]:
    """Returns tags about the camera settings and the capture time, by name."""
    return tags_of(SETTINGS, fields)


def tags_of(prefix: str, fields: dict[str, str]) -> dict[str, str]:
    return {
        field.removeprefix(prefix): plain_value(raw)
        for field, raw in fields.items()
        if field.startswith(prefix)
    }
