"""Envoy's own errors, in the form of the service's: `local_reply_config`.

The CORS filter adds its headers only if a route leads to a server: not to a request that is
refused before it has a route, nor to a direct response. So they are added here to all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from media_service.envoy_cors import IS_PREFLIGHT, PREFLIGHT, RESPONSE_HEADERS, VARY, origin_filter
from media_service.errors import Reason

RPC = "type.googleapis.com/google.rpc"


def replies(origins: Sequence[str], *others: dict[str, Any]) -> list[dict[str, Any]]:
    """The mappers, of which the first that matches applies. `others`: those of other modules."""
    # A request that is refused before its method is known may be HEAD, which has no body.
    method = {"header": {"name": ":method", "present_match": True, "invert_match": True}}
    nothing = {"text_format_source": {"inline_string": "%REQ(:METHOD)%"}, "omit_empty_values": True}
    found: list[dict[str, Any]] = [
        {"filter": {"header_filter": method}, "body_format_override": nothing}
    ]
    if origins:
        found.append(granted_preflight(origins))
    for known in (*others, *REPLIES):
        if not origins:
            found.append(known)
            continue
        both = {"and_filter": {"filters": [known["filter"], origin_filter(origins)]}}
        found.append({**with_headers(known, VARY, *PERMISSION), "filter": both})
        found.append(with_headers(known, VARY))
    return found


def granted_preflight(origins: Sequence[str]) -> dict[str, Any]:
    """Grants a preflight that Envoy refuses before the CORS filter sees it: because of its path, or
    because Envoy is overloaded. The refusal of the request itself has the cause, and a browser
    sends the request only after a granted preflight."""
    wanted = ({"name": ":method", "string_match": {"exact": "OPTIONS"}}, IS_PREFLIGHT)
    headers = [{"header_filter": {"header": each}} for each in wanted]
    return {
        **with_headers({"headers_to_add": []}, VARY, *PERMISSION[:1], *PREFLIGHT),
        "filter": {"and_filter": {"filters": [*headers, origin_filter(origins)]}},
        "status_code": 200,
        "body_format_override": {"text_format_source": {"inline_string": ""}},
    }


def reply(
    statuses: Mapping[str, Any],
    code: int,
    message: str,
    reason: Reason,
    *details: Mapping[str, Any],
    **headers: str,
) -> dict[str, Any]:
    """`headers`: with _ for -."""
    info = {"@type": f"{RPC}.ErrorInfo", "reason": reason, "domain": "mediaservice"}
    return {
        "filter": {"status_code_filter": {"comparison": statuses}},
        "body_format_override": {
            "json_format": {"code": code, "message": message, "details": [info, *details]}
        },
        "headers_to_add": [header(name.replace("_", "-"), headers[name]) for name in headers],
    }


def exactly(status: int) -> dict[str, Any]:
    return compared("EQ", status)


def from_(status: int) -> dict[str, Any]:
    return compared("GE", status)


def compared(how: str, status: int) -> dict[str, Any]:
    return {"op": how, "value": {"default_value": status, "runtime_key": "unused"}}


def header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}}


def with_headers(known: Mapping[str, Any], *headers: Mapping[str, Any]) -> dict[str, Any]:
    """Adds headers to a reply, instead of those that the route has added."""
    added = [{**added, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for added in headers]
    return {**known, "headers_to_add": [*known["headers_to_add"], *added]}


PERMISSION = (
    header("access-control-allow-origin", "%REQ(ORIGIN)%"),
    header("access-control-expose-headers", RESPONSE_HEADERS),
)
REPLIES = (
    reply(exactly(404), 5, "There is nothing at this path.", Reason.ROUTE_NOT_FOUND),
    reply(
        exactly(405),
        12,
        "This path does not support the method. The Allow header lists the supported ones.",
        Reason.METHOD_NOT_ALLOWED,
    ),
    reply(
        exactly(413),
        3,
        "The JSON body exceeds 1 MiB. Send less, such as fewer items of a batch.",
        Reason.INVALID_REQUEST,
    ),
    reply(
        exactly(415),
        3,
        "The body must be JSON. Send the header `content-type: application/json`; curl does with"
        " --json instead of -d.",
        Reason.INVALID_REQUEST,
    ),
    reply(
        from_(500),
        14,
        "The service is unavailable. Try again.",
        Reason.UPSTREAM_UNAVAILABLE,
        {"@type": f"{RPC}.RetryInfo", "retryDelay": "1s"},
        retry_after="1",
    ),
    # Refused by the transcoder or a Lua filter; transcoder_errors.lua replaces the words.
    reply(
        exactly(400),
        3,
        "The request is malformed. %REQ(:PATH)% %LOCAL_REPLY_BODY%",
        Reason.INVALID_REQUEST,
        x_http_refused="1",
    ),
    reply(from_(400), 3, "The request is malformed. %LOCAL_REPLY_BODY%", Reason.INVALID_REQUEST),
)
