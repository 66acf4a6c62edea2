"""The files in which an S3 server keeps its objects."""

import os
from pathlib import Path

from tests.support.stores.s3_server import BUCKET


def objects(folder: Path) -> list[Path]:
    """The files in the bucket: blobs, and parts of open uploads."""
    return files_below(folder / "s3" / BUCKET)


def files_below(folder: Path) -> list[Path]:
    walk = os.walk(folder)  # tolerates folders that are removed meanwhile
    return [Path(below, name) for below, _, names in walk for name in names]
