"""What can go wrong, free of any transport.

An error has a `Reason`, which the contract documents (error_reason.proto), and a class, which is
the kind of failure that code catches. There is one class for each gRPC code that reasons have.
"""

from dataclasses import dataclass

from media_service.reasons import Reason

__all__ = ["Reason"]


class MediaError(Exception):
    """An error that callers may see.

    `message` says what happened and what to do; `metadata` holds the same facts for programs,
    under the keys that the contract lists for the reason.
    """

    def __init__(self, reason: Reason, message: str, **metadata: str | int) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = {key: str(value) for key, value in metadata.items()}


class InvalidArgument(MediaError):
    """The request is wrong in itself. `fields` names the violations: (field, what is wrong)."""

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
    """No token, or one that is not valid."""


class PermissionDenied(MediaError):
    """The caller may see this, but not do that."""


class NotFound(MediaError):
    """It does not exist, or the caller may not see it."""


class AlreadyExists(MediaError):
    """The id is taken."""


class FailedPrecondition(MediaError):
    """It is not in a state that allows this."""


class Aborted(MediaError):
    """Another caller was faster, or the caller's own condition (an etag, a date) does not hold."""


class ResourceExhausted(MediaError):
    """A limit of the service is reached; a retry may work."""


class DeadlineExceeded(MediaError):
    """The caller was too slow."""


class Unavailable(MediaError):
    """Something is not there yet, or out of reach; a retry may work."""


class Unimplemented(MediaError):
    """This installation cannot do that."""


class DataLoss(MediaError):
    """Bytes that should be there are missing."""


class Internal(MediaError):
    """The service has a bug."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an upload, a media or a job FAILED: a `Reason`, and a message for people."""

    reason: str
    message: str
