"""Blobs as objects of an S3 bucket: `s3://bucket/prefix?region=...`. See `location.py` for options.

Works with AWS and with any other store that implements the S3 API.
"""

from media_service.storage.driver import Driver
from media_service.storage.drivers.s3.location import parse_location

SCHEME = "s3"


def open_driver(url: str) -> Driver:
    location = parse_location(url)
    # Importing the SDK takes half of the service's startup time.
    from media_service.storage.drivers.s3.driver import S3Driver  # noqa: PLC0415

    return S3Driver(location)
