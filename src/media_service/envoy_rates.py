"""Envoy's own rate limit of each client address, in front of those of the server."""

import base64
import math
from typing import Any

from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from media_service.rates.model import Rate

TYPES = "type.googleapis.com/envoy.extensions"
NAME = "gateway"
# Of more addresses, Envoy remembers those that it saw last.
MAX_ADDRESSES = 50_000
ADDRESS = "masked_remote_address"


def rate_filter(rate: Rate | None) -> dict[str, Any]:
    """The filter that refuses the requests of an address beyond the rate."""
    always = {
        "runtime_key": "unused",
        "default_value": {"numerator": 100, "denominator": "HUNDRED"},
    }
    return {
        "name": "envoy.filters.http.local_ratelimit",
        "disabled": rate is None,
        "typed_config": {
            "@type": f"{TYPES}.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "rate",
            "filter_enabled": always,
            "filter_enforced": always,
            "rate_limited_as_resource_exhausted": True,
            "max_dynamic_descriptors": MAX_ADDRESSES,
            "always_consume_default_token_bucket": False,
            # Of requests without an address, of which there are none.
            "token_bucket": bucket(Rate(1, 1)),
            "rate_limits": [
                {"actions": [{ADDRESS: {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}]}
            ],
            "descriptors": [
                {"entries": [{"key": ADDRESS}], "token_bucket": bucket(rate or Rate(1, 1))}
            ],
        },
    }


def bucket(rate: Rate) -> dict[str, Any]:
    """A bucket that is filled every second, or less often if a second brings no whole request."""
    seconds = refill_seconds(rate)
    return {
        "max_tokens": rate.quota,
        "tokens_per_fill": max(1, rate.quota * seconds // rate.seconds),
        "fill_interval": f"{seconds}s",
    }


def refill_seconds(rate: Rate) -> int:
    return math.ceil(rate.seconds / rate.quota)


def refusal(rate: Rate | None) -> dict[str, Any]:
    """How Envoy answers a request beyond the rate: as the server does, over REST and over gRPC."""
    rate = rate or Rate(1, 1)
    seconds = refill_seconds(rate)
    message = f"The rate limit of this address is used up: {rate.quota} requests in"
    message += f" {rate.seconds} seconds. Try again in {seconds} seconds."
    info = error_details_pb2.ErrorInfo(
        reason="RATE_LIMITED",
        domain="mediaservice",
        metadata={
            "limit": NAME,
            "quota": str(rate.quota),
            "window_seconds": str(rate.seconds),
            "remaining": "0",
        },
    )
    retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds))
    status = status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, message=message)
    for detail in (info, retry):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    headers = {
        "retry-after": str(seconds),
        "ratelimit-policy": f'"{NAME}";q={rate.quota};w={rate.seconds}',
        "ratelimit": f'"{NAME}";r=0;t={seconds}',
        # Over REST, http_translation.lua removes it.
        "grpc-status-details-bin": base64.b64encode(status.SerializeToString()).decode(),
    }
    kind = "type.googleapis.com/google.rpc"
    return {
        "filter": {
            "status_code_filter": {
                "comparison": {"op": "EQ", "value": {"default_value": 429, "runtime_key": "unused"}}
            }
        },
        "body_format_override": {
            "json_format": {
                "code": status.code,
                "message": message,
                "details": [
                    {
                        "@type": f"{kind}.ErrorInfo",
                        "reason": info.reason,
                        "domain": info.domain,
                        "metadata": dict(info.metadata),
                    },
                    {"@type": f"{kind}.RetryInfo", "retryDelay": f"{seconds}s"},
                ],
            }
        },
        "headers_to_add": [
            {"header": {"key": name, "value": value}} for name, value in headers.items()
        ],
    }
