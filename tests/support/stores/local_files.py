"""The files in which a local store keeps its bytes."""

import os
from pathlib import Path

from media_service.storage.marked_driver import KEY


def blob_files(store: Path) -> list[Path]:
    """Blobs, and parts of open ones, without the marker of the store."""
    # Unlike rglob, walk ignores folders that are removed meanwhile.
    folders = os.walk(store)
    found = [Path(folder) / name for folder, _, names in folders for name in names]
    return [path for path in found if path != store / KEY and path.is_file()]
