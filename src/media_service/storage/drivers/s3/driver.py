"""Blobs as objects of an S3 bucket.

A part of a blob is a part of an open multipart upload. S3 cannot append to a part, so it is
buffered until it is complete. S3 identifies a part by its number alone, without the epoch. A writer
that might reuse the number of another writer therefore begins a separate multipart upload
(`multipart_uploads.py`).

Every request carries the CRC32C of its bytes, so that the store rejects bytes that were damaged in
transit. A store that does not report the checksum algorithm when a blob is opened does not verify
checksums. The driver then signs no requests to it.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import aiohttp
from botocore.exceptions import ClientError

from media_service.clock import now
from media_service.errors import DataLoss, MediaError, Unavailable
from media_service.failpoints import failpoint
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
    piece_key,
    require_blob,
    validity_seconds,
)
from media_service.storage.drivers.s3 import copy as s3_copy
from media_service.storage.drivers.s3.client import (
    ATTEMPTS,
    code_of,
    open_client,
    permanent_part_errors,
    translated,
    unavailable,
)
from media_service.storage.drivers.s3.complete_multipart import MIB, MIN_PART, join, list_parts
from media_service.storage.drivers.s3.location import S3Location
from media_service.storage.drivers.s3.multipart_uploads import (
    MultipartUpload,
    format_session,
    parse_session,
    parts_by_upload,
    upload_of_part,
)
from media_service.storage.drivers.s3.send_limiter import SendLimiter
from media_service.storage.piece_size import PieceSize, bytes_of

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CreateMultipartUploadOutputTypeDef

# S3 accepts 10,000 parts. At 8 MiB each, they hold 78 GiB.
PART = 8 * MIB
# A part is buffered in memory.
MAX_PART = 32 * MIB
# The largest request: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MAX_SIGNED = 5 << 30
ALGORITHM = "CRC32C"
# The number of multipart uploads of one blob that are completed or aborted at the same time.
PARALLEL = 8
# Waits before resuming a download that was cut off, or repeating a refused check.
RETRY_SECONDS = (0.1, 0.4, 1.6)
# The maximum time for a response, in seconds.
READ_SECONDS = 60.0
CUT = (aiohttp.ClientError, asyncio.IncompleteReadError, TimeoutError, OSError)


class S3PartWriter(BufferedPart):
    """Buffers a part, and sends it when it is sealed."""

    def __init__(self, driver: "S3Driver", upload: MultipartUpload, number: int) -> None:
        super().__init__()
        self._driver = driver
        self._upload = upload
        self._number = number

    async def seal(self) -> None:
        self.resent = await self._driver.put_part(self._upload, self._number, self.take())

    async def discard(self) -> None:
        self.drop()


class S3Driver:
    limits = PartLimits(
        min_part_size=MIN_PART,
        target_part_size=PART,
        max_part_size=MAX_PART,
        max_signed_part_size=MAX_SIGNED,
        numbered=True,
    )

    def __init__(self, location: S3Location, read_seconds: float = READ_SECONDS) -> None:
        self.location = location
        self._read_seconds = read_seconds
        # Enough time for every attempt to time out, and to send the bytes on a slow network.
        self._send_queue = SendLimiter((ATTEMPTS + 1) * read_seconds)
        self._bucket = location.bucket
        self._prefix = location.prefix
        self._stack = AsyncExitStack()
        self._opening: asyncio.Task[S3Client] | None = None
        # Whether the store verifies checksums. None means not known yet.
        self._verifies: bool | None = None

    async def _client(self) -> "S3Client":
        """The client, opened on first use."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        with translated():
            return await asyncio.shield(self._opening)

    async def _open(self) -> "S3Client":
        return await self._stack.enter_async_context(open_client(self.location, self._read_seconds))

    @asynccontextmanager
    async def _sending(self, key: str) -> AsyncIterator[None]:
        """Wraps requests that send bytes."""
        with translated(key):
            async with self._send_queue.permit():
                yield

    def _properties(self, content_type: str) -> dict[str, Any]:
        """The parameters that give a new object its properties."""
        location = self.location
        parameters = {
            "ServerSideEncryption": location.encryption,
            "SSEKMSKeyId": location.kms_key,
            "StorageClass": location.storage_class,
            "ContentType": content_type,
        }
        return {name: value for name, value in parameters.items() if value}

    def name(self, key: str) -> dict[str, Any]:
        """The parameters that name an object."""
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _target(self, upload: MultipartUpload) -> dict[str, Any]:
        """The parameters that name a multipart upload."""
        return {**self.name(upload.key), "UploadId": upload.upload_id}

    def overlaps(self, other: Driver) -> bool:
        return isinstance(other, S3Driver) and self.location.overlaps(other.location)

    async def check(self) -> None:
        waits = iter(RETRY_SECONDS)
        while True:
            try:
                return await self._probe()
            except MediaError as error:
                seconds = next(waits, None)
                # A store that keeps objects in folders may refuse a new object while the last
                # object of the folder is being deleted. Another process that starts at the same
                # time may be deleting its probe.
                if seconds is None or not isinstance(error.__cause__, ClientError):
                    why = error.message.removeprefix("The object store failed: ").rstrip(".")
                    what = f"bucket {self._bucket} is not readable and writable: {why}"
                    raise unavailable(what) from error
            await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311

    async def _probe(self) -> None:
        probe = f"check/{token_hex(8)}"
        await self.put(probe, b"ok")
        found = b"".join([chunk async for chunk in self.read(probe, 0, 2, 2)])
        await self.delete(probe)
        if found != b"ok":
            raise unavailable("it returned other bytes than were stored")

    async def guard(self, key: str) -> None:
        """Does nothing: requests to a missing bucket fail."""

    async def put(self, key: str, data: Buffer, content_type: str = "") -> None:
        client, body = await self._client(), bytes(data)
        async with self._sending(key):
            await client.put_object(
                **self.name(key),
                **self._properties(content_type),
                Body=body,
                ChecksumCRC32C=base64_of(body),
            )

    async def copy(
        self, source: Driver, source_key: str, key: str, size: int, content_type: str
    ) -> bool:
        if not isinstance(source, S3Driver) or source.location.site != self.location.site:
            return False
        await require_blob(source, source_key, size)
        if size > s3_copy.WHOLE:
            whole = s3_copy.ObjectToCopy(source_key, source.name(source_key), size)
            await self._copy_ranges(key, [whole], content_type)
            return True
        client, target = await self._client(), self.name(key) | self._properties(content_type)
        with translated(source_key):
            await s3_copy.copy_whole(client, source.name(source_key), target)
        return True

    async def begin(self, key: str, content_type: str = "") -> str:
        opened = await self._begin(key, content_type, ChecksumAlgorithm=ALGORITHM)
        self._verifies = opened.get("ChecksumAlgorithm") == ALGORITHM
        return opened["UploadId"]

    async def supersede(self, key: str, session: str, next_number: int) -> str:
        kept = [upload for upload in parse_session(key, session) if upload.first < next_number]
        if not kept:
            return await self.begin(key)
        at = piece_key(key, next_number)
        return format_session([*kept, MultipartUpload(at, await self.begin(at), next_number)])

    async def abort_unused(self, key: str, session: str, kept: str) -> None:
        needed = parse_session(key, kept)
        for upload in parse_session(key, session):
            if upload not in needed:
                await self._abort(upload)

    async def _begin(
        self, key: str, content_type: str, **options: Any
    ) -> "CreateMultipartUploadOutputTypeDef":
        client = await self._client()
        with translated(key):
            opened = await client.create_multipart_upload(
                **self.name(key), **self._properties(content_type), **options
            )
        failpoint("s3.begin.after")
        return opened

    async def _verifies_checksums(self) -> bool:
        if self._verifies is None:
            probe = f"check/{token_hex(8)}"
            await self.abort(probe, await self.begin(probe))
        return bool(self._verifies)

    async def open_part(
        self, key: str, session: str, name: PartName, expected: ExpectedRange | None = None
    ) -> S3PartWriter:
        return S3PartWriter(
            self, upload_of_part(parse_session(key, session), name.number), name.number
        )

    async def put_part(self, upload: MultipartUpload, number: int, data: bytes) -> bool:
        """Stores a whole part. `number` is its number in the blob. Returns whether the part was
        sent more than once."""
        client = await self._client()
        failpoint("s3.part.before")
        async with self._sending(upload.key):
            with permanent_part_errors():
                stored = await client.upload_part(
                    **self._target(upload),
                    PartNumber=upload.number(number),
                    Body=data,
                    ChecksumCRC32C=base64_of(data),
                )
        failpoint("s3.part.after")
        return stored["ResponseMetadata"].get("RetryAttempts", 0) > 0

    async def remove_part(self, key: str, session: str, name: PartName) -> None:
        """Does nothing: the replacement has the same number and already overwrote the part."""

    async def sign_part(
        self,
        key: str,
        session: str,
        name: PartName,
        size: int,
        crc32c: int,
        ttl: timedelta,
    ) -> SignedRequest | None:
        """The request is valid only until the blob is completed or aborted."""
        if not await self._verifies_checksums():
            return None
        client, checksum = await self._client(), to_base64(crc32c)
        upload = upload_of_part(parse_session(key, session), name.number)
        with translated(key):
            url = await client.generate_presigned_url(
                "upload_part",
                Params={
                    **self._target(upload),
                    "PartNumber": upload.number(name.number),
                    "ContentLength": size,
                    "ChecksumCRC32C": checksum,
                },
                ExpiresIn=validity_seconds(ttl),
            )
        return SignedRequest(url, {"x-amz-checksum-crc32c": checksum})

    async def stored_parts(
        self, key: str, session: str, names: Sequence[PartName]
    ) -> dict[PartName, tuple[int, int]]:
        found: dict[PartName, tuple[int, int]] = {}
        client, uploads = await self._client(), parse_session(key, session)
        wanted: dict[MultipartUpload, dict[int, PartName]] = {}
        for name in names if uploads else ():
            upload = upload_of_part(uploads, name.number)
            wanted.setdefault(upload, {})[upload.number(name.number)] = name
        for upload, numbers in wanted.items():
            try:
                with translated(key):
                    async for part in list_parts(client, self._target(upload)):
                        known, crc32c = numbers.get(part["PartNumber"]), part.get("ChecksumCRC32C")
                        if known and crc32c:
                            found[known] = part["Size"], from_base64(crc32c)
            except DataLoss:
                return {}
        return found

    async def sign_read(
        self, key: str, ttl: timedelta, content_type: str, disposition: str
    ) -> str | None:
        client = await self._client()
        headers = {
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
        }
        with translated(key):
            return await client.generate_presigned_url(
                "get_object",
                Params=self.name(key) | {name: value for name, value in headers.items() if value},
                ExpiresIn=validity_seconds(ttl),
            )

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        uploads, size = parse_session(key, session), sum(part.size for part in parts)
        if len(uploads) == 1:
            await self._join(uploads[0], parts, size)
            return
        # The first multipart upload is completed under the blob's own key, so that key temporarily
        # has a shorter object. Nothing reads it: no row names it yet, and `read` checks the size.
        found = await self.stat(key)
        if found is None or found.size != size:
            try:
                await self._join_all(key, parts_by_upload(uploads, parts), size)
            except DataLoss:
                # Another process may have completed the blob and deleted the pieces.
                if not await self._appears(key, size):
                    raise
        failpoint("s3.pieces.joined")
        await self.abort(key, session)

    async def _join_all(
        self, key: str, shares: Mapping[MultipartUpload, Sequence[StoredPart]], whole: int
    ) -> None:
        """Joins the parts of each multipart upload into an object, and these objects into the
        blob."""

        async def joined(
            share: tuple[MultipartUpload, Sequence[StoredPart]],
        ) -> s3_copy.ObjectToCopy:
            upload, parts = share
            size = sum(part.size for part in parts)
            # If another process finished first, the first key already has the whole blob. It begins
            # with the same bytes, and only these are copied.
            await self._join(upload, parts, size, whole)
            return s3_copy.ObjectToCopy(upload.key, self.name(upload.key), size)

        sources = await for_each(joined, list(shares.items()), PARALLEL)
        failpoint("s3.pieces.after")
        if len(sources) > 1:
            await self._copy_ranges(key, sources, await self._type_of(key))

    async def _copy_ranges(
        self, key: str, sources: Sequence[s3_copy.ObjectToCopy], content_type: str
    ) -> None:
        """Joins objects into one."""
        client = await self._client()
        # No checksum algorithm: some stores give a copied range the checksum of its whole source.
        upload = MultipartUpload(key, (await self._begin(key, content_type))["UploadId"])
        try:
            parts = await s3_copy.copy_ranges(client, sources, self._target(upload))
            await self._join(upload, parts, sum(source.size for source in sources))
        except BaseException:
            with suppress(MediaError):
                await self._abort(upload)
            raise

    async def _type_of(self, key: str) -> str:
        client = await self._client()
        with translated(key):
            return (await client.head_object(**self.name(key))).get("ContentType", "")

    async def _join(
        self, upload: MultipartUpload, parts: Sequence[StoredPart], *sizes: int
    ) -> None:
        """Completes a multipart upload. If it is gone, the object must exist with one of these
        `sizes`: another process completed it, or this process did before a crash."""
        client = await self._client()
        try:
            with translated(upload.key):
                await join(client, upload.key, self._target(upload), parts, upload.first)
        except DataLoss:
            if not await self._appears(upload.key, *sizes):
                raise

    async def _appears(self, key: str, *sizes: int) -> bool:
        """Whether the object exists. Waits briefly, because some stores end the multipart upload
        before the object appears."""
        for seconds in (*RETRY_SECONDS, None):
            found = await self.stat(key)
            if found is not None and found.size in sizes:
                return True
            if seconds is not None:
                await asyncio.sleep(seconds)
        return False

    async def abort(self, key: str, session: str) -> None:
        async def remove(upload: MultipartUpload) -> None:
            await self._abort(upload)
            if upload.key != key:
                await self.delete(upload.key)

        await for_each(remove, parse_session(key, session), PARALLEL)

    async def _abort(self, upload: MultipartUpload) -> None:
        client = await self._client()
        try:
            with translated(upload.key):
                await client.abort_multipart_upload(**self._target(upload))
        except DataLoss:
            return  # it is already gone

    async def read(
        self, key: str, offset: int, length: int, piece_size: PieceSize
    ) -> AsyncGenerator[bytes, None]:
        end, waits = offset + length, iter(RETRY_SECONDS)
        while offset < end:
            start = offset
            try:
                async with await self._get(key, offset, end) as body:
                    while offset < end:
                        size = min(bytes_of(piece_size), end - offset)
                        pieces = [await body.raw_stream.content.readexactly(size)]
                        offset += size
                        yield pieces.pop()
            except CUT as error:
                # The connection broke. Resume here, unless there is no progress.
                if offset > start:
                    waits = iter(RETRY_SECONDS)
                if (seconds := next(waits, None)) is None:
                    raise unavailable("its response was cut off") from error
                await asyncio.sleep(seconds)

    async def _get(self, key: str, offset: int, end: int) -> Any:
        """Sends one ranged request and returns the body."""
        client = await self._client()
        try:
            with translated(key):
                response = await client.get_object(
                    **self.name(key), Range=f"bytes={offset}-{end - 1}"
                )
        except Unavailable as error:
            if isinstance(cause := error.__cause__, ClientError) and "Range" in code_of(cause):
                raise blob_missing(key) from error
            raise
        if response["ContentLength"] != end - offset:
            response["Body"].close()
            raise blob_missing(key)
        return response["Body"]

    async def stat(self, key: str) -> ObjectInfo | None:
        client = await self._client()
        try:
            with translated(key):
                found = await client.head_object(**self.name(key))
        except DataLoss:
            return None
        return ObjectInfo(key, found["ContentLength"], found["LastModified"])

    async def delete(self, key: str) -> None:
        client = await self._client()
        try:
            with translated(key):
                await client.delete_object(**self.name(key))
        except DataLoss:
            return

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        client = await self._client()
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        with translated():
            async for page in pages:
                for found in page.get("Contents", []):
                    key = found["Key"].removeprefix(self._prefix)
                    yield ObjectInfo(key, found["Size"], found["LastModified"])

    async def list_open(self) -> AsyncIterator[OpenBlob]:
        after: dict[str, Any] = {}
        while True:
            page = await self._open_page(after)
            for found in page.get("Uploads", []):
                key = found["Key"].removeprefix(self._prefix)
                # If the time is missing, use the present, so that the blob does not look abandoned.
                yield OpenBlob(key, found["UploadId"], found.get("Initiated") or now())
            if not page.get("IsTruncated"):
                return
            # Not every server returns both.
            markers = {name: page.get(f"Next{name}") for name in ("KeyMarker", "UploadIdMarker")}
            after = {name: marker for name, marker in markers.items() if marker}

    async def _open_page(self, after: dict[str, Any]) -> Any:
        client = await self._client()
        wanted: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix, **after}
        with translated():
            try:
                return await client.list_multipart_uploads(**wanted)
            except ClientError as error:
                # Some servers cannot continue in the middle of the uploads of one key.
                if code_of(error) != "InvalidArgument" or not wanted.pop("UploadIdMarker", None):
                    raise
                return await client.list_multipart_uploads(**wanted)

    def local_path(self, key: str) -> Path | None:
        return None

    async def close(self) -> None:
        if self._opening is not None:
            await asyncio.wait([self._opening])
        await self._stack.aclose()
