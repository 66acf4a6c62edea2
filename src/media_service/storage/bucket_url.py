"""URLs of buckets: `s3://bucket/prefix?region=eu-central-1`."""

import re
from collections.abc import Collection
from urllib.parse import parse_qsl, unquote, urlsplit

# The rules of AWS. Google allows longer names if they contain dots.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
ENDPOINT = re.compile(r"https?://[^/?#]+")


def parse_bucket_url(url: str, allowed: Collection[str]) -> tuple[str, str, dict[str, str]]:
    """Parses the URL of a bucket. Returns the bucket, the prefix, and the options. The prefix is
    empty or ends with a slash.
    Raises ValueError; its message completes the sentence "the setting must be ...".
    """
    parts = urlsplit(url)
    if not BUCKET.fullmatch(parts.netloc):
        raise ValueError(f"{parts.scheme}://BUCKET/PREFIX with a valid bucket name")
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in allowed or name in options:
            raise ValueError(
                f"a {parts.scheme}:// URL with these options, each at most once:"
                f" {', '.join(allowed)}"
            )
        options[name] = value.rstrip("/") if name == "endpoint" else value
    if "endpoint" in options and not ENDPOINT.fullmatch(options["endpoint"]):
        raise ValueError(
            f"a {parts.scheme}:// URL whose endpoint is http://HOST:PORT or https://HOST:PORT"
        )
    prefix = unquote(parts.path).strip("/")
    return parts.netloc, f"{prefix}/" if prefix else "", options


def prefixes_overlap(one: str, other: str) -> bool:
    """Whether some key begins with both prefixes."""
    return one.startswith(other) or other.startswith(one)
