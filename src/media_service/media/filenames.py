"""File names of originals, renditions and renders."""

import re
import unicodedata
from mimetypes import guess_extension
from pathlib import PurePosixPath

# Python 3.11 does not know these.
EXTENSIONS = {"image/avif": ".avif", "image/heic": ".heic", "image/webp": ".webp"}
# As in the contract.
MAX_BYTES = 255
# Characters that are not shown, and can make a name look like another one: controls, those of
# bidirectional text, separators of lines, and marks of the byte order. Those that join letters are
# needed in names of some languages.
HIDDEN = re.compile(
    r"[\u0080-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
# Names of devices, also with an extension and before spaces.
RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\.|$)", re.IGNORECASE
)


def clean(filename: str) -> str:
    """Returns a name that every system shows as it is and can store: in the normal form NFC,
    without hidden characters, at most `MAX_BYTES` long, and not that of a device of Windows."""
    if not filename.isascii():
        filename = unicodedata.normalize("NFC", HIDDEN.sub("", filename))
    if RESERVED.match(filename):
        filename = f"_{filename}"
    return shortened(filename)


def shortened(filename: str) -> str:
    """Cuts the stem of a name that is too long, and keeps its extension if that is short."""
    if len(filename.encode()) <= MAX_BYTES:
        return filename
    suffix = PurePosixPath(filename).suffix
    if len(suffix.encode()) > 32:
        suffix = ""
    room = MAX_BYTES - len(suffix.encode())
    stem = filename.removesuffix(suffix).encode()[:room].decode(errors="ignore")
    return stem + suffix


def with_extension(filename: str, content_type: str, suffix: str = "") -> str:
    """Replaces the extension: "beach.jpg" with WebP and the suffix "-small" becomes
    "beach-small.webp". An empty name stays empty."""
    if not filename:
        return ""
    extension = EXTENSIONS.get(content_type) or guess_extension(content_type, strict=False) or ""
    return f"{PurePosixPath(filename).stem}{suffix}{extension}"
