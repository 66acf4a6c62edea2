"""Remembers for a short time which renders failed, and why."""

import time
from collections import OrderedDict
from collections.abc import Hashable

from media_service.errors import FailedPrecondition, InvalidArgument, MediaError

# Short, because a render that exceeds its time limit on a busy machine may succeed later.
TTL_SECONDS = 60.0
MAX_ENTRIES = 10_000
# Errors that the image or the pipeline causes. Others may not occur again.
LASTING_ERRORS = (InvalidArgument, FailedPrecondition)


class NegativeCache:
    def __init__(self) -> None:
        self._errors: OrderedDict[Hashable, tuple[MediaError, float]] = OrderedDict()

    def check(self, key: Hashable) -> None:
        """Raises the recent error of this key, if there is one."""
        error, expires = self._errors.get(key, (None, 0.0))
        if error is not None and time.monotonic() < expires:
            raise error.with_traceback(None)

    def add(self, key: Hashable, error: MediaError) -> None:
        if isinstance(error, LASTING_ERRORS):
            self._errors[key] = (error, time.monotonic() + TTL_SECONDS)
            self._errors.move_to_end(key)
            if len(self._errors) > MAX_ENTRIES:
                self._errors.popitem(last=False)
