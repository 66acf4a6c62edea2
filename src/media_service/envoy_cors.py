"""CORS: the origins whose pages may call REST, and the headers for them."""

import re
from collections.abc import Sequence
from typing import Any

TYPE = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy"
# The asterisk is for headers of libraries and tracing, which are dropped. Browsers do not apply it
# to `authorization`, and old ones not at all.
REQUEST_HEADERS = (
    "authorization,content-type,content-digest,repr-digest,idempotency-key,range,if-match,"
    "if-none-match,if-range,if-modified-since,if-unmodified-since,upload-offset,upload-complete,"
    "last-event-id,cache-control,traceparent,tracestate,baggage,x-request-id,x-requested-with,"
    "x-grpc-web,x-user-agent,grpc-timeout,*"
)
RESPONSE_HEADERS = (
    "accept-ranges,allow,content-disposition,content-length,content-range,content-security-policy,"
    "date,etag,last-modified,location,ratelimit,ratelimit-policy,repr-digest,retry-after,"
    "upload-complete,upload-offset,vary,www-authenticate,x-accel-buffering,x-content-type-options,"
    "x-request-id,x-upload-id,"
    "grpc-status,grpc-message,grpc-status-details-bin,*"
)
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
MAX_AGE_SECONDS = "86400"
VARY = {"header": {"key": "vary", "value": "Origin"}}
# The header that makes an OPTIONS request a preflight.
IS_PREFLIGHT = {"name": "access-control-request-method", "present_match": True}
# The headers of a response to a preflight, beside the origin.
PREFLIGHT = tuple(
    {"header": {"key": f"access-control-{name}", "value": value}}
    for name, value in (
        ("allow-methods", METHODS),
        ("allow-headers", REQUEST_HEADERS),
        ("max-age", MAX_AGE_SECONDS),
    )
)


def cors(origins: Sequence[str]) -> dict[str, Any]:
    if not origins:
        return {}
    return cors_policy(
        {
            "allow_origin_string_match": [origin_match(origin) for origin in origins],
            "allow_methods": METHODS,
            "allow_headers": REQUEST_HEADERS,
            "expose_headers": RESPONSE_HEADERS,
            "max_age": MAX_AGE_SECONDS,
        }
    )


def cors_policy(policy: dict[str, Any]) -> dict[str, Any]:
    return {"envoy.filters.http.cors": {"@type": TYPE, **policy}}


def origin_match(origin: str) -> dict[str, Any]:
    """Matches one origin; `*` any, and with `:*` at its end, that of any port."""
    if origin == "*":
        return {"safe_regex": {"regex": ".*"}}
    if origin.endswith(":*"):
        return {"safe_regex": {"regex": re.escape(origin.removesuffix(":*")) + "(:[0-9]+)?"}}
    return {"exact": origin}


def origin_filter(origins: Sequence[str]) -> dict[str, Any]:
    """Matches requests of one of the origins, as a filter of local replies."""
    found = [
        {"header_filter": {"header": {"name": "origin", "string_match": origin_match(origin)}}}
        for origin in origins
    ]
    return found[0] if len(found) == 1 else {"or_filter": {"filters": found}}
