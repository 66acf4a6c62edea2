"""Pictures that could not be made, so that they are not tried again and again."""

import time
from collections import OrderedDict
from collections.abc import Hashable

from media_service.errors import FailedPrecondition, InvalidArgument, MediaError

# Time is for the limits: on a busy machine, what takes too long now may not in a minute.
KEPT_SECONDS = 60.0
MOST = 10_000
# What is the picture's or the pipeline's fault, and not the moment's.
LASTING = (InvalidArgument, FailedPrecondition)


class Failures:
    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[MediaError, float]] = OrderedDict()

    def check(self, key: Hashable) -> None:
        """Raises what came of it the last time, if that was just now."""
        error, until = self._known.get(key, (None, 0.0))
        if error is not None and time.monotonic() < until:
            raise error.with_traceback(None)

    def add(self, key: Hashable, error: MediaError) -> None:
        if isinstance(error, LASTING):
            self._known[key] = (error, time.monotonic() + KEPT_SECONDS)
            self._known.move_to_end(key)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
