"""Ids of projects and groups."""

import re
import secrets
import unicodedata

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # without characters that look alike
MAX_SLUG = 40


def new_readable_id(display_name: str, default: str) -> str:
    """A short form of the name and 8 random characters, such as "vacation-k3x9q2ma". The service
    makes the id, so creating something does not reveal which ids exist."""
    plain = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_SLUG].strip("-") or default
    return f"{slug}-{''.join(secrets.choice(ALPHABET) for _ in range(8))}"
