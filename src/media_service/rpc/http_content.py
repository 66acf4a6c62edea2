"""Serves content over HTTP (RFC 9110): the one function for every kind of content and access."""

import logging
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias

import grpc
from google.api import httpbody_pb2

from media_service.downloads.conditional_requests import evaluate, unchanged
from media_service.downloads.disposition import content_disposition
from media_service.downloads.service import DownloadService
from media_service.errors import DataLoss, MediaError
from media_service.media.content import Content
from media_service.renders.model import RenderSpec
from media_service.renders.service import RenderService
from media_service.rpc import http, wire

Headers: TypeAlias = Sequence[tuple[str, str]]
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

log = logging.getLogger(__name__)

# A page that is opened from this origin runs no scripts and loads nothing.
SECURITY = (
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
)


def validators(target: Content | RenderSpec) -> Headers:
    return (("etag", target.etag), ("last-modified", http.http_date(target.modified)))


async def serve(
    context: Context,
    downloads: DownloadService,
    content: Content,
    *,
    caching: Headers,
    attachment: bool,
) -> None:
    """Answers a request for content: conditions, ranges, HEAD. `caching`: the headers for caches.
    `attachment`: browsers save the content, whatever its type."""
    headers = http.request_headers(context)
    size = content.size_bytes
    answer = evaluate(headers, content.etag, content.modified, size)
    metadata = [
        ("x-http-status", str(answer.status)),
        *validators(content),
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
            ("content-disposition", disposition),
            *SECURITY,
        ]
        if digest := http.repr_digest(content.checksums):
            metadata.append(("repr-digest", digest))
    if answer.status == 206:
        metadata.append(("content-range", f"bytes {answer.start}-{answer.end - 1}/{size}"))
    body = httpbody_pb2.HttpBody
    if answer.status == 304 or http.is_head(headers):
        await context.send_initial_metadata(tuple(metadata))
        await context.write(body(content_type=content.content_type))
        return
    async with aclosing(downloads.read(content, answer.start, answer.end)) as chunks:
        first = await anext(chunks, b"")  # an error here still gets its own status
        await context.send_initial_metadata(tuple(metadata))
        message = wire.http_body(first, content.content_type)
        del first  # nothing holds what is being sent, except gRPC
        await context.write(message)
        try:
            async for data in chunks:
                message = wire.http_body(data)
                del data
                await context.write(message)
        except MediaError as error:
            await http.cut(context, error)


async def serve_render(
    context: Context,
    downloads: DownloadService,
    renders: RenderService,
    spec: RenderSpec,
    *,
    caching: Headers,
    attachment: bool,
) -> None:
    """As `serve`. Renders the image only if the client does not have it."""
    if unchanged(http.request_headers(context), spec.etag, spec.modified):
        metadata = (("x-http-status", "304"), *validators(spec), *caching)
        await context.send_initial_metadata(metadata)
        await context.write(httpbody_pb2.HttpBody())
        return
    answer = partial(serve, context, downloads, caching=caching, attachment=attachment)
    try:
        async with renders.content(spec) as content:
            await answer(content)
    except DataLoss as error:
        # Nothing was sent yet, and a cached render can be replaced.
        log.warning("a cached render is rendered again: %s", error.message)
        async with renders.content_rendered_again(spec) as content:
            await answer(content)
