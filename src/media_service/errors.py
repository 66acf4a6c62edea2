"""What can go wrong, free of any transport.

Every error has a class, which says what kind of failure it is, and a `Reason`, which is stable and
documented in docs/errors.md. `rpc/status.py` is the one table from class to gRPC code and HTTP
status.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Stable identifiers, part of the contract: callers may match on them."""

    # Callers
    TOKEN_MISSING = "TOKEN_MISSING"
    TOKEN_INVALID = "TOKEN_INVALID"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"
    SCOPE_MISSING = "SCOPE_MISSING"
    LINK_INVALID = "LINK_INVALID"
    # Requests
    INVALID_FIELD = "INVALID_FIELD"
    INVALID_HEADER = "INVALID_HEADER"
    INVALID_FILTER = "INVALID_FILTER"
    INVALID_ORDER_BY = "INVALID_ORDER_BY"
    INVALID_PAGE_TOKEN = "INVALID_PAGE_TOKEN"
    INVALID_UPDATE_MASK = "INVALID_UPDATE_MASK"
    INVALID_MULTIPART = "INVALID_MULTIPART"
    INCOMPLETE_BODY = "INCOMPLETE_BODY"
    # Uploads
    UPLOAD_NOT_FOUND = "UPLOAD_NOT_FOUND"
    UPLOAD_EXISTS = "UPLOAD_EXISTS"
    UPLOAD_NOT_ACTIVE = "UPLOAD_NOT_ACTIVE"
    UPLOAD_INCOMPLETE = "UPLOAD_INCOMPLETE"
    OFFSET_MISMATCH = "OFFSET_MISMATCH"
    CHUNK_TOO_LARGE = "CHUNK_TOO_LARGE"
    APPEND_TOO_SMALL = "APPEND_TOO_SMALL"
    PART_TOO_SMALL = "PART_TOO_SMALL"
    PART_CONFLICT = "PART_CONFLICT"
    PARTS_OUTSTANDING = "PARTS_OUTSTANDING"
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    SIZE_EXCEEDED = "SIZE_EXCEEDED"
    SUPERSEDED = "SUPERSEDED"
    STREAM_TOO_SLOW = "STREAM_TOO_SLOW"
    # The bytes themselves
    FILE_EMPTY = "FILE_EMPTY"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    TYPE_NOT_ALLOWED = "TYPE_NOT_ALLOWED"
    PIXEL_LIMIT_EXCEEDED = "PIXEL_LIMIT_EXCEEDED"
    MEDIA_CORRUPT = "MEDIA_CORRUPT"
    INSPECTION_LIMIT_EXCEEDED = "INSPECTION_LIMIT_EXCEEDED"
    # Media
    MEDIA_NOT_FOUND = "MEDIA_NOT_FOUND"
    MEDIA_DELETED = "MEDIA_DELETED"
    MEDIA_NOT_DELETED = "MEDIA_NOT_DELETED"
    MEDIA_QUARANTINED = "MEDIA_QUARANTINED"
    RENDITION_NOT_FOUND = "RENDITION_NOT_FOUND"
    RENDITION_LIMIT_EXCEEDED = "RENDITION_LIMIT_EXCEEDED"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    PRECONDITION_FAILED = "PRECONDITION_FAILED"
    RANGE_NOT_SATISFIABLE = "RANGE_NOT_SATISFIABLE"
    # Processing
    INVALID_OPERATIONS = "INVALID_OPERATIONS"
    OPERATION_NOT_APPLICABLE = "OPERATION_NOT_APPLICABLE"
    PROCESSING_LIMIT_EXCEEDED = "PROCESSING_LIMIT_EXCEEDED"
    DOCUMENT_ENCRYPTED = "DOCUMENT_ENCRYPTED"
    MAX_BYTES_TOO_SMALL = "MAX_BYTES_TOO_SMALL"
    MEDIA_NOT_READY = "MEDIA_NOT_READY"
    MEDIA_FAILED = "MEDIA_FAILED"
    RENDER_BUSY = "RENDER_BUSY"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    JOB_NOT_CANCELLABLE = "JOB_NOT_CANCELLABLE"
    JOB_NOT_RETRYABLE = "JOB_NOT_RETRYABLE"
    # The service
    BLOB_MISSING = "BLOB_MISSING"
    KEYS_UNAVAILABLE = "KEYS_UNAVAILABLE"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    STORAGE_FULL = "STORAGE_FULL"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    MISSING_TOOL = "MISSING_TOOL"
    PROCESSING_UNAVAILABLE = "PROCESSING_UNAVAILABLE"
    SERVER_BUSY = "SERVER_BUSY"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    INTERNAL = "INTERNAL"


class MediaError(Exception):
    """An error a caller may see.

    `message` says what happened and what to do; `metadata` holds the same facts for programs.
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


class TooLarge(MediaError):
    """More bytes, or pixels, than are allowed."""


class Unsupported(MediaError):
    """Bytes of a type that is not taken."""


class OutOfRange(MediaError):
    """A byte range outside of the content."""


class OffsetMismatch(MediaError):
    """Bytes for another position than the one that comes next."""


class Unauthenticated(MediaError):
    """No token, or one that is not valid."""


class PermissionDenied(MediaError):
    """The caller may see this, but not do that."""


class NotFound(MediaError):
    """It does not exist, or the caller may not see it."""


class Gone(MediaError):
    """It is there, but soft-deleted."""


class AlreadyExists(MediaError):
    """The id is taken."""


class FailedPrecondition(MediaError):
    """Not in a state that allows this."""


class PreconditionFailed(MediaError):
    """The caller's own condition (an etag, a date) does not hold."""


class Conflict(MediaError):
    """Another caller was faster."""


class ResourceExhausted(MediaError):
    """A limit of the service is reached; later it may work."""


class Timeout(MediaError):
    """The caller was too slow."""


class Unavailable(MediaError):
    """A part of the service is out of reach; a retry may work."""


class DataLoss(MediaError):
    """Bytes that should be there are not."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an upload, a media or a job FAILED: a `Reason`, and a message for people."""

    reason: str
    message: str
