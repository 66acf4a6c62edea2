"""The keys under which caches keep answers about a media."""

from collections.abc import Sequence

# As Fastly, Cloudflare and Bunny call it. Varnish reads the first one, see docs/cdn.md.
HEADERS = ("surrogate-key", "cache-tag", "cdn-tag")


def key_of(media_id: str) -> str:
    return f"media-{media_id}"


def tags(media_id: str) -> Sequence[tuple[str, str]]:
    """The headers of an answer that shows a media."""
    return tuple((name, key_of(media_id)) for name in HEADERS)
