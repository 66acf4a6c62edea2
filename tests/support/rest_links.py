"""Signed URLs over REST."""

from typing import Any
from urllib.parse import urlsplit

import httpx


def sign(client: httpx.Client, media_id: str, **how: Any) -> str:
    """Creates a link and returns its path."""
    answer = client.post(f"/v1/media/{media_id}:signUrl", json=how)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"url", "expireTime"}
    return path_of(answer.json()["url"])


def path_of(url: str) -> str:
    return urlsplit(url).path
