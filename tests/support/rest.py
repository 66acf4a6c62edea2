"""Shared functions of REST tests."""

import asyncio
import base64
import hashlib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.support.renditions import give
from tests.support.service import Service
from tests.support.stores.local_files import blob_files
from tests.support.tools import NO_TLS, eventually

SETTLED = {"READY", "FAILED"}
CONFLICT = 409


def client_of(service: Service, user: str, **claims: object) -> httpx.Client:
    """A REST client of a user. The caller closes it."""
    return httpx.Client(
        base_url=service.base_url,
        headers=service.bearer(user, **claims),
        timeout=30,
        trust_env=False,
        verify=NO_TLS,
    )


# The response of ListMedia for a user without media.
NO_MEDIA = {"media": [], "nextPageToken": "", "totalCount": "0", "totalApproximate": False}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and reason of an error. Its body must be google.rpc.Status in JSON."""
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, reason_of(answer.json())


def reason_of(status: dict[str, Any]) -> str:
    assert status["message"]
    (info,) = [d for d in status["details"] if d["@type"].endswith("google.rpc.ErrorInfo")]
    assert info["domain"] == "mediaservice"
    return str(info["reason"])


def digest(data: bytes) -> str:
    """A digest in the format of Content-Digest and Repr-Digest (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def sha256(media: dict[str, Any]) -> bytes:
    return base64.b64decode(media["checksums"]["sha256"])


def store(client: httpx.Client, data: bytes, filename: str = "a.jpg") -> dict[str, Any]:
    """Stores a file in one request and returns its media."""
    answer = client.post("/v1/media:upload", params={"filename": filename}, content=data)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def settled(client: httpx.Client, media_id: str, **params: str) -> dict[str, Any]:
    """Waits until the media is inspected and returns it."""

    def look() -> dict[str, Any] | None:
        media = client.get(f"/v1/media/{media_id}", params=params).json()
        return media if media["state"] in SETTLED else None

    return eventually(look)


def create(client: httpx.Client, **spec: Any) -> str:
    """Creates an upload and returns its id."""
    answer = client.post("/v1/uploads", json=spec)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["uploadId"])


def media_of(client: httpx.Client, upload_id: str) -> str:
    """The media id of an upload."""
    return str(client.get(f"/v1/uploads/{upload_id}").json()["mediaId"])


def offset_of(client: httpx.Client, upload_id: str) -> int:
    return int(client.head(f"/v1/uploads/{upload_id}/content").headers["upload-offset"])


def patch(
    client: httpx.Client,
    upload_id: str,
    offset: int,
    data: bytes,
    *,
    complete: bool = False,
    **headers: str,
) -> httpx.Response:
    """Appends to an upload. Keywords are header names with _ for -."""
    return client.patch(
        f"/v1/uploads/{upload_id}/content",
        content=data,
        headers={
            "upload-offset": str(offset),
            "upload-complete": "?1" if complete else "?0",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )


def resume(client: httpx.Client, upload_id: str, data: bytes) -> httpx.Response:
    """Resumes an interrupted upload at its offset, and returns the last response."""
    offset = offset_of(client, upload_id)
    answer = patch(client, upload_id, offset, data[offset:], complete=True)
    while answer.status_code == CONFLICT and "upload-offset" in answer.headers:
        # Bytes from the broken connection were still arriving.
        offset = int(answer.headers["upload-offset"])
        answer = patch(client, upload_id, offset, data[offset:], complete=True)
    return answer


def content(client: httpx.Client, media_id: str) -> bytes:
    answer = client.get(f"/v1/media/{media_id}/content")
    assert answer.status_code == 200, answer.text
    return answer.content


def add_rendition(service: Service, media_id: str, name: str, data: bytes) -> None:
    """Adds a rendition to a media, like a job."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, give(service.settings(), media_id, name, data)).result()


def show(client: httpx.Client, media_id: str, visibility: str) -> dict[str, Any]:
    """Changes the visibility of a media."""
    answer = client.patch(f"/v1/media/{media_id}", json={"visibility": visibility})
    assert answer.status_code == 200, answer.text
    assert answer.json()["visibility"] == visibility
    return dict(answer.json())


def public_url(client: httpx.Client, media_id: str, name: str) -> str:
    """The public URL of a rendition, once it is in the public store."""

    def look() -> str:
        renditions = client.get(f"/v1/media/{media_id}").json()["renditions"]
        return next(str(r.get("publicUrl", "")) for r in renditions if r["name"] == name)

    return eventually(look)


def open_request(
    service: Service, user: str, method: str, path: str, **headers: str | int
) -> socket.socket:
    """Opens a connection and sends the head of a request without a body."""
    address = urlsplit(service.base_url)
    connection = socket.create_connection((address.hostname, address.port), 30)
    lines = {
        "Host": address.netloc,
        "Authorization": f"Bearer {service.token(user)}",
        **{name.replace("_", "-"): str(value) for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    connection.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
    return connection


def stored_files(service: Service) -> set[Path]:
    """All files of the blob store, complete blobs and parts of open ones. Excludes thumbnails,
    because those of other tests' media may appear at any time."""
    found = blob_files(service.data_dir / "raw")
    return {path for path in found if not is_thumbnail(path)}


def is_thumbnail(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(12)[8:] == b"WEBP"
    except FileNotFoundError:  # it was just removed
        return False


def files_with(service: Service, data: bytes) -> list[Path]:
    """The files of the blob store with these bytes."""
    found = []
    for path in stored_files(service):
        with suppress(FileNotFoundError):  # it may be removed concurrently
            if path.stat().st_size == len(data) and path.read_bytes() == data:
                found.append(path)
    return found


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)
