"""Notices a stream that has all but stopped."""

import time

from media_service.errors import DeadlineExceeded, Reason
from media_service.uploads.model import KIB

# A stream that brings less than this in the stream timeout is ended.
SLOWEST_BYTES = KIB


class Pace:
    """`timeout` in seconds, from now on."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._window_end = time.monotonic() + timeout
        self._before = 0

    @property
    def seconds_left(self) -> float:
        """Until `slow` is asked for the next time with any use."""
        return self._window_end - time.monotonic()

    def slow(self, received: int) -> DeadlineExceeded | None:
        """Why the stream is to be ended, if it is; `received`: bytes so far."""
        if self.seconds_left > 0:
            return None
        if received - self._before < SLOWEST_BYTES:
            return DeadlineExceeded(
                Reason.STREAM_TOO_SLOW,
                f"Less than {SLOWEST_BYTES} bytes came in {self._timeout:g} seconds."
                " What came of a stream is kept: resume when the connection is better.",
            )
        self._window_end, self._before = time.monotonic() + self._timeout, received
        return None
