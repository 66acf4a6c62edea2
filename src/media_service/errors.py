"""The errors of the service, independent of the transport.

An error has a `Reason`, which the contract documents (error_reason.proto), and a class, which is
the kind of failure that code catches. There is one class for each gRPC code that reasons have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from media_service.reasons import Reason

__all__ = ["Reason"]


class MediaError(Exception):
    """An error that callers may see.

    `message` says what happened and what to do. `metadata` has the same facts for programs, under
    the keys that the contract lists for the reason. `retry_seconds`: when a retry may succeed, for
    reasons that the contract calls retriable.
    """

    retry_seconds = 1.0

    def __init__(self, reason: Reason, message: str, **metadata: str | int) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = {key: str(value) for key, value in metadata.items()}


class InvalidArgument(MediaError):
    """The request is invalid. `fields`: the violations, as pairs of field and problem."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        fields: tuple[tuple[str, str], ...] = (),
        **metadata: str | int,
    ) -> None:
        super().__init__(reason, message, **metadata)
        self.fields = fields


class OutOfRange(MediaError):
    """A position or range that the content does not have."""


class Unauthenticated(MediaError):
    """The token is missing or invalid."""


class PermissionDenied(MediaError):
    """The caller may read the resource, but not do this."""


class NotFound(MediaError):
    """The resource does not exist, or the caller may not read it."""


class AlreadyExists(MediaError):
    """The id is in use."""


class FailedPrecondition(MediaError):
    """The state of the resource does not allow this."""


class Aborted(MediaError):
    """A concurrent change came first, or a precondition of the caller is false."""


class ResourceExhausted(MediaError):
    """A limit of the service is reached. A retry may succeed."""


class DeadlineExceeded(MediaError):
    """The caller was too slow."""


class Unavailable(MediaError):
    """Something does not exist yet or is unavailable. A retry may succeed."""


class Unimplemented(MediaError):
    """This installation does not support it."""


class DataLoss(MediaError):
    """Stored bytes are missing."""


class Internal(MediaError):
    """The service has a bug."""


def shutting_down() -> Unavailable:
    return Unavailable(Reason.SHUTTING_DOWN, "The server is shutting down. Resume in a moment.")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an upload, a media or a job is FAILED: a `Reason`, a message for people, and the metadata
    of the reason, which uploads do not record."""

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
