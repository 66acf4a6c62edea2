"""Caches the errors of failed renders for a short time."""

import time
from collections.abc import Hashable

from cachetools import TTLCache

from media_service.errors import FailedPrecondition, InvalidArgument, MediaError

# Short, because a render that exceeds its time limit on a busy machine may succeed later.
TTL_SECONDS = 60.0
MAX_ENTRIES = 10_000
# Errors caused by the image or the pipeline. Other errors may not occur again.
LASTING_ERRORS = (InvalidArgument, FailedPrecondition)


class NegativeCache:
    def __init__(self) -> None:
        self._errors: TTLCache[Hashable, MediaError] = TTLCache(
            MAX_ENTRIES, TTL_SECONDS, timer=time.monotonic
        )

    def check(self, key: Hashable) -> None:
        """Raises the recent error of this key, if there is one."""
        if error := self._errors.get(key):
            raise error.with_traceback(None)

    def add(self, key: Hashable, error: MediaError) -> None:
        if isinstance(error, LASTING_ERRORS):
            self._errors[key] = error
