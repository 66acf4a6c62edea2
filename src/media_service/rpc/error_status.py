"""Translates errors into gRPC codes, HTTP statuses and details, by the rules of their reasons in
error_reason.proto."""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from mediaservice.v1 import error_reason_pb2
from mediaservice.v1.error_reason_pb2 import ErrorReason, ErrorRule

from media_service.errors import (
    Fault,
    Internal,
    InvalidArgument,
    MediaError,
    Reason,
)
from media_service.ids import new_id

log = logging.getLogger(__name__)

DOMAIN = "mediaservice"
# Limits in bytes. Clients may refuse more than 8 KiB of metadata, which has the message twice, once
# in base64, then the error's metadata and the field violations.
MAX_MESSAGE_BYTES = 1024
MAX_METADATA_BYTES = 1200
MAX_VIOLATIONS_BYTES = 2000
# Of a single entry.
MAX_NAME_BYTES = 100
MAX_TEXT_BYTES = 1000
RULES: Mapping[str, ErrorRule] = {
    value.name: value.GetOptions().Extensions[error_reason_pb2.error]
    for value in ErrorReason.Value.DESCRIPTOR.values
}
CODES = {code.value[0]: code for code in grpc.StatusCode}


def grpc_code(error: MediaError) -> grpc.StatusCode:
    return CODES[RULES[error.reason].code]


def known(error: Exception) -> MediaError:
    """An error that may be shown to callers. Any other exception is logged and replaced by
    INTERNAL."""
    if isinstance(error, MediaError):
        return error
    error_id = new_id()
    log.error("internal error %s", error_id, exc_info=error)
    return Internal(
        Reason.INTERNAL,
        f"An internal error occurred. Report it to the operator with the id {error_id}.",
        error_id=error_id,
    )


def fault_status(fault: Fault) -> status_pb2.Status:
    """The reason of a FAILED resource, as google.rpc.Status."""
    rule = RULES.get(fault.reason, RULES[Reason.INTERNAL])
    status = status_pb2.Status(code=rule.code, message=fault.message)
    metadata = dict(fitting(fault.metadata.items(), MAX_METADATA_BYTES))
    info = error_details_pb2.ErrorInfo(reason=fault.reason, domain=DOMAIN, metadata=metadata)
    pack(status, info)
    return status


def pack(status: status_pb2.Status, detail: object) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)  # type: ignore[arg-type]
    status.details.append(packed)


def message_of(error: MediaError) -> str:
    return cut(error.message, MAX_MESSAGE_BYTES)


def cut(text: str, room: int) -> str:
    """The beginning of a text, of at most `room` bytes in metadata, where everything except
    printable ASCII is percent-encoded."""
    taken = 0
    for at, character in enumerate(text):
        plain = " " <= character <= "~" and character != "%"
        taken += 1 if plain else 3 * len(character.encode())
        if taken > room:
            return text[:at] + "…"
    return text


def fitting(pairs: Iterable[tuple[str, str]], room: int) -> Iterator[tuple[str, str]]:
    """The first pairs of names and texts, shortened, that take at most `room` bytes together."""
    for pair in pairs:
        name, text = cut(pair[0], MAX_NAME_BYTES), cut(pair[1], MAX_TEXT_BYTES)
        room -= len(name.encode()) + len(text.encode())
        if room < 0:
            return
        yield name, text


def to_status(error: MediaError) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, and BadRequest, QuotaFailure or RetryInfo if they apply.
    Long values are shortened to fit into metadata, because they may contain input of the caller."""
    status = status_pb2.Status(code=RULES[error.reason].code, message=message_of(error))
    metadata = dict(fitting(error.metadata.items(), MAX_METADATA_BYTES))
    pack(
        status,
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata),
    )
    if isinstance(error, InvalidArgument) and error.fields:
        request = error_details_pb2.BadRequest()
        for field, description in fitting(error.fields, MAX_VIOLATIONS_BYTES):
            request.field_violations.add(field=field, description=description)
        pack(status, request)
    if error.reason is Reason.QUOTA_EXCEEDED:
        failure = error_details_pb2.QuotaFailure()
        use = " {used} of {limit} used," if metadata["account"] else ""
        description = f"{{measure}}:{use} {{wanted}} more requested".format(**metadata)
        if metadata["reset_time"]:
            description += f", begins at 0 again at {metadata['reset_time']}"
        failure.violations.add(subject=metadata["account"], description=description)
        pack(status, failure)
    if RULES[error.reason].retriable:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(math.ceil(error.retry_seconds * 1000))
        pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def http_headers(error: MediaError) -> Iterator[tuple[str, str]]:
    """The HTTP status and headers of the error, which Envoy's Lua script sets."""
    rule = RULES[error.reason]
    yield "x-http-status", str(rule.http_status)
    if rule.code == code_pb2.UNAUTHENTICATED:
        yield "www-authenticate", "Bearer"
    if error.reason is Reason.RANGE_NOT_SATISFIABLE:
        yield "content-range", f"bytes */{error.metadata['complete_size_bytes']}"
    if error.reason is Reason.OFFSET_MISMATCH:
        yield "upload-offset", error.metadata["committed_size_bytes"]
    if error.reason is Reason.RATE_LIMITED:
        yield from rate_limit(error)
    if rule.retriable:
        yield "retry-after", str(max(1, math.ceil(error.retry_seconds)))


def rate_limit(error: MediaError) -> Iterator[tuple[str, str]]:
    """The headers of draft-ietf-httpapi-ratelimit-headers."""
    name, metadata = error.metadata["limit"], error.metadata
    yield "ratelimit-policy", f'"{name}";q={metadata["quota"]};w={metadata["window_seconds"]}'
    seconds = math.ceil(error.retry_seconds)
    yield "ratelimit", f'"{name}";r={metadata["remaining"]};t={seconds}'


async def abort(context: "grpc.aio.ServicerContext[Any, Any]", error: MediaError) -> None:
    """Ends the call with the error. A single abort carries details and headers, because Envoy would
    lose some otherwise."""
    details = to_status(error).SerializeToString()
    trailers = (("grpc-status-details-bin", details), *http_headers(error))
    await context.abort(grpc_code(error), message_of(error), trailers)
