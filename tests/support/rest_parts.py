"""Uploads in parts over REST."""

from typing import Any

import httpx
from crc32c import crc32c as crc32c_of

from tests.support.tools import NO_TLS


def put(client: httpx.Client, upload: str, number: int, data: bytes, **headers: str) -> Any:
    return client.put(
        f"/v1/uploads/{upload}/parts/{number}",
        content=data,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def complete(client: httpx.Client, upload: str, **body: Any) -> httpx.Response:
    return client.post(f"/v1/uploads/{upload}:complete", json=body)


def named(number: int, data: bytes) -> dict[str, Any]:
    return {"partNumber": number, "sizeBytes": len(data), "crc32c": crc32c_of(data)}


def sign(client: httpx.Client, upload: str, *parts: tuple[int, bytes], **more: Any) -> Any:
    body = {"parts": [named(number, data) for number, data in parts], **more}
    answer = client.post(f"/v1/uploads/{upload}:sign", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["parts"]


def send(signed: dict[str, Any], data: bytes) -> httpx.Response:
    """Sends bytes to a signed URL with its headers, as a browser does."""
    with httpx.Client(timeout=30, trust_env=False, verify=NO_TLS) as client:
        return client.put(signed["url"], content=data, headers=signed.get("headers", {}))
