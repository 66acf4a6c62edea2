"""The only table from error classes to gRPC codes and HTTP statuses."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from media_service import errors
from media_service.errors import MediaError, Reason
from media_service.ids import new_id

log = logging.getLogger(__name__)

DOMAIN = "mediaservice"
RETRY_SECONDS = 1
# Bytes of metadata. Clients refuse more than 8 KiB in all, as they please: the message, which is
# there twice, once in base64, the error's metadata, and the violations, by field.
LONGEST_MESSAGE = 1024
FACTS_ROOM = 1200
VIOLATIONS_ROOM = 1800
# Of these.
LONGEST_NAME = 100
LONGEST_TEXT = 1000
Code = grpc.StatusCode

TABLE: dict[type[MediaError], tuple[grpc.StatusCode, int]] = {
    errors.InvalidArgument: (Code.INVALID_ARGUMENT, 400),
    errors.Unauthenticated: (Code.UNAUTHENTICATED, 401),
    errors.PermissionDenied: (Code.PERMISSION_DENIED, 403),
    errors.NotFound: (Code.NOT_FOUND, 404),
    errors.Timeout: (Code.DEADLINE_EXCEEDED, 408),
    errors.AlreadyExists: (Code.ALREADY_EXISTS, 409),
    errors.Conflict: (Code.ABORTED, 409),
    errors.FailedPrecondition: (Code.FAILED_PRECONDITION, 409),
    errors.OffsetMismatch: (Code.OUT_OF_RANGE, 409),
    errors.Gone: (Code.FAILED_PRECONDITION, 410),
    errors.PreconditionFailed: (Code.ABORTED, 412),
    errors.TooLarge: (Code.INVALID_ARGUMENT, 413),
    errors.Unsupported: (Code.INVALID_ARGUMENT, 415),
    errors.OutOfRange: (Code.OUT_OF_RANGE, 416),
    errors.ResourceExhausted: (Code.RESOURCE_EXHAUSTED, 429),
    errors.DataLoss: (Code.DATA_LOSS, 500),
    errors.Unavailable: (Code.UNAVAILABLE, 503),
}
BY_REASON = {
    Reason.STORAGE_FULL: 507,
    Reason.OPERATION_NOT_APPLICABLE: 422,
    Reason.DOCUMENT_ENCRYPTED: 422,
    Reason.PROCESSING_LIMIT_EXCEEDED: 422,
    Reason.MAX_BYTES_TOO_SMALL: 422,
    Reason.MEDIA_FAILED: 422,
}
INTERNAL = (Code.INTERNAL, 500)
# Of what ended without an answer (a job, an upload, an inspection) only the reason is kept. The
# code it has in an answer, for each with which something can end; any other is a fault of ours.
FAULTS: dict[grpc.StatusCode, set[Reason]] = {
    Code.INVALID_ARGUMENT: {
        Reason.CHECKSUM_MISMATCH,
        Reason.FILE_EMPTY,
        Reason.FILE_TOO_LARGE,
        Reason.INSPECTION_LIMIT_EXCEEDED,
        Reason.INVALID_OPERATIONS,
        Reason.MEDIA_CORRUPT,
        Reason.PIXEL_LIMIT_EXCEEDED,
        Reason.PROCESSING_LIMIT_EXCEEDED,
        Reason.SIZE_EXCEEDED,
        Reason.TYPE_MISMATCH,
        Reason.TYPE_NOT_ALLOWED,
    },
    Code.FAILED_PRECONDITION: {
        Reason.DOCUMENT_ENCRYPTED,
        Reason.MAX_BYTES_TOO_SMALL,
        Reason.MEDIA_DELETED,
        Reason.MEDIA_QUARANTINED,
        Reason.MISSING_TOOL,
        Reason.OPERATION_NOT_APPLICABLE,
        Reason.RENDITION_LIMIT_EXCEEDED,
        Reason.UPLOAD_INCOMPLETE,
    },
    Code.NOT_FOUND: {Reason.MEDIA_NOT_FOUND},
    Code.RESOURCE_EXHAUSTED: {Reason.STORAGE_FULL},
    Code.UNAVAILABLE: {Reason.DATABASE_UNAVAILABLE, Reason.STORAGE_UNAVAILABLE},
    Code.DATA_LOSS: {Reason.BLOB_MISSING},
}
RETRIABLE = (errors.Unavailable, errors.ResourceExhausted)
# Of other classes.
RETRIABLE_REASONS = {Reason.MEDIA_NOT_READY}


def codes(error: MediaError) -> tuple[grpc.StatusCode, int]:
    """The gRPC code and the HTTP status of an error."""
    code, status = TABLE.get(type(error), INTERNAL)
    return code, BY_REASON.get(error.reason, status)


def retriable(error: MediaError) -> bool:
    """Whether the same call may work in a moment."""
    return isinstance(error, RETRIABLE) or error.reason in RETRIABLE_REASONS


def known(error: Exception) -> MediaError:
    """An error that may be shown. Whatever is not ours is logged whole and shown opaque."""
    if isinstance(error, MediaError):
        return error
    error_id = new_id()
    log.error("internal error %s", error_id, exc_info=error)
    return MediaError(
        Reason.INTERNAL,
        f"Something went wrong on our side. Quote {error_id} when you report it.",
        error_id=error_id,
    )


def fault_status(reason: str, message: str) -> status_pb2.Status:
    """Why something ended as FAILED, as google.rpc.Status."""
    code = next((code for code, reasons in FAULTS.items() if reason in reasons), Code.INTERNAL)
    status = status_pb2.Status(code=code.value[0], message=message)
    pack(status, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    return status


def pack(status: status_pb2.Status, detail: object) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)  # type: ignore[arg-type]
    status.details.append(packed)


def message_of(error: MediaError) -> str:
    return cut(error.message, LONGEST_MESSAGE)


def cut(text: str, room: int) -> str:
    """The beginning of a text that takes at most `room` bytes in metadata, where all but printable
    ASCII is percent-encoded."""
    taken = 0
    for at, character in enumerate(text):
        plain = " " <= character <= "~" and character != "%"
        taken += 1 if plain else 3 * len(character.encode())
        if taken > room:
            return text[:at] + "…"
    return text


def fitting(pairs: Iterable[tuple[str, str]], room: int) -> Iterator[tuple[str, str]]:
    """The first of some names and texts, cut, that take at most `room` bytes together."""
    for pair in pairs:
        name, text = cut(pair[0], LONGEST_NAME), cut(pair[1], LONGEST_TEXT)
        room -= len(name.encode()) + len(text.encode())
        if room < 0:
            return
        yield name, text


def to_status(error: MediaError) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, and BadRequest or RetryInfo where they say more. What a
    caller gave may be in them: all that is long is cut, so that it fits into metadata."""
    status = status_pb2.Status(code=codes(error)[0].value[0], message=message_of(error))
    facts = dict(fitting(error.metadata.items(), FACTS_ROOM))
    pack(
        status,
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=facts),
    )
    if isinstance(error, errors.InvalidArgument) and error.fields:
        request = error_details_pb2.BadRequest()
        for field, description in fitting(error.fields, VIOLATIONS_ROOM):
            request.field_violations.add(field=field, description=description)
        pack(status, request)
    if retriable(error):
        delay = duration_pb2.Duration(seconds=RETRY_SECONDS)
        pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def http_headers(error: MediaError) -> Iterator[tuple[str, str]]:
    """What HTTP says about this error in headers; Envoy's Lua makes them so."""
    yield "x-http-status", str(codes(error)[1])
    if isinstance(error, errors.Unauthenticated):
        yield "www-authenticate", "Bearer"
    if isinstance(error, errors.OutOfRange):
        yield "content-range", f"bytes */{error.metadata['complete_size']}"
    if isinstance(error, errors.OffsetMismatch):
        yield "upload-offset", error.metadata["committed_size"]
    if retriable(error):
        yield "retry-after", str(RETRY_SECONDS)


async def abort(context: "grpc.aio.ServicerContext[Any, Any]", error: MediaError) -> None:
    """Ends the call with the error. One abort carries details and headers, or Envoy loses some."""
    details = to_status(error).SerializeToString()
    trailers = (("grpc-status-details-bin", details), *http_headers(error))
    await context.abort(codes(error)[0], message_of(error), trailers)
