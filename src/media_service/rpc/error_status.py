"""How errors are reported: their gRPC code, HTTP status and details, by the rule that the contract
has for their reason (error_reason.proto)."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from mediaservice.v1 import error_reason_pb2
from mediaservice.v1.error_reason_pb2 import ErrorReason, ErrorRule

from media_service.errors import Internal, InvalidArgument, MediaError, Reason
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
# The rule of each reason.
RULES: Mapping[str, ErrorRule] = {
    value.name: value.GetOptions().Extensions[error_reason_pb2.error]
    for value in ErrorReason.Value.DESCRIPTOR.values
}
CODES = {code.value[0]: code for code in grpc.StatusCode}


def grpc_code(error: MediaError) -> grpc.StatusCode:
    return CODES[RULES[error.reason].code]


def known(error: Exception) -> MediaError:
    """An error that may be shown. Whatever is not ours is logged whole and shown opaque."""
    if isinstance(error, MediaError):
        return error
    error_id = new_id()
    log.error("internal error %s", error_id, exc_info=error)
    return Internal(
        Reason.INTERNAL,
        f"The service has a bug. Quote {error_id} when you report it.",
        error_id=error_id,
    )


def fault_status(reason: str, message: str) -> status_pb2.Status:
    """Why something ended as FAILED, as google.rpc.Status."""
    status = status_pb2.Status(code=RULES.get(reason, RULES[Reason.INTERNAL]).code, message=message)
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
    status = status_pb2.Status(code=RULES[error.reason].code, message=message_of(error))
    facts = dict(fitting(error.metadata.items(), FACTS_ROOM))
    pack(
        status,
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=facts),
    )
    if isinstance(error, InvalidArgument) and error.fields:
        request = error_details_pb2.BadRequest()
        for field, description in fitting(error.fields, VIOLATIONS_ROOM):
            request.field_violations.add(field=field, description=description)
        pack(status, request)
    if RULES[error.reason].retriable:
        delay = duration_pb2.Duration(seconds=RETRY_SECONDS)
        pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def http_headers(error: MediaError) -> Iterator[tuple[str, str]]:
    """What HTTP says about this error in its status and headers, as Envoy's Lua sets them."""
    rule = RULES[error.reason]
    yield "x-http-status", str(rule.http_status)
    if rule.code == code_pb2.UNAUTHENTICATED:
        yield "www-authenticate", "Bearer"
    if error.reason is Reason.RANGE_NOT_SATISFIABLE:
        yield "content-range", f"bytes */{error.metadata['complete_size_bytes']}"
    if error.reason is Reason.OFFSET_MISMATCH:
        yield "upload-offset", error.metadata["committed_size_bytes"]
    if rule.retriable:
        yield "retry-after", str(RETRY_SECONDS)


async def abort(context: "grpc.aio.ServicerContext[Any, Any]", error: MediaError) -> None:
    """Ends the call with the error. One abort carries details and headers, or Envoy loses some."""
    details = to_status(error).SerializeToString()
    trailers = (("grpc-status-details-bin", details), *http_headers(error))
    await context.abort(grpc_code(error), message_of(error), trailers)
