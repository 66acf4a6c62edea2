"""The input of an operation that ends a video or audio pipeline."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from media_service.codecs.progress import ReportProgress
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource


@dataclass(frozen=True, slots=True)
class AvTask:
    """The input of an operation.

    Output files exist until `stack` is closed. `message` has the operation's parameters with all
    defaults, or None if the operation is implied. `rendition` is the name of the rendition.
    `profiles` has the maximum video bit rate in kbit/s for each shorter side in pixels.
    """

    stack: AsyncExitStack
    source: AvSource
    edits: Edits
    message: Any
    rendition: str
    profiles: Mapping[int, int]
    report: ReportProgress
