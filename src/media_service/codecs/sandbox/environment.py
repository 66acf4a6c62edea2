"""The environment variables of processes that open media. They get none of the service's, which
may be secrets."""

import os
import sys
from pathlib import Path

from media_service.codecs.sandbox.fonts import write_config


def base_environment() -> dict[str, str]:
    """Returns the variables that do not depend on a folder: modules, and small heaps."""
    inherited = {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if Path(p).is_absolute()),
        "LANG": "C.UTF-8",
        # Every arena and every worker thread reserves address space, which is limited.
        "MALLOC_ARENA_MAX": "2",
        "VIPS_CONCURRENCY": "2",
        # libvips decodes into memory, which is limited, and never into a file.
        "VIPS_DISC_THRESHOLD": "1000g",
    }


def folder_environment(folder: Path) -> dict[str, str]:
    """Returns the variables of a process with the private folder `folder`, and writes its fonts
    there."""
    return {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "FONTCONFIG_FILE": str(write_config(folder)),
    }
