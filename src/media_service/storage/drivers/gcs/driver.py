"""Blobs as objects of a Google Cloud Storage bucket.

    <prefix><key>                          completed blobs
    <prefix>parts/<key>/<epoch>-<number>   parts of open blobs
    <prefix>parts/<key>/joined-<digest>    several joined parts, an intermediate step to the blob

A part is buffered in memory until it is complete, and then uploaded as a separate object.
Completing a blob composes the parts, which moves no bytes. One request composes at most 32 objects,
so more parts are joined in levels. A name always has the same bytes, so any number of processes may
complete a blob at the same time, or continue where another one died.

https://cloud.google.com/storage/docs/composite-objects
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

from gcloud.aio.storage import StreamResponse

from media_service.errors import MediaError, Reason, Unavailable
from media_service.failpoints import failpoint
from media_service.storage.bucket_url import prefixes_overlap
from media_service.storage.buffer import Buffer
from media_service.storage.buffered_part import BufferedPart
from media_service.storage.concurrency import for_each
from media_service.storage.crc32c_combine import base64_of, from_base64, to_base64
from media_service.storage.driver import (
    Driver,
    ExpectedRange,
    ObjectInfo,
    OpenBlob,
    PartLimits,
    PartName,
    SignedRequest,
    StoredPart,
    blob_missing,
    require_blob,
)
from media_service.storage.drivers.gcs.bucket import READ_SECONDS, GcsBucket
from media_service.storage.drivers.gcs.requests import (
    RETRY_SECONDS,
    RequestError,
    attempt,
    pause,
    translate,
)
from media_service.storage.epoch_named_parts import EpochNamedParts
from media_service.storage.piece_size import PieceSize, bytes_of

# A part is buffered in memory. 50 GiB are 6400 parts.
PART = 8 << 20
MAX_PART = 32 << 20
# Google accepts 5 TiB in one request. This is the limit of S3, which is sufficient.
MAX_SIGNED = 5 << 30
# The maximum number of objects that one request composes.
COMPOSED = 32
# Concurrent requests of one call.
PARALLEL = 32


def info_of(key: str, found: Mapping[str, Any]) -> ObjectInfo:
    """Converts the metadata of an object."""
    return ObjectInfo(key, int(found["size"]), datetime.fromisoformat(found["updated"]))


class GcsPartWriter(BufferedPart):
    """Buffers a part, and uploads it when it is sealed."""

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
            self._may_be_stored = False  # the stored part belongs to another writer
            raise RuntimeError("the name of a part was used before") from None

    async def discard(self) -> None:
        self.drop()
        if self._may_be_stored:
            await self._driver.discard_part(self._name)


class GcsDriver(EpochNamedParts):
    """Stores blobs in a bucket below `prefix`, which is empty or ends with a slash.

    `endpoint` is the URL of an emulator, which needs no credentials. None selects Google, with the
    credentials that the SDK finds.
    """

    limits = PartLimits(
        target_part_size=PART, max_part_size=MAX_PART, max_signed_part_size=MAX_SIGNED
    )

    def __init__(
        self,
        bucket: str,
        prefix: str,
        endpoint: str | None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self.bucket = GcsBucket(bucket, endpoint, read_seconds)
        self.prefix = prefix

    def name(self, key: str) -> str:
        """The name of the object that is the blob."""
        return self.prefix + key

    def _folder(self, key: str) -> str:
        return f"{self.prefix}parts/{key}/"

    def _part(self, key: str, name: PartName) -> str:
        return f"{self._folder(key)}{name.file}"

    def overlaps(self, other: Driver) -> bool:
        if not isinstance(other, GcsDriver):
            return False
        one, two = self.bucket, other.bucket
        same_bucket = (one.name, one.endpoint) == (two.name, two.endpoint)
        return same_bucket and prefixes_overlap(self.prefix, other.prefix)

    async def check(self) -> None:
        key = f".check-{token_hex(8)}"
        try:
            await self.put(key, b"")
            await self.delete(key)
        except MediaError as error:
            why = f"{error.message} ({error.__cause__})"
            raise Unavailable(
                Reason.STORAGE_UNAVAILABLE, f"Bucket {self.bucket.name} is not writable. {why}"
            ) from error

    async def guard(self, key: str) -> None:
        """Does nothing: requests to a missing bucket fail."""

    async def put(self, key: str, data: Buffer, content_type: str = "") -> None:
        await self.bucket.upload(self.name(key), bytes(data), content_type)

    async def copy(
        self, source: Driver, source_key: str, key: str, size: int, content_type: str
    ) -> bool:
        if not isinstance(source, GcsDriver) or source.bucket.endpoint != self.bucket.endpoint:
            return False
        await require_blob(source, source_key, size)
        source_name, name = source.name(source_key), self.name(key)
        try:
            await self.bucket.copy(source.bucket, source_name, name, content_type)
        except FileNotFoundError as error:
            raise blob_missing(source_key) from error
        return True

    async def begin(self, key: str, content_type: str = "") -> str:
        """The session is the content type, which the blob gets when it is completed."""
        return content_type

    async def open_part(
        self, key: str, session: str, name: PartName, expected: ExpectedRange | None = None
    ) -> GcsPartWriter:
        return GcsPartWriter(self, self._part(key, name))

    async def store_part(self, name: str, data: bytes) -> None:
        """Stores a whole part. Raises FileExistsError if its name has other bytes."""
        failpoint("gcs.part.before")
        try:
            await self.bucket.upload(name, data, absent=True)
        except FileExistsError:
            # An earlier attempt whose response was lost may have stored it.
            found = await self.bucket.metadata(name) or {}
            if (found.get("crc32c"), found.get("size")) != (base64_of(data), str(len(data))):
                raise
        failpoint("gcs.part.after")

    async def discard_part(self, name: str) -> None:
        """Removes a part, as far as possible."""
        try:
            await self.bucket.delete(name)
        except MediaError:
            return  # completing or aborting the blob removes it

    async def remove_part(self, key: str, session: str, name: PartName) -> None:
        await self.bucket.delete(self._part(key, name))

    async def sign_part(
        self,
        key: str,
        session: str,
        name: PartName,
        size: int,
        crc32c: int,
        ttl: timedelta,
    ) -> SignedRequest | None:
        """Signs a request that stores a part. See `Driver.sign_part`.

        After the blob is completed or aborted, the request stores a part that is never joined. A
        response of 412 means that the part already exists, for example because an earlier response
        was lost.
        """
        headers = {
            "x-goog-content-length-range": f"{size},{size}",
            "x-goog-hash": f"crc32c={to_base64(crc32c)}",
            "x-goog-if-generation-match": "0",
        }
        url = await self.bucket.sign("PUT", self._part(key, name), {}, headers, ttl)
        return SignedRequest(url, headers) if url else None

    async def stored_parts(
        self, key: str, session: str, names: Sequence[PartName]
    ) -> dict[PartName, tuple[int, int]]:
        stored = {found["name"]: found async for found in self.bucket.list(self._folder(key))}
        parts = {name: stored.get(self._part(key, name)) for name in names}
        return {
            name: (int(found["size"]), from_base64(found["crc32c"]))
            for name, found in parts.items()
            if found
        }

    async def sign_read(
        self, key: str, ttl: timedelta, content_type: str, disposition: str
    ) -> str | None:
        headers = {
            "response-content-type": content_type,
            "response-content-disposition": disposition,
        }
        query = {name: value for name, value in headers.items() if value}
        return await self.bucket.sign("GET", self.name(key), query, {}, ttl)

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        failure: MediaError = blob_missing(key)
        stored = {
            found["name"]: int(found["size"]) async for found in self.bucket.list(self._folder(key))
        }
        if all(stored.get(self._part(key, part.name)) == part.size for part in parts):
            try:
                await self._join(key, session, parts, stored)
            except MediaError as error:
                failure = error
        # Another process may have completed the blob and removed the parts.
        blob = await self.stat(key)
        if blob is None or blob.size != sum(part.size for part in parts):
            raise failure
        await self.abort(key, session)

    async def _join(
        self,
        key: str,
        content_type: str,
        parts: Sequence[StoredPart],
        stored: Collection[str],
    ) -> None:
        async def joined(names: list[str]) -> str:
            # The name depends on the parts, so an object of an earlier attempt can be reused.
            digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
            whole = f"{self._folder(key)}joined-{digest}"
            if whole not in stored:
                await self._compose(key, names, whole)
            return whole

        names = [self._part(key, part.name) for part in parts]
        while len(names) > COMPOSED:
            groups = [names[n : n + COMPOSED] for n in range(0, len(names), COMPOSED)]
            names = await for_each(joined, groups, PARALLEL)
        failpoint("gcs.join.before")
        await self._compose(key, names, self.name(key), content_type, absent=True)
        failpoint("gcs.join.after")

    async def _compose(
        self,
        key: str,
        names: Sequence[str],
        whole: str,
        content_type: str = "",
        *,
        absent: bool = False,
    ) -> None:
        try:
            await self.bucket.compose(names, whole, content_type, absent=absent)
        except FileNotFoundError as error:
            raise blob_missing(key) from error
        except FileExistsError:
            return  # another process composed it first

    async def abort(self, key: str, session: str) -> None:
        names = [found["name"] async for found in self.bucket.list(self._folder(key))]
        await for_each(self.bucket.delete, names, PARALLEL)

    async def read(
        self, key: str, offset: int, length: int, piece_size: PieceSize
    ) -> AsyncGenerator[bytes, None]:
        end, waits = offset + length, iter(RETRY_SECONDS)
        while offset < end:
            start = offset
            try:
                async with await self._download(key, offset, end) as response:
                    while offset < end:
                        size = min(bytes_of(piece_size), end - offset)
                        pieces = [await attempt(response.content.readexactly(size))]
                        offset += size
                        yield pieces.pop()
            except asyncio.IncompleteReadError as error:
                raise blob_missing(key) from error
            except RequestError as error:
                # The connection broke. Resume here, unless there is no progress.
                if offset > start:
                    waits = iter(RETRY_SECONDS)
                if (seconds := next(waits, None)) is None:
                    raise translate(error) from error
                await pause(seconds)

    async def _download(self, key: str, offset: int, end: int) -> StreamResponse:
        try:
            return await self.bucket.download(self.name(key), offset, end)
        except FileNotFoundError as error:
            raise blob_missing(key) from error

    async def stat(self, key: str) -> ObjectInfo | None:
        found = await self.bucket.metadata(self.name(key))
        return None if found is None else info_of(key, found)

    async def delete(self, key: str) -> None:
        await self.bucket.delete(self.name(key))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        async for found in self.bucket.list(self.prefix + prefix):
            if not found["name"].startswith(f"{self.prefix}parts/"):
                yield info_of(found["name"].removeprefix(self.prefix), found)

    async def list_open(self) -> AsyncIterator[OpenBlob]:
        folder, last = f"{self.prefix}parts/", None
        async for found in self.bucket.list(folder):  # the parts of one blob are listed together
            info = info_of(found["name"].removeprefix(folder).rpartition("/")[0], found)
            if last and last.key == info.key:
                last = replace(last, modified=max(last.modified, info.modified))
                continue
            if last:
                yield last
            last = OpenBlob(info.key, "", info.modified)
        if last:
            yield last

    def local_path(self, key: str) -> Path | None:
        return None

    async def close(self) -> None:
        await self.bucket.close()
