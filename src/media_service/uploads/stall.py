"""Detects a stream that has almost stopped."""

import time

from media_service.errors import DeadlineExceeded, Reason
from media_service.uploads.model import KIB

# A stream that brings less than this in the stream timeout is ended.
MIN_WINDOW_BYTES = KIB


class StallDetector:
    """`timeout` in seconds, from now on."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._window_end = time.monotonic() + timeout
        self._before = 0

    @property
    def seconds_left(self) -> float:
        """Until `slow` can answer next."""
        return self._window_end - time.monotonic()

    def slow(self, received: int) -> DeadlineExceeded | None:
        """The error that ends the stream, if it is too slow. `received`: bytes so far."""
        if self.seconds_left > 0:
            return None
        if received - self._before < MIN_WINDOW_BYTES:
            return DeadlineExceeded(
                Reason.STREAM_TOO_SLOW,
                f"Fewer than {MIN_WINDOW_BYTES} bytes arrived in {self._timeout:g} seconds."
                " The bytes of a stream that arrived are kept: resume it later.",
            )
        self._window_end, self._before = time.monotonic() + self._timeout, received
        return None
