"""Blobs as files in a directory: `file:///path`."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from media_service.storage.driver import Driver

SCHEME = "file"


def open_driver(url: str) -> Driver:
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/"):
        raise ValueError("a file:// URL with an absolute path, such as file:///var/lib/media")
    from media_service.storage.drivers.local.driver import LocalDriver  # noqa: PLC0415

    return LocalDriver(Path(url2pathname(parts.path)))
