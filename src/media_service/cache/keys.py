"""The keys of values."""


def renditions_key(media_id: str) -> str:
    return f"renditions:{media_id}"
