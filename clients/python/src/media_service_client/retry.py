"""Which failures are worth another try, and when."""

import random
from dataclasses import dataclass

from grpc import StatusCode

from media_service_client.errors import MediaServiceError

TRANSIENT = frozenset({StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED})
# The service gives every error of its own a reason; without one these come from the transport:
# a stream reset, a proxy, or a server that takes no more calls just now.
TRANSPORT = frozenset({StatusCode.INTERNAL, StatusCode.RESOURCE_EXHAUSTED})

# Worth another try if the service says when.
ASKED = frozenset({StatusCode.RESOURCE_EXHAUSTED, StatusCode.ABORTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter.

    `attempts` counts tries without progress in between. A service that asks for a longer wait
    than `patience_seconds` is not waited for.
    """

    first_seconds: float = 0.2
    factor: float = 2.0
    ceiling_seconds: float = 10.0
    attempts: int = 10
    patience_seconds: float = 300.0


DEFAULT = Backoff()


def is_transient(error: MediaServiceError) -> bool:
    """Whether the same request may succeed later."""
    if error.code in ASKED and error.retry_after_seconds is not None:
        return True
    return error.code in TRANSIENT or (error.code in TRANSPORT and not error.reason)


class Retries:
    """Counts failures in a row."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._failures = 0

    def progressed(self) -> None:
        self._failures = 0

    def pause(self, error: MediaServiceError) -> float:
        """Seconds to wait before the next try; raises `error` if there is to be none."""
        backoff = self._backoff
        asked = error.retry_after_seconds or 0.0
        self._failures += 1
        if self._failures >= backoff.attempts or asked > backoff.patience_seconds:
            raise error
        longest = backoff.first_seconds * backoff.factor ** (self._failures - 1)
        return asked + random.uniform(0, min(backoff.ceiling_seconds, longest))  # noqa: S311
