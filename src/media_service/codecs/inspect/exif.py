"""EXIF tags as libvips returns them: one text per tag, of the value and its rendering by
libexif."""

import re

from media_service.codecs.inspect.limits import MAX_TAGS, MAX_VALUE

# IFD 0 is about the image, 2 the camera settings, 3 the position; 1 is about the thumbnail.
IMAGE, SETTINGS, POSITION = "exif-ifd0-", "exif-ifd2-", "exif-ifd3-"

RENDERING_END = re.compile(r", [A-Za-z]+, \d+ components?, \d+ bytes?\)$")


def plain_value(text: str) -> str:
    """The value alone: "Canon" from "Canon (Canon, ASCII, 6 components, 6 bytes)", and "1/60" from
    "1/60 (1/60 sec., Rational, 1 components, 8 bytes)"."""
    body = RENDERING_END.sub("", text)
    half = (len(body) - 2) // 2
    # A text is rendered as itself, and may contain parentheses; numbers do not.
    if body == f"{body[:half]} ({body[:half]}":
        return body[:half].strip()
    return body.partition(" (")[0].strip()


def public_tags(fields: dict[str, str]) -> dict[str, str]:
    """Tags by name, without those about a position, and without the binary maker note."""
    tags: dict[str, str] = {}
    for field, text in fields.items():
        name = field.removeprefix(IMAGE).removeprefix(SETTINGS)
        value = plain_value(text)
        hidden = name == field or name.startswith("GPS") or name == "MakerNote"
        if not hidden and value and len(tags) < MAX_TAGS:
            tags[name] = value[:MAX_VALUE]
    return tags


def position_tags(fields: dict[str, str]) -> dict[str, str]:
    """Tags about the position, by name."""
    return {
        f.removeprefix(POSITION): plain_value(t)
        for f, t in fields.items()
        if f.startswith(POSITION)
    }
