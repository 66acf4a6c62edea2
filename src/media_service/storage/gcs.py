"""Blobs as objects of a Google Cloud Storage bucket.

    <prefix><key>                          finished blobs
    <prefix>parts/<key>/<epoch>-<number>   parts of open ones
    <prefix>parts/<key>/joined-<digest>    several of them joined, on the way to the blob

A part is held in memory until it is whole and then uploaded as an object of its own. Completing
composes them, which the store does by itself without the bytes moving. At most 32 objects are
composed at once, so more are joined in levels. Whatever bears a name always has the same bytes:
any number of processes may complete a blob at the same time, or go on where one died.

https://cloud.google.com/storage/docs/composite-objects
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import aiohttp
from gcloud.aio.storage import Storage, StreamResponse

from media_service.errors import MediaError, Reason, Unavailable
from media_service.failpoints import failpoint
from media_service.storage.crc32c import checksum
from media_service.storage.driver import (
    Limits,
    ObjectInfo,
    OpenBlob,
    PartName,
    StoredPart,
    missing,
)
from media_service.storage.gcs_requests import (
    NOT_FOUND,
    PRECONDITION_FAILED,
    RANGE_NOT_SATISFIABLE,
    RETRY_SECONDS,
    RequestError,
    attempt,
    for_each,
    pause,
    persist,
    translate,
    translated,
)
from media_service.storage.held_part import HeldPart
from media_service.types import Octets

# A part waits in memory until it is whole; 50 GiB are 6400 parts.
PART = 8 << 20
# As many as one request composes.
COMPOSED = 32
# A slow download holds its connection for long: there are to be enough for others.
CONNECTIONS = 512
# Bytes of a download that wait in memory for a slow reader: up to twice this.
READ_AHEAD = 256 << 10
REQUEST_SECONDS = 30
# Also for a part over a thin line.
UPLOAD_SECONDS = 180
# The library counts a plain number against the whole of a download, however long that is. So a
# silent store is noticed here, and a long download is not.
STREAMING: Any = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)

BYTES = "application/octet-stream"
# A request with this succeeds only if there is no such object yet.
IF_ABSENT = {"ifGenerationMatch": "0"}
ALWAYS: dict[str, str] = {}


def info_of(key: str, found: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(key, int(found["size"]), datetime.fromisoformat(found["updated"]))


class GcsPartWriter(HeldPart):
    """Collects a part, and uploads it when it is sealed."""

    def __init__(self, driver: "GcsDriver", name: str) -> None:
        super().__init__()
        self._driver = driver
        self._name = name
        self._may_be_stored = False

    async def seal(self) -> None:
        data = self.take()
        self._may_be_stored = True
        try:
            await self._driver.store_part(self._name, data)
        except FileExistsError:
            self._may_be_stored = False  # what is stored is not ours to remove
            raise RuntimeError("a part's name was used before") from None

    async def discard(self) -> None:
        self.drop()
        if self._may_be_stored:
            await self._driver.discard_part(self._name)


class GcsDriver:
    """`prefix` ends with a slash or is empty. `endpoint` is an emulator that asks for no
    credentials; None: Google's own, with the credentials that the SDK finds."""

    limits = Limits(min_part_size=0, stream_part_size=PART)

    def __init__(self, bucket: str, prefix: str, endpoint: str | None) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._endpoint = endpoint
        self._storage: Storage | None = None
        self._session: aiohttp.ClientSession | None = None

    def _client(self) -> Storage:
        """Made when it is first needed, since it belongs to the event loop it is made in."""
        if self._storage is None:
            if self._session is None:
                connector = aiohttp.TCPConnector(limit=CONNECTIONS)
                self._session = aiohttp.ClientSession(connector=connector, read_bufsize=READ_AHEAD)
            try:
                self._storage = Storage(session=self._session, api_root=self._endpoint)
            except (OSError, ValueError, KeyError) as error:
                raise Unavailable(
                    Reason.STORAGE_UNAVAILABLE,
                    "The object store's credentials cannot be read: "
                    "see GOOGLE_APPLICATION_CREDENTIALS.",
                ) from error
        return self._storage

    def _name(self, key: str) -> str:
        return self._prefix + key

    def _folder(self, key: str) -> str:
        return f"{self._prefix}parts/{key}/"

    def _part(self, key: str, name: PartName) -> str:
        return f"{self._folder(key)}{name.epoch}-{name.number}"

    async def check(self) -> None:
        """Raises Unavailable, saying why, unless the bucket can be written to."""
        key = f".check-{token_hex(8)}"
        try:
            await self.put(key, b"")
            await self.delete(key)
        except MediaError as error:
            raise Unavailable(
                error.reason,
                f"Bucket {self._bucket} cannot be written to. {error.message} ({error.__cause__})",
            ) from error

    async def put(self, key: str, data: Octets, content_type: str = "") -> None:
        with translated():
            await self._upload(self._name(key), bytes(data), content_type, ALWAYS)

    async def _upload(
        self, name: str, data: bytes, content_type: str, conditions: Mapping[str, str]
    ) -> None:
        storage, crc32c = self._client(), checksum(data)
        await persist(
            lambda: storage.upload(
                self._bucket,
                name,
                data,
                content_type=content_type or BYTES,
                parameters=dict(conditions),  # the library adds to it
                metadata={"crc32c": crc32c},  # the store refuses bytes that differ
                force_resumable_upload=False,  # one request, whatever the size
                timeout=UPLOAD_SECONDS,
            )
        )

    async def begin(self, key: str, content_type: str = "") -> str:
        """The session is the content type: it is told when the blob is completed."""
        return content_type

    async def open_part(self, key: str, session: str, name: PartName) -> GcsPartWriter:
        return GcsPartWriter(self, self._part(key, name))

    async def store_part(self, name: str, data: bytes) -> None:
        """Stores a whole part; FileExistsError if other bytes bear its name."""
        failpoint("gcs.part.before")
        with translated():
            try:
                await self._upload(name, data, BYTES, IF_ABSENT)
            except RequestError as error:
                if error.status != PRECONDITION_FAILED:
                    raise
            else:
                failpoint("gcs.part.after")
                return
        # It is there: stored by an attempt of ours whose answer was lost, or not ours.
        found = await self._metadata(name)
        if found is None or found["crc32c"] != checksum(data) or int(found["size"]) != len(data):
            raise FileExistsError(name)

    async def discard_part(self, name: str) -> None:
        """Removes a part, as far as that is possible."""
        try:
            await self._delete(name)
        except MediaError:
            return  # it goes with the others, when the blob is completed or aborted

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        failure: MediaError = missing(key)
        stored = {info.key: info.size async for info in self._list(self._folder(key))}
        if all(stored.get(self._part(key, part.name)) == part.size for part in parts):
            try:
                await self._join(key, session, parts, stored)
            except MediaError as error:
                failure = error
        # Another may have been faster, and may have removed the parts by now.
        blob = await self.stat(key)
        if blob is None or blob.size != sum(part.size for part in parts):
            raise failure
        await self.abort(key, session)

    async def _join(
        self,
        key: str,
        content_type: str,
        parts: Sequence[StoredPart],
        stored: dict[str, int],
    ) -> None:
        async def joined(names: list[str]) -> str:
            # Named after what is in it, so it can be used again if it was made before.
            digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
            whole = f"{self._folder(key)}joined-{digest}"
            if whole not in stored:
                await self._compose(key, names, whole, BYTES, ALWAYS)
            return whole

        names = [self._part(key, part.name) for part in parts]
        while len(names) > COMPOSED:
            groups = [names[n : n + COMPOSED] for n in range(0, len(names), COMPOSED)]
            names = await for_each(joined, groups)
        failpoint("gcs.join.before")
        await self._compose(key, names, self._name(key), content_type or BYTES, IF_ABSENT)
        failpoint("gcs.join.after")

    async def _compose(
        self,
        key: str,
        names: Sequence[str],
        whole: str,
        content_type: str,
        conditions: Mapping[str, str],
    ) -> None:
        storage = self._client()
        with translated():
            try:
                await persist(
                    lambda: storage.compose(
                        self._bucket,
                        whole,
                        list(names),
                        content_type=content_type,
                        params=dict(conditions),
                        timeout=UPLOAD_SECONDS,
                    )
                )
            except RequestError as error:
                if error.status == NOT_FOUND:
                    raise missing(key) from error
                if error.status != PRECONDITION_FAILED:  # else it is there already
                    raise

    async def abort(self, key: str, session: str) -> None:
        names = [info.key async for info in self._list(self._folder(key))]
        await for_each(self._delete, names)

    async def read(
        self, key: str, offset: int, length: int, chunk: int
    ) -> AsyncGenerator[bytes, None]:
        end, waits = offset + length, iter(RETRY_SECONDS)
        while offset < end:
            start = offset
            try:
                async with await self._download(key, offset, end) as response:
                    while offset < end:
                        size = min(chunk, end - offset)
                        piece: bytes = await attempt(response.content.readexactly(size))
                        offset += size
                        yield piece
            except asyncio.IncompleteReadError as error:
                raise missing(key) from error
            except RequestError as error:
                # The connection was cut: go on from here, unless that gets nowhere.
                if offset > start:
                    waits = iter(RETRY_SECONDS)
                if (seconds := next(waits, None)) is None:
                    raise translate(error) from error
                await pause(seconds)

    async def _download(self, key: str, offset: int, end: int) -> StreamResponse:
        storage = self._client()
        headers = {"Range": f"bytes={offset}-{end - 1}", "Accept-Encoding": "identity"}
        with translated():
            try:
                return await persist(
                    lambda: storage.download_stream(
                        self._bucket, self._name(key), headers=dict(headers), timeout=STREAMING
                    )
                )
            except RequestError as error:
                if error.status in {NOT_FOUND, RANGE_NOT_SATISFIABLE}:
                    raise missing(key) from error
                raise

    async def _metadata(self, name: str) -> dict[str, Any] | None:
        storage = self._client()
        with translated():
            try:
                return await persist(
                    lambda: storage.download_metadata(self._bucket, name, timeout=REQUEST_SECONDS)
                )
            except RequestError as error:
                if error.status == NOT_FOUND:
                    return None
                raise

    async def stat(self, key: str) -> ObjectInfo | None:
        found = await self._metadata(self._name(key))
        return None if found is None else info_of(key, found)

    async def delete(self, key: str) -> None:
        await self._delete(self._name(key))

    async def _delete(self, name: str) -> None:
        storage = self._client()
        with translated():
            try:
                await persist(lambda: storage.delete(self._bucket, name, timeout=REQUEST_SECONDS))
            except RequestError as error:
                if error.status != NOT_FOUND:
                    raise

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        async for info in self._list(self._prefix + prefix):
            if not info.key.startswith(f"{self._prefix}parts/"):
                yield replace(info, key=info.key.removeprefix(self._prefix))

    async def list_open(self) -> AsyncIterator[OpenBlob]:
        found: OpenBlob | None = None
        async for info in self._list(f"{self._prefix}parts/"):  # parts of one blob come together
            key = info.key.removeprefix(f"{self._prefix}parts/").rpartition("/")[0]
            if found and found.key == key:
                found = replace(found, modified=max(found.modified, info.modified))
                continue
            if found:
                yield found
            found = OpenBlob(key, "", info.modified)
        if found:
            yield found

    async def _list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object whose name begins with `prefix`. The keys are names as they are stored."""
        storage = self._client()
        wanted = {"prefix": prefix, "fields": "items(name,size,updated),nextPageToken"}
        token: str | None = ""
        while token is not None:
            params = {**wanted, "pageToken": token}
            with translated():
                page = await persist(
                    partial(
                        storage.list_objects, self._bucket, params=params, timeout=REQUEST_SECONDS
                    )
                )
            for found in page.get("items", []):
                yield info_of(found["name"], found)
            token = page.get("nextPageToken") or None

    def local_path(self, key: str) -> Path | None:
        return None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
