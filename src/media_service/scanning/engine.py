"""The interface that every scan engine implements; see `engines`.

An engine never reports as clean what it has not scanned in full. It translates its errors into
`errors.Unavailable`: SCAN_UNAVAILABLE if it cannot be used at all, SCAN_FAILED if it cannot scan
this content.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from media_service.media.model import ScanState


class UnsafeEngine(Exception):
    """The engine answers, but would report content as clean that it has not scanned. The message
    says which setting of the engine to change."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a scan found: `state` is CLEAN, INFECTED or TOO_LARGE. `threat` is the engine's name of
    what infects the content."""

    state: ScanState
    threat: str = ""


class ScanEngine(Protocol):
    """Safe for concurrent calls. Every wait has a limit."""

    async def scan(self, content: AsyncIterator[bytes]) -> Finding:
        """Scans the content, one piece after the other: it holds few pieces at any time, and asks
        for no more once the engine has answered.

        An error that `content` raises ends the scan without a finding, and is raised. Raises
        Unavailable (SCAN_UNAVAILABLE, SCAN_FAILED).
        """

    async def version(self) -> str:
        """The engine and its signatures, such as "ClamAV 1.4.3/27500". It changes when the
        signatures do. Raises Unavailable (SCAN_UNAVAILABLE)."""

    async def probe(self) -> None:
        """Checks that the engine can be relied on. Cheap enough to call whenever it may have been
        restarted. Raises UnsafeEngine, and Unavailable (SCAN_UNAVAILABLE, SCAN_FAILED)."""
