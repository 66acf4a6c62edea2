"""A bucket, a prefix and options in one URL: `s3://bucket/prefix?region=eu-central-1`."""

import re
from collections.abc import Collection
from urllib.parse import parse_qsl, unquote, urlsplit

# As AWS has it, and Google but for names with dots.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
ENDPOINT = re.compile(r"https?://[^/?#]+")


def bucket_url(url: str, allowed: Collection[str]) -> tuple[str, str, dict[str, str]]:
    """The bucket, the prefix, which ends with a slash or is empty, and the options.

    Raises ValueError, which says what is allowed.
    """
    parts = urlsplit(url)
    if not BUCKET.fullmatch(parts.netloc):
        raise ValueError(f"{parts.scheme}://BUCKET/PREFIX with the name of a bucket")
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in allowed or name in options:
            raise ValueError(
                f"a {parts.scheme}:// URL with these options, each once: {', '.join(allowed)}"
            )
        options[name] = value.rstrip("/") if name == "endpoint" else value
    if "endpoint" in options and not ENDPOINT.fullmatch(options["endpoint"]):
        raise ValueError(
            f"a {parts.scheme}:// URL whose endpoint is http://HOST:PORT or https://HOST:PORT"
        )
    prefix = unquote(parts.path).strip("/")
    return parts.netloc, f"{prefix}/" if prefix else "", options
