"""DownloadService: messages in, service calls, messages out."""

from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from crc32c import crc32c as crc32c_of
from google.api import httpbody_pb2
from media.v1 import download_service_pb2, download_service_pb2_grpc

from media_service.downloads.conditions import plan
from media_service.downloads.service import DownloadService, resolve
from media_service.errors import MediaError
from media_service.rpc import http, wire
from media_service.rpc.caller import caller
from media_service.rpc.convert import media_to_message

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# Private, and asked for again each time: access may have been taken away.
CACHE = "private, no-cache"
# A page that is opened from here runs no scripts and loads nothing.
SECURITY = (
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
)


class DownloadServicer(download_service_pb2_grpc.DownloadServiceServicer):
    def __init__(self, downloads: DownloadService) -> None:
        self._downloads = downloads

    async def Download(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.DownloadRequest, context: Context
    ) -> None:
        media = await self._downloads.open(caller(), request.media_id)
        start, end = resolve(request.offset, request.limit, media.blob.size_bytes)
        await context.write(
            download_service_pb2.DownloadResponse(
                media=media_to_message(media),
                content_range=download_service_pb2.ContentRange(
                    start=start, end=end, complete_size=media.blob.size_bytes
                ),
            )
        )
        async with aclosing(self._downloads.read(media, start, end)) as pieces:
            async for data in pieces:
                await context.write(wire.download_response(data, crc32c_of(data)))

    async def GetContent(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.GetContentRequest, context: Context
    ) -> None:
        headers = http.request_headers(context)
        media = await self._downloads.open(caller(), request.media_id)
        size = media.blob.size_bytes
        etag = f'"{media.blob.blob_id}"'
        # The content is as old as the media: it never changes, another version is another blob.
        answer = plan(headers, etag, media.create_time, size)
        metadata = [
            ("x-http-status", str(answer.status)),
            ("etag", etag),
            ("last-modified", http.http_date(media.create_time)),
            ("cache-control", CACHE),
            ("vary", "authorization"),
        ]
        if answer.status != 304:
            metadata += [
                ("x-content-length", str(answer.end - answer.start)),
                ("x-content-type", media.content_type),
                ("accept-ranges", "bytes"),
                ("repr-digest", http.repr_digest(media.blob.checksums)),
                (
                    "content-disposition",
                    http.content_disposition(
                        media.filename, media.content_type, attachment=request.attachment
                    ),
                ),
                *SECURITY,
            ]
        if answer.status == 206:
            metadata.append(("content-range", f"bytes {answer.start}-{answer.end - 1}/{size}"))
        body = httpbody_pb2.HttpBody
        if answer.status == 304 or http.is_head(headers):
            await context.send_initial_metadata(tuple(metadata))
            await context.write(body(content_type=media.content_type))
            return
        async with aclosing(self._downloads.read(media, answer.start, answer.end)) as pieces:
            first = await anext(pieces, b"")  # what fails here still gets a status of its own
            await context.send_initial_metadata(tuple(metadata))
            await context.write(body(content_type=media.content_type, data=first))
            try:
                async for data in pieces:
                    await context.write(wire.http_body(data))
            except MediaError as error:
                await http.cut(context, error)
