"""Creates small valid files, for tests that need bytes of a content type."""

import io
import os

from PIL import Image


def jpeg(width: int = 64, height: int = 48, color: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, "JPEG")
    return out.getvalue()


def noise(width: int, height: int) -> bytes:
    """A JPEG of noise, whose renditions are large."""
    out = io.BytesIO()
    Image.effect_noise((width, height), 100).convert("RGB").save(out, "JPEG")
    return out.getvalue()


def png(width: int = 64, height: int = 48) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (width, height), "#08080880").save(out, "PNG")
    return out.getvalue()


def gif(width: int = 64, height: int = 48) -> bytes:
    """An animation of three frames."""
    out = io.BytesIO()
    first, *others = (Image.new("RGB", (width, height), c) for c in ("red", "green", "blue"))
    first.save(out, "GIF", save_all=True, append_images=others, duration=100, loop=0)
    return out.getvalue()


def video_bytes(size: int) -> bytes:
    """`size` bytes that start like an MP4: detected as video/mp4, but not playable."""
    head = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"
    return head + os.urandom(size - len(head))
