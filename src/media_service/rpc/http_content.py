"""Content over HTTP, as RFC 9110 has it: one way for whatever is read, by whomever."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.api import httpbody_pb2

from media_service.downloads.conditions import plan
from media_service.downloads.disposition import content_disposition
from media_service.downloads.model import Content
from media_service.downloads.service import DownloadService
from media_service.errors import MediaError
from media_service.rpc import http, wire

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# A page that is opened from here runs no scripts and loads nothing.
SECURITY = (
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
)


async def serve(
    context: Context,
    downloads: DownloadService,
    content: Content,
    *,
    caching: Sequence[tuple[str, str]],
    attachment: bool,
) -> None:
    """Answers a request for content: conditions, ranges, HEAD. `caching`: the headers that say who
    may keep the answer; `attachment`: it is to be saved, whatever its type."""
    headers = http.request_headers(context)
    size = content.size_bytes
    answer = plan(headers, content.etag, content.modified, size)
    metadata = [
        ("x-http-status", str(answer.status)),
        ("etag", content.etag),
        ("last-modified", http.http_date(content.modified)),
        *caching,
    ]
    if answer.status != 304:
        disposition = content_disposition(
            content.filename, content.content_type, attachment=attachment
        )
        metadata += [
            ("x-content-length", str(answer.end - answer.start)),
            ("x-content-type", content.content_type),
            ("accept-ranges", "bytes"),
            ("repr-digest", http.repr_digest(content.checksums)),
            ("content-disposition", disposition),
            *SECURITY,
        ]
    if answer.status == 206:
        metadata.append(("content-range", f"bytes {answer.start}-{answer.end - 1}/{size}"))
    body = httpbody_pb2.HttpBody
    if answer.status == 304 or http.is_head(headers):
        await context.send_initial_metadata(tuple(metadata))
        await context.write(body(content_type=content.content_type))
        return
    async with aclosing(downloads.read(content, answer.start, answer.end)) as pieces:
        first = await anext(pieces, b"")  # what fails here still gets a status of its own
        await context.send_initial_metadata(tuple(metadata))
        await context.write(body(content_type=content.content_type, data=first))
        try:
            async for data in pieces:
                await context.write(wire.http_body(data))
        except MediaError as error:
            await http.cut(context, error)
