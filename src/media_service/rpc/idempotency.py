"""Idempotency keys of requests: the field `request_id`, or the header `Idempotency-Key`."""

import re
from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from media_service.errors import InvalidArgument, Reason
from media_service.idempotency.model import RequestKey
from media_service.rpc.caller import caller
from media_service.rpc.http import bad_header

HEADER = "Idempotency-Key"
PRINTABLE = re.compile(r"[ -~]{1,255}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def request_key(
    headers: Mapping[str, str], method: str, request_id: str, content: Message
) -> RequestKey | None:
    """The key of a call with this content; None if the call has no key.

    Raises InvalidArgument: INVALID_HEADER, or INVALID_FIELD if header and field differ.
    """
    header, field = header_key(headers), request_id.lower()
    if header and field and header != field:
        why = f"must equal the header {HEADER} if both are set"
        raise InvalidArgument(
            Reason.INVALID_FIELD, f"The request_id {why}.", (("request_id", why),)
        )
    return key_of(method, field or header, content)


def header_key(headers: Mapping[str, str]) -> str:
    """Empty if there is none. UUIDs are not case-sensitive."""
    text = headers.get(HEADER.lower())
    if text is None:
        return ""
    if not PRINTABLE.fullmatch(text):
        raise bad_header(HEADER, "1 to 255 printable ASCII characters")
    return text.lower() if UUID.fullmatch(text) else text


def key_of(method: str, key: str, content: Message) -> RequestKey | None:
    if not key:
        return None
    by = caller()
    data = content.SerializeToString(deterministic=True)
    return RequestKey.of(by.owner, method, key, data, by.session_id)


def item_keys(header: str, request_ids: Sequence[str]) -> list[str]:
    """The keys of the requests of a batch: their own, or the header's with their indexes."""
    return [
        request_id.lower() or (f"{header}/{position}" if header else "")
        for position, request_id in enumerate(request_ids)
    ]
