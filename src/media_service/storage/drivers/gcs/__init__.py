"""Blobs as objects of a Google Cloud Storage bucket: `gs://bucket/prefix`."""

from media_service.storage.bucket_url import parse_bucket_url
from media_service.storage.driver import Driver

SCHEME = "gs"


def open_driver(url: str) -> Driver:
    bucket, prefix, options = parse_bucket_url(url, ["endpoint"])
    from media_service.storage.drivers.gcs.driver import GcsDriver  # noqa: PLC0415 - a slow import

    return GcsDriver(bucket, prefix, options.get("endpoint"))
