"""Servicer of UploadService: converts messages and calls the use cases."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import grpc
from crc32c import crc32c as crc32c_of
from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from media_service.access.page_tokens import PageTokens
from media_service.errors import (
    DeadlineExceeded,
    InvalidArgument,
    MediaError,
    NotFound,
    Reason,
)
from media_service.rpc import http
from media_service.rpc.batch import request_at
from media_service.rpc.caller import caller
from media_service.rpc.convert import (
    checksums_from,
    checksums_to_message,
    from_share_link,
    listed_part_from,
    owner_from,
    part_to_message,
    signed_part_to_message,
    spec_from,
    upload_to_message,
    uploaded_to_message,
)
from media_service.rpc.declared_type import declared_type
from media_service.rpc.error_status import to_status
from media_service.rpc.field_validation import FieldValidator
from media_service.rpc.idempotency import header_key, item_keys, key_of, request_key
from media_service.rpc.multipart import MultipartFile, boundary_of
from media_service.rpc.pagination import each, page, page_size
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.request_body import body_chunks
from media_service.rpc.rest_names import RestNames
from media_service.rpc.server_sent_events import send_events
from media_service.rpc.watch_limiter import WatchLimiter
from media_service.rpc.wire import Piece
from media_service.storage.checksums import Checksums
from media_service.uploads.acceptance import merge
from media_service.uploads.model import MIB, Chunk, UploadResult, UploadState
from media_service.uploads.parts.service import PartService
from media_service.uploads.service import CreateRequest, UploadService

T = TypeVar("T")

MAX_CHUNK = 2 * MIB
DEFAULT_PARTS_PAGE, MAX_PARTS_PAGE = 1000, 10_000
DEFAULT_TTL = timedelta(minutes=15)
# The method that keys of its requests belong to, also in a batch.
# All that creates upload sessions shares its keys: a stream continues what CreateUpload created.
CREATE = "CreateUpload"
UPLOAD_KEY = [datetime, UUID]
# Of a request in a batch.
REST_NAMES = RestNames.of(
    upload_service_pb2.CreateUploadRequest.DESCRIPTOR, upload_pb2.Upload.DESCRIPTOR, "*"
)
# What came when a body is empty.
NOTHING = Piece(upload_service_pb2.UploadMediaRequest(), memoryview(b""))

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class UploadServicer(upload_service_pb2_grpc.UploadServiceServicer):
    def __init__(
        self,
        uploads: UploadService,
        parts: PartService,
        watches: WatchLimiter,
        page_tokens: PageTokens,
        rest_url: str,
        public_urls: PublicUrls,
        timeout: timedelta,
    ) -> None:
        self._uploads = uploads
        self._parts = parts
        self._page_tokens = page_tokens
        self._watches = watches
        self._rest_url = rest_url
        self._public_urls = public_urls
        self._timeout = timeout.total_seconds()
        self._validator = FieldValidator()

    async def _in_time(self, beginning: Awaitable[T]) -> T:
        """What a stream must bring before its bytes can be watched over."""
        try:
            async with asyncio.timeout(self._timeout):
                return await beginning
        except TimeoutError:
            raise DeadlineExceeded(
                Reason.STREAM_TOO_SLOW, f"The stream did not begin in {self._timeout:g} seconds."
            ) from None

    async def CreateUpload(  # noqa: N802
        self, request: upload_service_pb2.CreateUploadRequest, context: Context
    ) -> upload_pb2.Upload:
        key = request_key(http.request_headers(context), CREATE, request.request_id, request.spec)
        (result,) = await self._uploads.create(caller(), [(spec_from(request.spec), key)])
        assert isinstance(result, UploadResult)  # noqa: S101 - a refusal is raised
        location = f"{self._rest_url}/v1/uploads/{result.upload.upload_id}"
        await context.send_initial_metadata(
            (("x-http-status", "201"), ("location", location), *progress(result))
        )
        return upload_to_message(result, self._public_urls)

    async def BatchCreateUploads(  # noqa: N802
        self, request: upload_service_pb2.BatchCreateUploadsRequest, context: Context
    ) -> upload_service_pb2.BatchCreateUploadsResponse:
        header = header_key(http.request_headers(context))
        keys = item_keys(header, [item.request_id for item in request.requests])
        numbered = zip(range(len(keys)), request.requests, keys, strict=True)
        wanted = await each(numbered, lambda item: wanted_or_refused(*item, atomic=request.atomic))
        accepted = [one for one in wanted if not isinstance(one, MediaError)]
        created = iter(await self._uploads.create(caller(), accepted, atomic=request.atomic))
        results = [one if isinstance(one, MediaError) else next(created) for one in wanted]
        return upload_service_pb2.BatchCreateUploadsResponse(
            results=await each(results, partial(self._result, rest=http.is_rest(context)))
        )

    def _result(
        self, result: UploadResult | MediaError, rest: bool
    ) -> upload_service_pb2.BatchCreateUploadsResponse.Result:
        if isinstance(result, MediaError):
            status = to_status(REST_NAMES.in_error(result) if rest else result)
            return upload_service_pb2.BatchCreateUploadsResponse.Result(error=status)
        return upload_service_pb2.BatchCreateUploadsResponse.Result(
            upload=upload_to_message(result, self._public_urls)
        )

    async def WriteUpload(  # type: ignore[override]  # noqa: N802
        self,
        request_iterator: AsyncIterator[Piece],
        context: Context,
    ) -> upload_pb2.Upload:
        async def tell(upload_id: str) -> None:
            await context.send_initial_metadata((("x-upload-id", upload_id),))

        pieces = aiter(request_iterator)
        first = await self._in_time(anext(pieces, None))
        target = first.message.WhichOneof("target") if first else None
        if first is None or target is None:
            raise InvalidArgument(
                Reason.INVALID_FIELD,
                "The first message must have an upload_id or a spec.",
                (("target", "must be set in the first message"),),
            )
        if target == "upload_id":
            upload_id = first.message.upload_id
            await tell(upload_id)
            chunks = write_chunks(first, pieces)
            del first
            result = await self._uploads.append(caller(), upload_id.lower(), chunks)
        else:
            message = first.message
            spec = spec_from(message.spec)
            headers = http.request_headers(context)
            key = request_key(headers, CREATE, message.request_id, message.spec)
            if message.finish and spec.size_bytes in {None, len(first.data)}:
                result = await self._uploads.write_at_once(caller(), spec, write_chunk(first), key)
            else:
                chunks = write_chunks(first, pieces)
                del first
                result = await self._uploads.write_new(
                    caller(), spec, chunks, key=key, on_created=tell
                )
        return upload_to_message(result, self._public_urls)

    async def AppendUpload(  # type: ignore[override]  # noqa: N802
        self,
        request_iterator: AsyncIterator[Piece],
        context: Context,
    ) -> upload_pb2.Upload:
        headers = http.request_headers(context)
        pieces = aiter(request_iterator)
        first = await self._in_time(anext(pieces, None))
        offset = http.integer_header(headers, "Upload-Offset")
        if first is None or offset is None:
            raise http.bad_header("Upload-Offset", "the committed_size_bytes of the upload")
        finish = http.boolean_header(headers, "Upload-Complete")
        digest = http.digest_header(headers, "Content-Digest")
        chunks = body_chunks(
            first.data,
            (piece.data async for piece in pieces),
            offset=offset,
            length=http.integer_header(headers, "X-Content-Length"),
            finish=finish,
            digest=digest,
        )
        result = await self._uploads.append(
            caller(),
            first.message.upload_id.lower(),
            chunks,
            declared=http.digest_header(headers, "Repr-Digest"),
            atomic=digest != Checksums(),
        )
        await context.send_initial_metadata(progress(result))
        return upload_to_message(result, self._public_urls)

    async def PutPart(  # type: ignore[override]  # noqa: N802
        self, request_iterator: AsyncIterator[Piece], context: Context
    ) -> upload_pb2.Part:
        headers, first, rest = await self._body(request_iterator, context)
        message = first.message
        size = message.size_bytes or http.integer_header(headers, "X-Content-Length")
        chunks = part_chunks(first, rest, headers, size)
        del first
        part = await self._parts.put(
            caller(), message.upload_id.lower(), message.part_number, chunks, size
        )
        return part_to_message(part)

    async def PutSigned(  # type: ignore[override]  # noqa: N802
        self, request_iterator: AsyncIterator[Piece], context: Context
    ) -> upload_pb2.Part:
        headers, first, rest = await self._body(request_iterator, context)
        token = first.message.token
        size = http.integer_header(headers, "X-Content-Length")
        chunks = part_chunks(first, rest, headers, size)
        del first
        return part_to_message(await self._parts.put_signed(token, chunks))

    async def _body(
        self, request_iterator: AsyncIterator[Piece], context: Context
    ) -> tuple[Mapping[str, str], Piece, AsyncIterator[Piece]]:
        """A request whose body is a part: its headers, its first piece, and what follows."""
        pieces = aiter(request_iterator)
        first = await self._in_time(anext(pieces, None))
        if first is None:
            raise InvalidArgument(Reason.FILE_EMPTY, "The part has no bytes.")
        return http.request_headers(context), first, pieces

    async def ListParts(  # noqa: N802
        self, request: upload_service_pb2.ListPartsRequest, context: Context
    ) -> upload_service_pb2.ListPartsResponse:
        upload_id = request.upload_id.lower()
        query = ("parts", caller().owner, upload_id)
        after = 0
        if request.page_token:
            (after,) = self._page_tokens.open(query, request.page_token, [int])
        size = page_size(request.page_size, DEFAULT_PARTS_PAGE, MAX_PARTS_PAGE)
        parts = await self._parts.list_parts(caller(), upload_id, after, size + 1)
        response = upload_service_pb2.ListPartsResponse(
            parts=[part_to_message(part) for part in parts[:size] if part.stored],
            claimed=[part_to_message(part) for part in parts[:size] if not part.stored],
        )
        if len(parts) > size:
            response.next_page_token = self._page_tokens.seal(query, [parts[size - 1].number])
        return response

    async def SignUpload(  # noqa: N802
        self, request: upload_service_pb2.SignUploadRequest, context: Context
    ) -> upload_service_pb2.SignUploadResponse:
        ttl = request.ttl.ToTimedelta() if request.HasField("ttl") else DEFAULT_TTL
        wanted = [listed_part_from(part) for part in request.parts]
        signed = await self._parts.sign(caller(), request.upload_id.lower(), wanted, ttl)
        return upload_service_pb2.SignUploadResponse(
            parts=[signed_part_to_message(part) for part in signed]
        )

    async def UploadMedia(  # type: ignore[override]  # noqa: N802
        self,
        request_iterator: AsyncIterator[Piece],
        context: Context,
    ) -> media_pb2.Media:
        headers = http.request_headers(context)
        pieces = aiter(request_iterator)
        first = await self._in_time(anext(pieces, None)) or NOTHING
        data = (piece.data async for piece in pieces)
        length = http.integer_header(headers, "X-Content-Length")
        check_whole(headers)
        message, spec = first.message, declared_in(first.message, headers)
        if boundary := boundary_of(message.body.content_type):
            form = MultipartFile(boundary, spec)
            chunks = await self._in_time(form.open(first.data, data))
            self._validator.check(spec)
            length = None
        else:
            chunks = body_chunks(first.data, data, offset=0, length=length, finish=True)
        key = request_key(headers, "UploadMedia", message.request_id, spec)
        del first
        if length is not None and not spec.HasField("size_bytes"):
            spec.size_bytes = length
        result = await self._uploads.write_new(
            caller(), spec_from(spec), chunks, key=key, resumable=False
        )
        if result.media is None:
            raise NotFound(
                Reason.MEDIA_NOT_FOUND,
                "The media that this key created does not exist any more.",
                media_id=result.upload.media_id,
            )
        location = f"{self._rest_url}/v1/media/{result.media.media_id}"
        # Of a repeated call, the ETag would tell guests that the media was changed.
        etag = () if from_share_link() else (("etag", result.media.etag),)
        await context.send_initial_metadata(
            (("x-http-status", "201"), ("location", location), *etag)
        )
        return uploaded_to_message(result.media, self._public_urls)

    async def GetUpload(  # noqa: N802
        self, request: upload_service_pb2.GetUploadRequest, context: Context
    ) -> upload_pb2.Upload:
        result = await self._uploads.get(caller(), request.upload_id.lower())
        await context.send_initial_metadata((*progress(result), ("cache-control", "no-store")))
        return upload_to_message(result, self._public_urls)

    async def ListUploads(  # noqa: N802
        self, request: upload_service_pb2.ListUploadsRequest, context: Context
    ) -> upload_service_pb2.ListUploadsResponse:
        state = UploadState(upload_pb2.Upload.State.Name(request.state)) if request.state else None
        owner = owner_from(request.owner) if request.HasField("owner") else None
        query = ("uploads", caller().owner, state, owner, request.project_id)
        after = None
        if request.page_token:
            after = tuple(self._page_tokens.open(query, request.page_token, UPLOAD_KEY))
        size = page_size(request.page_size)
        results = await self._uploads.list_uploads(
            caller(),
            state=state,
            owner=owner,
            project_id=request.project_id,
            after=after,
            limit=size + 1,
        )
        uploads, next_page_token = await page(
            results,
            size,
            lambda result: upload_to_message(result, self._public_urls),
            lambda r: self._page_tokens.seal(query, [r.upload.create_time, r.upload.upload_id]),
        )
        return upload_service_pb2.ListUploadsResponse(
            uploads=uploads, next_page_token=next_page_token
        )

    async def WatchUpload(  # type: ignore[override]  # noqa: N802
        self, request: upload_service_pb2.WatchUploadRequest, context: Context
    ) -> None:
        states = self._uploads.watch(caller(), request.upload_id.lower())
        await self._watches.run(states, lambda result: context.write(self._message(result)))

    async def WatchUploadEvents(  # type: ignore[override]  # noqa: N802
        self, request: upload_service_pb2.WatchUploadEventsRequest, context: Context
    ) -> None:
        states = self._uploads.watch(caller(), request.upload_id.lower())
        await send_events(
            context,
            self._watches,
            "upload",
            states,
            self._message,
            lambda result: result.upload.state.final,
        )

    def _message(self, result: UploadResult) -> upload_pb2.Upload:
        return upload_to_message(result, self._public_urls)

    async def CompleteUpload(  # noqa: N802
        self, request: upload_service_pb2.CompleteUploadRequest, context: Context
    ) -> upload_pb2.Upload:
        result = await self._uploads.complete(
            caller(),
            request.upload_id.lower(),
            checksums_from(request.checksums),
            [listed_part_from(part) for part in request.parts],
        )
        return upload_to_message(result, self._public_urls)

    async def AbortUpload(  # noqa: N802
        self, request: upload_service_pb2.AbortUploadRequest, context: Context
    ) -> upload_pb2.Upload:
        return upload_to_message(
            await self._uploads.abort(caller(), request.upload_id.lower()), self._public_urls
        )


def check_whole(headers: Mapping[str, str]) -> None:
    """Refuses a piece of a file, as jQuery File Upload sends it, which would become a media of its
    own. Raises InvalidArgument (INVALID_HEADER)."""
    sent = headers.get("content-range", "")
    piece = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", sent)
    if piece and (int(piece[1]) or int(piece[2]) + 1 != int(piece[3])):
        raise http.bad_header(
            "Content-Range", "that of the whole file; send pieces as parts of an upload (PutPart)"
        )


def declared_in(
    message: upload_service_pb2.UploadMediaRequest, headers: Mapping[str, str]
) -> upload_pb2.UploadSpec:
    """What a request that uploads a file in one step says of it, its body aside."""
    spec = upload_pb2.UploadSpec()
    spec.CopyFrom(message.spec)
    if spec.filename and message.filename not in {"", spec.filename}:
        why = "must equal spec.filename if both are set"
        raise InvalidArgument(Reason.INVALID_FIELD, f"The filename {why}.", (("filename", why),))
    spec.filename = spec.filename or message.filename
    content_type = message.body.content_type
    if boundary_of(content_type):
        return spec
    spec.content_type = spec.content_type or declared_type(content_type)
    # The digest of a raw body is the digest of the file, in either header.
    declared = checksums_from(spec.checksums)
    for name in ("Repr-Digest", "Content-Digest"):
        declared = merge(declared, http.digest_header(headers, name))
    if checksums := checksums_to_message(declared):
        spec.checksums.CopyFrom(checksums)
    return spec


def progress(result: UploadResult) -> tuple[tuple[str, str], ...]:
    """How far an upload is, as headers of the IETF's resumable uploads."""
    complete = "?1" if result.upload.state is UploadState.FINISHED else "?0"
    return ("upload-offset", str(result.upload.committed_size)), ("upload-complete", complete)


def part_chunks(
    first: Piece, rest: AsyncIterator[Piece], headers: Mapping[str, str], size: int | None
) -> AsyncGenerator[Chunk, None]:
    return body_chunks(
        first.data,
        (piece.data async for piece in rest),
        offset=0,
        length=size,
        finish=False,
        digest=http.digest_header(headers, "Content-Digest"),
    )


async def write_chunks(first: Piece, rest: AsyncIterator[Piece]) -> AsyncGenerator[Chunk, None]:
    piece: Piece | None = first
    del first
    while piece is not None:
        yield write_chunk(piece)
        del piece  # not to be held while the next one is waited for
        piece = await anext(rest, None)


def wanted_or_refused(
    index: int, request: upload_service_pb2.CreateUploadRequest, key: str, *, atomic: bool
) -> CreateRequest | MediaError:
    """A request of a batch, or the error that refuses it. If `atomic`, the error is raised."""
    try:
        with request_at(index) if atomic else nullcontext():
            return spec_from(request.spec), key_of(CREATE, key, request.spec)
    except MediaError as error:
        if atomic:
            raise
        return error


def write_chunk(piece: Piece) -> Chunk:
    message, data = piece.message, piece.data
    if len(data) > MAX_CHUNK:
        raise InvalidArgument(
            Reason.CHUNK_TOO_LARGE,
            f"A message may carry {MAX_CHUNK} bytes, and this one has {len(data)}; 256–512 KiB is"
            " fastest.",
            max_chunk_size_bytes=MAX_CHUNK,
        )
    crc32c = message.crc32c if message.HasField("crc32c") else None
    if crc32c is not None and (actual := crc32c_of(data)) != crc32c:
        raise InvalidArgument(
            Reason.CHECKSUM_MISMATCH,
            f"The crc32c of the bytes at offset {message.offset} is not the one sent with them;"
            " ask for the upload and go on at its committed_size.",
            checksum="crc32c",
            declared=crc32c,
            actual=actual,
            offset=message.offset,
        )
    checksums = checksums_from(message.checksums) if message.finish else Checksums()
    if checksums.sha256 is not None and len(checksums.sha256) != 32:
        raise InvalidArgument(
            Reason.INVALID_FIELD,
            "checksums.sha256 must have 32 bytes.",
            (("checksums.sha256", "must have 32 bytes"),),
        )
    return Chunk(data, message.offset, crc32c, message.finish, checksums)
