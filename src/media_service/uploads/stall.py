"""Detects stalled streams."""

import time

from media_service.errors import DeadlineExceeded, Reason
from media_service.uploads.model import KIB

# A stream that delivers fewer bytes than this within the timeout is ended.
MIN_WINDOW_BYTES = KIB


class StallDetector:
    """Measures the bytes received in consecutive windows of `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._window_end = time.monotonic() + timeout
        self._before = 0

    @property
    def seconds_left(self) -> float:
        """The seconds until the current window ends."""
        return self._window_end - time.monotonic()

    def slow(self, received: int) -> DeadlineExceeded | None:
        """Returns the error that ends the stream if the stream is too slow, or None. `received` is
        the total number of bytes received."""
        if self.seconds_left > 0:
            return None
        if received - self._before < MIN_WINDOW_BYTES:
            return DeadlineExceeded(
                Reason.STREAM_TOO_SLOW,
                f"Fewer than {MIN_WINDOW_BYTES} bytes arrived in {self._timeout:g} seconds."
                " The bytes that arrived are kept. Resume the upload later.",
            )
        self._window_end, self._before = time.monotonic() + self._timeout, received
        return None
