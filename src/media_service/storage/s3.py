"""Blobs as objects of an S3 bucket, on AWS or any store that speaks its protocol.

A part is a part of an open multipart upload, held in memory until it is whole: S3 has no parts that
grow. Its number is all that names it, the epoch is not seen here; so whoever may use a number that
another used begins a multipart upload of its own (see `s3_sessions`). Every request carries the
CRC32C of its bytes, so that the store itself refuses what was damaged on the way. Not every store
does: one that does not tell the checksum's algorithm when a blob is opened does not check either,
and nothing is signed for it.

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
from media_service.storage import s3_copy
from media_service.storage.buffer import Buffer
from media_service.storage.crc32c import checksum, decoded, encoded
from media_service.storage.driver import (
    Driver,
    Limits,
    ObjectInfo,
    OpenBlob,
    PartName,
    Place,
    SignedRequest,
    StoredPart,
    expect,
    missing,
    piece_key,
    signed_seconds,
)
from media_service.storage.held_part import HeldPart
from media_service.storage.parallel import for_each
from media_service.storage.s3_client import (
    ATTEMPTS,
    code_of,
    open_client,
    translated,
    unavailable,
    wrong_parts_told,
)
from media_service.storage.s3_join import MIB, MIN_PART, join, stored
from media_service.storage.s3_location import S3Location
from media_service.storage.s3_sending import Sending
from media_service.storage.s3_sessions import Session, holding, sessions_of, shared_out, told

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CreateMultipartUploadOutputTypeDef

# S3 takes 10 000 parts: of 8 MiB they make 78 GiB.
PART = 8 * MIB
# What is sent as one part waits in memory.
MAX_PART = 32 * MIB
# The most that one request may bring: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MAX_SIGNED = 5 << 30
ALGORITHM = "CRC32C"
# Multipart uploads of one blob that are ended at once.
PARALLEL = 8
# Waits before a download is gone on with that was cut, or a refused check is repeated.
RETRY_SECONDS = (0.1, 0.4, 1.6)
# How long an answer may take.
READ_SECONDS = 60.0
CUT = (aiohttp.ClientError, asyncio.IncompleteReadError, TimeoutError, OSError)


class S3PartWriter(HeldPart):
    """Collects a part, and sends it when it is sealed."""

    def __init__(self, driver: "S3Driver", session: Session, number: int) -> None:
        super().__init__()
        self._driver = driver
        self._session = session
        self._number = number

    async def seal(self) -> None:
        await self._driver.put_part(self._session, self._number, self.take())

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
        self._sends = Sending((ATTEMPTS + 1) * read_seconds)
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
        """Around requests that bring bytes."""
        with translated(key):
            async with self._sends.turn():
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

    def _target(self, session: Session) -> dict[str, Any]:
        """How requests name a multipart upload."""
        return {**self.name(session.key), "UploadId": session.upload_id}

    async def check(self) -> None:
        """Raises Unavailable, saying why, unless the bucket can be read and written."""
        waits = iter(RETRY_SECONDS)
        while True:
            try:
                return await self._probe()
            except MediaError as error:
                seconds = next(waits, None)
                # A store that keeps objects in folders may refuse one while the last of a folder is
                # removed, as another process does that starts at the same time.
                if seconds is None or not isinstance(error.__cause__, ClientError):
                    why = error.message.removeprefix("The object store failed: ").rstrip(".")
                    what = f"bucket {self._bucket} cannot be read and written, {why}"
                    raise unavailable(what) from error
            await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311

    async def _probe(self) -> None:
        probe = f"check/{token_hex(8)}"
        await self.put(probe, b"ok")
        found = b"".join([piece async for piece in self.read(probe, 0, 2, 2)])
        await self.delete(probe)
        if found != b"ok":
            raise unavailable("it gives back other bytes than it was given")

    async def put(self, key: str, data: Buffer, content_type: str = "") -> None:
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
        if size > s3_copy.WHOLE:
            whole = s3_copy.Source(source_key, source.name(source_key), size)
            await self._copy_pieces(key, [whole], content_type)
            return True
        client, target = await self._client(), self.name(key) | self._kept_as(content_type)
        with translated(source_key):
            await s3_copy.copy_whole(client, source.name(source_key), target)
        return True

    async def begin(self, key: str, content_type: str = "") -> str:
        opened = await self._begin(key, content_type, ChecksumAlgorithm=ALGORITHM)
        self._checks = opened.get("ChecksumAlgorithm") == ALGORITHM
        return opened["UploadId"]

    async def succeed(self, key: str, session: str, next_number: int) -> str:
        kept = [one for one in sessions_of(key, session) if one.first < next_number]
        if not kept:
            return await self.begin(key)
        at = piece_key(key, next_number)
        return told([*kept, Session(at, await self.begin(at), next_number)])

    async def release(self, key: str, session: str, kept: str) -> None:
        needed = sessions_of(key, kept)
        for one in sessions_of(key, session):
            if one not in needed:
                await self._abort(one)

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

    async def open_part(
        self, key: str, session: str, name: PartName, place: Place | None = None
    ) -> S3PartWriter:
        return S3PartWriter(self, holding(sessions_of(key, session), name.number), name.number)

    async def put_part(self, session: Session, number: int, data: bytes) -> None:
        """Stores a whole part. `number`: in the blob."""
        client = await self._client()
        failpoint("s3.part.before")
        async with self._sending(session.key):
            with wrong_parts_told():
                await client.upload_part(
                    **self._target(session),
                    PartNumber=session.number(number),
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
        holder = holding(sessions_of(key, session), name.number)
        with translated(key):
            url = await client.generate_presigned_url(
                "upload_part",
                Params={
                    **self._target(holder),
                    "PartNumber": holder.number(name.number),
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
        client, sessions = await self._client(), sessions_of(key, session)
        wanted: dict[Session, dict[int, PartName]] = {}
        for name in names if sessions else ():
            holder = holding(sessions, name.number)
            wanted.setdefault(holder, {})[holder.number(name.number)] = name
        for holder, numbers in wanted.items():
            try:
                with translated(key):
                    async for part in stored(client, self._target(holder)):
                        known, checked = numbers.get(part["PartNumber"]), part.get("ChecksumCRC32C")
                        if known and checked:
                            found[known] = part["Size"], decoded(checked)
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
        sessions, size = sessions_of(key, session), sum(part.size for part in parts)
        if len(sessions) == 1:
            await self._join(sessions[0], parts, size)
            return
        # The first one is completed onto the blob's own key, so for a while a shorter object lies
        # there. Nobody reads it: no row names it yet, and no reader here takes one of another size.
        found = await self.stat(key)
        if found is None or found.size != size:
            try:
                await self._join_all(key, shared_out(sessions, parts), size)
            except DataLoss:
                # Another was faster, and has removed the pieces.
                if not await self._has_come(key, size):
                    raise
        failpoint("s3.pieces.joined")
        await self.abort(key, session)

    async def _join_all(
        self, key: str, shares: Mapping[Session, Sequence[StoredPart]], whole: int
    ) -> None:
        """Makes an object of each session's parts, and the blob of these."""

        async def joined(share: tuple[Session, Sequence[StoredPart]]) -> s3_copy.Source:
            session, parts = share
            size = sum(part.size for part in parts)
            # Where another was faster, the whole blob lies on the first one's key by now. It
            # begins with the same bytes, and no more of them are copied.
            await self._join(session, parts, size, whole)
            return s3_copy.Source(session.key, self.name(session.key), size)

        sources = await for_each(joined, list(shares.items()), PARALLEL)
        failpoint("s3.pieces.after")
        if len(sources) > 1:
            await self._copy_pieces(key, sources, await self._type_of(key))

    async def _copy_pieces(
        self, key: str, sources: Sequence[s3_copy.Source], content_type: str
    ) -> None:
        """Makes one object of others, in pieces of them."""
        client = await self._client()
        # No checksum is asked for: some stores take a copied part's from the whole source.
        session = Session(key, (await self._begin(key, content_type))["UploadId"])
        try:
            pieces = await s3_copy.copy_pieces(client, sources, self._target(session))
            await self._join(session, pieces, sum(source.size for source in sources))
        except BaseException:
            with suppress(MediaError):
                await self._abort(session)
            raise

    async def _type_of(self, key: str) -> str:
        client = await self._client()
        with translated(key):
            return (await client.head_object(**self.name(key))).get("ContentType", "")

    async def _join(self, session: Session, parts: Sequence[StoredPart], *sizes: int) -> None:
        """Makes an object of parts; of one of these `sizes` it is there if the session is gone:
        then another was faster, or this one before a crash."""
        client = await self._client()
        try:
            with translated(session.key):
                await join(client, session.key, self._target(session), parts, session.first)
        except DataLoss:
            if not await self._has_come(session.key, *sizes):
                raise

    async def _has_come(self, key: str, *sizes: int) -> bool:
        """Whether there is such an object. Some stores end the session a moment before it is."""
        for seconds in (*RETRY_SECONDS, None):
            found = await self.stat(key)
            if found is not None and found.size in sizes:
                return True
            if seconds is not None:
                await asyncio.sleep(seconds)
        return False

    async def abort(self, key: str, session: str) -> None:
        async def remove(one: Session) -> None:
            await self._abort(one)
            if one.key != key:
                await self.delete(one.key)

        await for_each(remove, sessions_of(key, session), PARALLEL)

    async def _abort(self, session: Session) -> None:
        client = await self._client()
        try:
            with translated(session.key):
                await client.abort_multipart_upload(**self._target(session))
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
