"""Blobs as objects of an S3 bucket, on AWS or any store that speaks its protocol.

A part is a part of an open multipart upload, held in memory until it is whole: S3 has no parts that
grow. Its number is all that names it, so whoever numbers parts must not use a number twice for
different bytes; the epoch is not seen here. Every request carries the CRC32C of its bytes, so that
the store itself refuses what was damaged on the way. Not every store does: one that does not tell
the checksum's algorithm when a blob is opened does not check either, and nothing is signed for it.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import aiohttp
from botocore.exceptions import ClientError

from media_service.errors import DataLoss, MediaError, Unavailable
from media_service.failpoints import failpoint
from media_service.storage import s3_copy
from media_service.storage.crc32c import checksum, decoded, encoded
from media_service.storage.driver import (
    Driver,
    Limits,
    ObjectInfo,
    OpenBlob,
    PartName,
    SignedRequest,
    StoredPart,
    expect,
    missing,
    part_too_small,
    signed_seconds,
)
from media_service.storage.held_part import HeldPart
from media_service.storage.s3_client import (
    ATTEMPTS,
    code_of,
    open_client,
    translated,
    unavailable,
    wrong_parts_told,
)
from media_service.storage.s3_location import S3Location
from media_service.types import Octets, now

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CreateMultipartUploadOutputTypeDef

MIB = 1 << 20
# S3 takes nothing smaller but at the end, and 10 000 parts: of 8 MiB they make 78 GiB.
MIN_PART = 5 * MIB
PART = 8 * MIB
# What is sent as one part waits in memory.
MAX_PART = 32 * MIB
# The most that one request may bring: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MAX_SIGNED = 5 << 30
ALGORITHM = "CRC32C"
# Waits before a download is gone on with that was cut.
RETRY_SECONDS = (0.1, 0.4, 1.6)
# How long an answer may take.
READ_SECONDS = 60.0
CUT = (aiohttp.ClientError, asyncio.IncompleteReadError, TimeoutError, OSError)


class S3PartWriter(HeldPart):
    """Collects a part, and sends it when it is sealed."""

    def __init__(self, driver: "S3Driver", key: str, session: str, number: int) -> None:
        super().__init__()
        self._driver = driver
        self._key = key
        self._session = session
        self._number = number

    async def seal(self) -> None:
        await self._driver.put_part(self._key, self._session, self._number, self.take())

    async def discard(self) -> None:
        self.drop()


class S3Driver:
    limits = Limits(
        min_part_size=MIN_PART,
        stream_part_size=PART,
        max_part_size=MAX_PART,
        max_signed_part_size=MAX_SIGNED,
        numbered=True,
    )

    def __init__(self, location: S3Location, read_seconds: float = READ_SECONDS) -> None:
        self.location = location
        self._read_seconds = read_seconds
        # Time for every attempt to go unanswered, and for the bytes over a thin line.
        self._send_seconds = (ATTEMPTS + 1) * read_seconds
        self._bucket = location.bucket
        self._prefix = location.prefix
        self._stack = AsyncExitStack()
        self._opening: asyncio.Task[S3Client] | None = None
        # Whether the store checks what it is sent; None: it has not told yet.
        self._checks: bool | None = None

    async def _client(self) -> "S3Client":
        """One client, made when it is first needed."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        with translated():
            return await asyncio.shield(self._opening)

    async def _open(self) -> "S3Client":
        return await self._stack.enter_async_context(open_client(self.location, self._read_seconds))

    @asynccontextmanager
    async def _sending(self, key: str) -> AsyncIterator[None]:
        """Around requests that bring bytes. The SDK waits without end for a store to take them."""
        with translated(key):
            async with asyncio.timeout(self._send_seconds):
                yield

    def _kept_as(self, content_type: str) -> dict[str, Any]:
        """What a new object is asked to be."""
        location = self.location
        wanted = {
            "ServerSideEncryption": location.encryption,
            "SSEKMSKeyId": location.kms_key,
            "StorageClass": location.storage_class,
            "ContentType": content_type,
        }
        return {name: value for name, value in wanted.items() if value}

    def name(self, key: str) -> dict[str, Any]:
        """How requests name a blob."""
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    async def check(self) -> None:
        """Raises Unavailable, saying why, unless the bucket can be read and written."""
        probe = f"check/{token_hex(8)}"
        try:
            await self.put(probe, b"ok")
            found = b"".join([piece async for piece in self.read(probe, 0, 2, 2)])
            await self.delete(probe)
        except MediaError as error:
            why = error.message.removeprefix("The object store failed: ")
            raise unavailable(f"bucket {self._bucket} cannot be read and written, {why}") from error
        if found != b"ok":
            raise unavailable(f"bucket {self._bucket} gives back other bytes than it was given")

    async def put(self, key: str, data: Octets, content_type: str = "") -> None:
        client, body = await self._client(), bytes(data)
        async with self._sending(key):
            await client.put_object(
                **self.name(key),
                **self._kept_as(content_type),
                Body=body,
                ChecksumCRC32C=checksum(body),
            )

    async def copy(
        self, source: Driver, source_key: str, key: str, size: int, content_type: str
    ) -> bool:
        if not isinstance(source, S3Driver) or source.location.site != self.location.site:
            return False
        await expect(source, source_key, size)
        client = await self._client()
        if size <= s3_copy.WHOLE:
            target = self.name(key) | self._kept_as(content_type)
            with translated(source_key):
                await s3_copy.copy_whole(client, source.name(source_key), target)
            return True
        # No checksum is asked for: some stores take a copied part's from the whole source.
        session = (await self._begin(key, content_type))["UploadId"]
        try:
            target = {**self.name(key), "UploadId": session}
            with translated(source_key):
                parts = await s3_copy.copy_pieces(client, source.name(source_key), target, size)
            await self.complete(key, session, parts)
        except BaseException:
            with suppress(MediaError):
                await self.abort(key, session)
            raise
        return True

    async def begin(self, key: str, content_type: str = "") -> str:
        opened = await self._begin(key, content_type, ChecksumAlgorithm=ALGORITHM)
        self._checks = opened.get("ChecksumAlgorithm") == ALGORITHM
        return opened["UploadId"]

    async def _begin(
        self, key: str, content_type: str, **options: Any
    ) -> "CreateMultipartUploadOutputTypeDef":
        client = await self._client()
        with translated(key):
            opened = await client.create_multipart_upload(
                **self.name(key), **self._kept_as(content_type), **options
            )
        failpoint("s3.begin.after")
        return opened

    async def _is_checked(self) -> bool:
        if self._checks is None:
            probe = f"check/{token_hex(8)}"
            await self.abort(probe, await self.begin(probe))
        return bool(self._checks)

    async def open_part(self, key: str, session: str, name: PartName) -> S3PartWriter:
        return S3PartWriter(self, key, session, name.number)

    async def put_part(self, key: str, session: str, number: int, data: bytes) -> None:
        """Stores a whole part."""
        client = await self._client()
        failpoint("s3.part.before")
        async with self._sending(key):
            with wrong_parts_told():
                await client.upload_part(
                    **self.name(key),
                    UploadId=session,
                    PartNumber=number,
                    Body=data,
                    ChecksumCRC32C=checksum(data),
                )
        failpoint("s3.part.after")

    async def sign_part(
        self,
        key: str,
        session: str,
        name: PartName,
        size: int,
        crc32c: int,
        lifetime: timedelta,
    ) -> SignedRequest | None:
        """It ends with the session, when the blob is completed or aborted."""
        if not await self._is_checked():
            return None
        client, checked = await self._client(), encoded(crc32c)
        with translated(key):
            url = await client.generate_presigned_url(
                "upload_part",
                Params={
                    **self.name(key),
                    "UploadId": session,
                    "PartNumber": name.number,
                    "ContentLength": size,
                    "ChecksumCRC32C": checked,
                },
                ExpiresIn=signed_seconds(lifetime),
            )
        return SignedRequest(url, {"x-amz-checksum-crc32c": checked})

    async def stored_parts(
        self, key: str, session: str, names: Sequence[PartName]
    ) -> dict[PartName, tuple[int, int]]:
        found: dict[PartName, tuple[int, int]] = {}
        if not session:
            return found
        client, numbers = await self._client(), {name.number: name for name in names}
        try:
            with translated(key):
                async for part in self._parts(client, key, session):
                    name, checked = numbers.get(part["PartNumber"]), part.get("ChecksumCRC32C")
                    if name and checked:
                        found[name] = part["Size"], decoded(checked)
        except DataLoss:
            return {}
        return found

    async def sign_read(
        self, key: str, lifetime: timedelta, content_type: str, disposition: str
    ) -> str | None:
        client = await self._client()
        told = {
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
        }
        with translated(key):
            return await client.generate_presigned_url(
                "get_object",
                Params=self.name(key) | {name: value for name, value in told.items() if value},
                ExpiresIn=signed_seconds(lifetime),
            )

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        size = sum(part.size for part in parts)
        client = await self._client()
        try:
            with translated(key):
                await self._join(client, key, session, parts)
        except DataLoss:
            # The session is gone if another was faster, or this one before a crash.
            if not await self._has_come(key, size):
                raise

    async def _has_come(self, key: str, size: int) -> bool:
        """Whether there is such a blob. Some stores end the session a moment before it is."""
        for seconds in (*RETRY_SECONDS, None):
            found = await self.stat(key)
            if found is not None and found.size == size:
                return True
            if seconds is not None:
                await asyncio.sleep(seconds)
        return False

    async def _join(
        self, client: "S3Client", key: str, session: str, parts: Sequence[StoredPart]
    ) -> None:
        stored = {part["PartNumber"]: part async for part in self._parts(client, key, session)}
        joined: list[Any] = []
        for number, part in sorted((part.name.number, part) for part in parts):
            found = stored.get(number)
            if found is None or found["Size"] != part.size:
                raise missing(key)
            named = {"PartNumber": number, "ETag": found["ETag"]}
            if crc32c := found.get("ChecksumCRC32C"):
                named["ChecksumCRC32C"] = crc32c
            joined.append(named)
        if [part["PartNumber"] for part in joined] != [part.name.number for part in parts]:
            raise ValueError("S3 joins parts in the order of their numbers")
        failpoint("s3.join.before")
        try:
            with wrong_parts_told():
                await client.complete_multipart_upload(
                    **self.name(key), UploadId=session, MultipartUpload={"Parts": joined}
                )
        except ClientError as error:
            if code_of(error) != "EntityTooSmall":
                raise
            told: dict[str, Any] = {**error.response["Error"]}
            smallest = min(parts[:-1] or parts, key=lambda part: part.size)
            least = int(told.get("MinSizeAllowed", MIN_PART))
            raise part_too_small(smallest.name.number, least) from error
        failpoint("s3.join.after")

    async def _parts(self, client: "S3Client", key: str, session: str) -> AsyncIterator[Any]:
        pages = client.get_paginator("list_parts").paginate(**self.name(key), UploadId=session)
        async for page in pages:
            for part in page.get("Parts", []):
                yield part

    async def abort(self, key: str, session: str) -> None:
        if not session:
            return
        client = await self._client()
        try:
            with translated(key):
                await client.abort_multipart_upload(**self.name(key), UploadId=session)
        except DataLoss:
            return  # it is gone already

    async def read(
        self, key: str, offset: int, length: int, chunk: int
    ) -> AsyncGenerator[bytes, None]:
        end, waits = offset + length, iter(RETRY_SECONDS)
        while offset < end:
            start = offset
            try:
                async with await self._get(key, offset, end) as body:
                    while offset < end:
                        size = min(chunk, end - offset)
                        piece = await body.raw_stream.content.readexactly(size)
                        offset += size
                        yield piece
            except CUT as error:
                # The connection was cut: go on from here, unless that gets nowhere.
                if offset > start:
                    waits = iter(RETRY_SECONDS)
                if (seconds := next(waits, None)) is None:
                    raise unavailable("its answer was cut off") from error
                await asyncio.sleep(seconds)

    async def _get(self, key: str, offset: int, end: int) -> Any:
        """The body of one ranged request."""
        client = await self._client()
        try:
            with translated(key):
                answer = await client.get_object(
                    **self.name(key), Range=f"bytes={offset}-{end - 1}"
                )
        except Unavailable as error:
            if isinstance(cause := error.__cause__, ClientError) and "Range" in code_of(cause):
                raise missing(key) from error
            raise
        if answer["ContentLength"] != end - offset:
            answer["Body"].close()
            raise missing(key)
        return answer["Body"]

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
                # A server that does not tell when must not make it look abandoned.
                yield OpenBlob(key, found["UploadId"], found.get("Initiated") or now())
            if not page.get("IsTruncated"):
                return
            # Not every server has both.
            markers = {name: page.get(f"Next{name}") for name in ("KeyMarker", "UploadIdMarker")}
            after = {name: marker for name, marker in markers.items() if marker}

    async def _open_page(self, after: dict[str, Any]) -> Any:
        client = await self._client()
        wanted: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix, **after}
        with translated():
            try:
                return await client.list_multipart_uploads(**wanted)
            except ClientError as error:
                # Some servers cannot go on from within the sessions of a key.
                if code_of(error) != "InvalidArgument" or not wanted.pop("UploadIdMarker", None):
                    raise
                return await client.list_multipart_uploads(**wanted)

    def local_path(self, key: str) -> Path | None:
        return None

    async def close(self) -> None:
        if self._opening is not None:
            await asyncio.wait([self._opening])
        await self._stack.aclose()
