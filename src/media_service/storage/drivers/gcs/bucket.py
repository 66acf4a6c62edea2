"""The objects of one Cloud Storage bucket, by name.

Requests that fail temporarily are repeated. A missing object raises FileNotFoundError. An object
that exists but must not raises FileExistsError. All other errors are translated.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import aiohttp
from gcloud.aio.storage import StreamResponse

from media_service.clock import now
from media_service.storage.crc32c_combine import base64_of
from media_service.storage.drivers.gcs.client import GcsClient
from media_service.storage.drivers.gcs.requests import NOT_FOUND, RequestError, persist, translate
from media_service.storage.drivers.gcs.signing import GOOGLE

T = TypeVar("T")

CONNECT_SECONDS = 10
# The maximum time for a response, in seconds.
READ_SECONDS = 30.0

PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE = 412, 416
MEANINGS: Mapping[int, type[OSError]] = {
    NOT_FOUND: FileNotFoundError,
    RANGE_NOT_SATISFIABLE: FileNotFoundError,
    PRECONDITION_FAILED: FileExistsError,
}
BYTES = "application/octet-stream"


async def send(request: Callable[[], Awaitable[T]], *expected: int) -> T:
    """Sends a request, and repeats it if necessary. A response with one of the statuses in
    `expected` raises the OSError that MEANINGS lists, for the caller to handle."""
    try:
        return await persist(request)
    except RequestError as error:
        if error.status in expected:
            raise MEANINGS[error.status](str(error)) from error
        raise translate(error) from error


def timeouts(silence: float | None, total: float | None) -> Any:
    """Limits the time without data from the store (`silence`) separately from the total time, in
    seconds. The library applies a plain number to the whole request."""
    return aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_SECONDS, sock_read=silence)


def conditions(*, absent: bool) -> dict[str, str]:
    """The preconditions of a request. With `absent`, it succeeds only if the object does not
    exist."""
    return {"ifGenerationMatch": "0"} if absent else {}


class GcsBucket:
    """The objects of a bucket. `endpoint` is the URL of an emulator; None selects Google.
    `read_seconds` limits the wait for a response, and for the next bytes of a download."""

    def __init__(self, name: str, endpoint: str | None, read_seconds: float = READ_SECONDS) -> None:
        self.name = name
        self.endpoint = endpoint
        self._client = GcsClient(endpoint)
        self._request: Any = read_seconds
        # Enough for a part on a slow network. After the last byte, `read_seconds` applies.
        self._upload = timeouts(read_seconds, 6 * read_seconds)
        # The store responds once it has done the work.
        self._work = timeouts(None, 6 * read_seconds)
        self._streaming = timeouts(read_seconds, None)

    async def upload(
        self, name: str, data: bytes, content_type: str = "", *, absent: bool = False
    ) -> None:
        storage, crc32c = self._client.storage(), base64_of(data)
        await send(
            lambda: storage.upload(
                self.name,
                name,
                data,
                content_type=content_type or BYTES,
                parameters=conditions(absent=absent),
                metadata={"crc32c": crc32c},  # the store rejects bytes that do not match
                force_resumable_upload=False,  # one request, whatever the size
                timeout=self._upload,
            ),
            PRECONDITION_FAILED,
        )

    async def compose(
        self, names: Sequence[str], whole: str, content_type: str = "", *, absent: bool = False
    ) -> None:
        """Joins up to 32 objects into a new one."""
        storage = self._client.storage()
        await send(
            lambda: storage.compose(
                self.name,
                whole,
                list(names),
                content_type=content_type or BYTES,
                params=conditions(absent=absent),
                timeout=self._work,
            ),
            NOT_FOUND,
            PRECONDITION_FAILED,
        )

    async def copy(
        self, source: "GcsBucket", source_name: str, name: str, content_type: str
    ) -> None:
        """Copies an object of a bucket at the same endpoint."""
        storage = self._client.storage()
        await send(
            lambda: storage.copy(  # repeats the request until the store has finished
                source.name,
                source_name,
                self.name,
                new_name=name,
                metadata={"contentType": content_type or BYTES},
                timeout=self._work,
            ),
            NOT_FOUND,
        )

    async def download(self, name: str, offset: int, end: int) -> StreamResponse:
        storage = self._client.storage()
        headers = {"Range": f"bytes={offset}-{end - 1}", "Accept-Encoding": "identity"}
        return await send(
            lambda: storage.download_stream(
                self.name, name, headers=dict(headers), timeout=self._streaming
            ),
            NOT_FOUND,
            RANGE_NOT_SATISFIABLE,
        )

    async def metadata(self, name: str) -> dict[str, Any] | None:
        storage = self._client.storage()
        try:
            return await send(
                lambda: storage.download_metadata(self.name, name, timeout=self._request),
                NOT_FOUND,
            )
        except FileNotFoundError:
            return None

    async def delete(self, name: str) -> None:
        """Deletes an object, if it exists."""
        storage = self._client.storage()
        try:
            await send(lambda: storage.delete(self.name, name, timeout=self._request), NOT_FOUND)
        except FileNotFoundError:
            return

    async def list(self, prefix: str) -> AsyncIterator[dict[str, Any]]:
        """Lists name, size, time and CRC32C of the objects whose name begins with `prefix`, in the
        order of their names."""
        storage = self._client.storage()
        wanted = {"prefix": prefix, "fields": "items(name,size,updated,crc32c),nextPageToken"}
        token: str | None = ""
        while token is not None:
            params = {**wanted, "pageToken": token}
            page = await send(
                partial(storage.list_objects, self.name, params=params, timeout=self._request)
            )
            for found in page.get("items", []):
                yield found
            token = page.get("nextPageToken") or None

    async def sign(
        self,
        method: str,
        name: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        ttl: timedelta,
    ) -> str | None:
        """Signs a URL. Returns None unless the credentials are the key of a service account."""
        signer = await self._client.signer()
        if signer is None:
            return None
        endpoint, path = self.endpoint or GOOGLE, f"/{self.name}/{name}"
        return await asyncio.to_thread(
            signer.url, method, endpoint, path, query, headers, now(), ttl
        )

    async def close(self) -> None:
        await self._client.close()
