"""HTTP headers in gRPC metadata: Envoy passes request headers as metadata, and its Lua script turns
response metadata into the HTTP status and headers."""

import base64
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from media_service.errors import InvalidArgument, MediaError, Reason
from media_service.rpc.error_status import grpc_code, message_of
from media_service.storage.checksums import Checksums

log = logging.getLogger(__name__)

# Characters of a header. Digests of all algorithms together are shorter.
MAX_HEADER_LENGTH = 1024
# The lookbehind tries a key only at its first letter. Trying each of its letters would take
# quadratic time.
DIGEST = re.compile(r"(?<![a-z0-9-])([a-z0-9-]+)\s*=\s*:([^:]*):")


def request_headers(context: Any) -> Mapping[str, str]:
    """The request's metadata by lower-case name; the first value of a repeated name."""
    metadata = context.invocation_metadata() or ()
    return {key: value for key, value in reversed(metadata) if isinstance(value, str)}


def is_rest(context: Any) -> bool:
    """Whether a call came through Envoy's transcoder."""
    return any(key == "x-envoy-original-method" for key, _ in context.invocation_metadata() or ())


def is_head(headers: Mapping[str, str]) -> bool:
    return headers.get("x-envoy-original-method") == "HEAD"


async def cut(context: Any, error: MediaError) -> None:
    """Aborts an answer after it has begun, so that HTTP clients notice that it is incomplete.

    Otherwise, Envoy ends such an answer as if it were complete, and an HTTP/1.1 client waits for
    the rest. It resets the stream if the trailers have more entries than its limit (100, see
    envoy.yaml).
    """
    log.error("an answer was cut off: %s", error.message)
    excess = tuple((f"x-cut-{number}", "1") for number in range(110))
    await context.abort(grpc_code(error), message_of(error), excess)


def http_date(time: datetime) -> str:
    return format_datetime(time.astimezone(UTC).replace(microsecond=0), usegmt=True)


def bad_header(name: str, expects: str) -> InvalidArgument:
    return InvalidArgument(
        Reason.INVALID_HEADER, f"The header {name} must be {expects}.", ((name, expects),)
    )


def integer_header(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name.lower())
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,18}", text.strip()):
        raise bad_header(name, "a whole number")
    return int(text)


def boolean_header(headers: Mapping[str, str], name: str) -> bool:
    """A boolean as in RFC 8941: ?1 or ?0."""
    text = headers.get(name.lower(), "?0").strip()
    if text not in {"?0", "?1"}:
        raise bad_header(name, "?1 or ?0")
    return text == "?1"


def digest_header(headers: Mapping[str, str], name: str) -> Checksums:
    """The checksums in a Content-Digest or Repr-Digest (RFC 9530): sha-256, crc32c."""
    text = headers.get(name.lower(), "")
    if len(text) > MAX_HEADER_LENGTH:
        raise bad_header(name, f"at most {MAX_HEADER_LENGTH} characters long")
    sha256 = crc32c = None
    for algorithm, encoded in DIGEST.findall(text):
        try:
            value = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise bad_header(name, "sha-256=:<base64>:") from None
        if algorithm == "sha-256" and len(value) == 32:
            sha256 = value
        elif algorithm == "crc32c" and len(value) == 4:
            crc32c = int.from_bytes(value)
        elif algorithm in {"sha-256", "crc32c"}:
            raise bad_header(name, "sha-256=:<base64 of 32 bytes>:")
    if text and not (sha256 or crc32c is not None):
        raise bad_header(name, "sha-256=:<base64>: or crc32c=:<base64>:")
    return Checksums(crc32c, sha256)


def repr_digest(checksums: Checksums) -> str:
    """A Repr-Digest of the known checksums."""
    digests = []
    if checksums.sha256 is not None:
        digests.append(f"sha-256=:{base64.b64encode(checksums.sha256).decode()}:")
    if checksums.crc32c is not None:
        digests.append(f"crc32c=:{base64.b64encode(checksums.crc32c.to_bytes(4)).decode()}:")
    return ", ".join(digests)
