"""Whether two stores share a place."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from media_service.storage.bucket_url import bucket_url
from media_service.storage.s3_location import OPTIONS


def overlap(one: str, other: str) -> bool:
    """Whether the store at one URL is the other, or lies in it. Both must be good URLs."""
    return within(one, other) or within(other, one)


def within(inner: str, outer: str) -> bool:
    if urlsplit(inner).scheme != urlsplit(outer).scheme:
        return False
    if urlsplit(inner).scheme == "memory":
        return False  # each has a heap of its own
    if urlsplit(inner).scheme == "file":
        return folder(inner).is_relative_to(folder(outer))
    bucket, prefix, options = bucket_url(inner, OPTIONS)
    other_bucket, other_prefix, other_options = bucket_url(outer, OPTIONS)
    same = (bucket, options.get("endpoint")) == (other_bucket, other_options.get("endpoint"))
    return same and prefix.startswith(other_prefix)


def folder(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path)).resolve()
