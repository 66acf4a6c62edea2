"""Objects of one Cloud Storage bucket, by their names.

Requests that fail in passing are repeated. What is not there is a FileNotFoundError, and what was
not to be there a FileExistsError; every other error is translated.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import aiohttp
from gcloud.aio.storage import StreamResponse

from media_service.clock import now
from media_service.storage.crc32c import checksum
from media_service.storage.gcs_client import GcsClient
from media_service.storage.gcs_requests import NOT_FOUND, RequestError, persist, translate
from media_service.storage.gcs_signing import GOOGLE

T = TypeVar("T")

CONNECT_SECONDS = 10
# How long an answer may take.
READ_SECONDS = 30.0

PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE = 412, 416
MEANINGS: Mapping[int, type[OSError]] = {
    NOT_FOUND: FileNotFoundError,
    RANGE_NOT_SATISFIABLE: FileNotFoundError,
    PRECONDITION_FAILED: FileExistsError,
}
BYTES = "application/octet-stream"


async def ask(request: Callable[[], Awaitable[T]], *expected: int) -> T:
    """`expected`: statuses that are the caller's to understand."""
    try:
        return await persist(request)
    except RequestError as error:
        if error.status in expected:
            raise MEANINGS[error.status](str(error)) from error
        raise translate(error) from error


def silence(seconds: float | None, total: float | None) -> Any:
    """The library counts a plain number against the whole of a request, however long its bytes
    take. So a silent store is noticed, and a thin line is not."""
    return aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_SECONDS, sock_read=seconds)


def conditions(*, absent: bool) -> dict[str, str]:
    """`absent`: the request succeeds only if there is no such object yet."""
    return {"ifGenerationMatch": "0"} if absent else {}


class GcsBucket:
    """`endpoint`: of an emulator; None: Google's own. `read_seconds`: how long an answer may take,
    or the next bytes of a download."""

    def __init__(self, name: str, endpoint: str | None, read_seconds: float = READ_SECONDS) -> None:
        self.name = name
        self.endpoint = endpoint
        self._client = GcsClient(endpoint)
        self._request: Any = read_seconds
        # Time for a part over a thin line. A store that has it all is to answer sooner.
        self._upload = silence(read_seconds, 6 * read_seconds)
        # What the store does by itself is answered once it is done.
        self._work = silence(None, 6 * read_seconds)
        self._streaming = silence(read_seconds, None)

    async def upload(
        self, name: str, data: bytes, content_type: str = "", *, absent: bool = False
    ) -> None:
        storage, crc32c = self._client.storage(), checksum(data)
        await ask(
            lambda: storage.upload(
                self.name,
                name,
                data,
                content_type=content_type or BYTES,
                parameters=conditions(absent=absent),
                metadata={"crc32c": crc32c},  # the store refuses bytes that differ
                force_resumable_upload=False,  # one request, whatever the size
                timeout=self._upload,
            ),
            PRECONDITION_FAILED,
        )

    async def compose(
        self, names: Sequence[str], whole: str, content_type: str = "", *, absent: bool = False
    ) -> None:
        """Joins up to 32 objects into another."""
        storage = self._client.storage()
        await ask(
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

    async def copy(self, source: "GcsBucket", named: str, name: str, content_type: str) -> None:
        """Copies the object `named` of a bucket at the same endpoint."""
        storage = self._client.storage()
        await ask(
            lambda: storage.copy(  # asks again until the store is through
                source.name,
                named,
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
        return await ask(
            lambda: storage.download_stream(
                self.name, name, headers=dict(headers), timeout=self._streaming
            ),
            NOT_FOUND,
            RANGE_NOT_SATISFIABLE,
        )

    async def metadata(self, name: str) -> dict[str, Any] | None:
        storage = self._client.storage()
        try:
            return await ask(
                lambda: storage.download_metadata(self.name, name, timeout=self._request),
                NOT_FOUND,
            )
        except FileNotFoundError:
            return None

    async def delete(self, name: str) -> None:
        """No error if it is not there."""
        storage = self._client.storage()
        try:
            await ask(lambda: storage.delete(self.name, name, timeout=self._request), NOT_FOUND)
        except FileNotFoundError:
            return

    async def list(self, prefix: str) -> AsyncIterator[dict[str, Any]]:
        """Name, size, time and CRC32C of every object whose name begins with `prefix`, in the
        order of their names."""
        storage = self._client.storage()
        wanted = {"prefix": prefix, "fields": "items(name,size,updated,crc32c),nextPageToken"}
        token: str | None = ""
        while token is not None:
            params = {**wanted, "pageToken": token}
            page = await ask(
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
        lifetime: timedelta,
    ) -> str | None:
        """None unless the credentials are a service account's key."""
        signer = await self._client.signer()
        if signer is None:
            return None
        endpoint, path = self.endpoint or GOOGLE, f"/{self.name}/{name}"
        return await asyncio.to_thread(
            signer.url, method, endpoint, path, query, headers, now(), lifetime
        )

    async def close(self) -> None:
        await self._client.close()
