"""File names of renditions and renders."""

from mimetypes import guess_extension
from pathlib import PurePosixPath

# Python 3.11 does not know these.
EXTENSIONS = {"image/avif": ".avif", "image/heic": ".heic", "image/webp": ".webp"}


def with_extension(filename: str, content_type: str, suffix: str = "") -> str:
    """Replaces the extension: "beach.jpg" with WebP and the suffix "-small" becomes
    "beach-small.webp". An empty name stays empty."""
    if not filename:
        return ""
    extension = EXTENSIONS.get(content_type) or guess_extension(content_type, strict=False) or ""
    return f"{PurePosixPath(filename).stem}{suffix}{extension}"
