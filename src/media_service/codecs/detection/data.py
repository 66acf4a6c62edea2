"""What detectors read."""

import mmap
from collections.abc import Callable
from typing import TypeAlias

# Slices of both are bytes.
Data: TypeAlias = bytes | mmap.mmap
# Returns a content type, or an empty text for a file of another format.
Detector: TypeAlias = Callable[[Data], str]
