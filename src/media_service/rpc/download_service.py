"""Servicer of DownloadService: converts messages and calls the use cases."""

from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias

import grpc
from crc32c import crc32c as crc32c_of
from google.protobuf import empty_pb2
from mediaservice.v1 import download_service_pb2, download_service_pb2_grpc

from media_service.cdn.keys import tags
from media_service.clock import now
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.downloads.playback import STREAMS, PlaybackService
from media_service.downloads.read_links import TTL, ReadLinks
from media_service.downloads.revocation import UrlRevocation
from media_service.downloads.service import DownloadService, resolve
from media_service.downloads.waiting import Waiting
from media_service.media.content import Content
from media_service.media.model import Media
from media_service.renders.model import RenderSpec
from media_service.renders.service import RenderService
from media_service.rpc import http, http_content, wire
from media_service.rpc.caller import caller, charged
from media_service.rpc.convert import media_to_message, timestamp
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.render_request import pipeline_of

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# Revalidated at each read, because access may have been revoked.
PRIVATE = (("cache-control", "private, no-cache"), ("vary", "authorization"))
SEGMENT = (("cache-control", "private, max-age=3600, immutable"), ("vary", "authorization"))
PRIVATE_NEGOTIATED = (PRIVATE[0], ("vary", "authorization, accept"))
# Bytes under a key never change. If they cease to be public, caches keep them for up to an hour.
PUBLIC = (("cache-control", "public, max-age=3000, stale-while-revalidate=600"),)
# A CDN that is told of changes may keep them for longer (RFC 9213).
PURGED = (*PUBLIC, ("cdn-cache-control", "public, max-age=86400, stale-while-revalidate=600"))
PUBLIC_PLAYLIST = (("cache-control", "public, no-cache"),)
# How long caches may keep the answer to a link, even if its media is deleted meanwhile.
LINK_SECONDS = 300


class DownloadServicer(download_service_pb2_grpc.DownloadServiceServicer):
    """`public_urls`: the URLs of published renditions. `waiting`: the requests that come before
    the content. `public_caching`: the headers of public content for caches."""

    def __init__(
        self,
        downloads: DownloadService,
        renders: RenderService,
        playback: PlaybackService,
        links: ReadLinks,
        public_urls: PublicUrls,
        waiting: Waiting,
        revocation: UrlRevocation,
        public_caching: http_content.Headers,
    ) -> None:
        self._downloads = downloads
        self._renders = renders
        self._playback = playback
        self._links = links
        self._public_urls = public_urls
        self._waiting = waiting
        self._revocation = revocation
        self._public_caching = public_caching

    async def Download(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.DownloadRequest, context: Context
    ) -> None:
        media, content = await self._waiting.until_ready(
            charged(), partial(self._media_and_content, request)
        )
        size = content.size_bytes
        start, end = resolve(request.offset, request.limit, size)
        await context.write(
            download_service_pb2.DownloadResponse(
                media=media_to_message(media, self._public_urls),
                content_range=download_service_pb2.ContentRange(
                    start=start, end=end, complete_size_bytes=size
                ),
            )
        )
        async with aclosing(self._downloads.read(content, start, end)) as chunks:
            async for data in chunks:
                message = wire.download_response(data, crc32c_of(data))
                del data  # nothing holds what is being sent, except gRPC
                await context.write(message)

    async def _media_and_content(
        self, request: download_service_pb2.DownloadRequest
    ) -> tuple[Media, Content]:
        media = await self._downloads.media(caller(), request.media_id)
        content = await self._downloads.content(caller(), media, request.rendition, request.version)
        return await self._downloads.shown(media, request.version), content

    async def GetContent(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.GetContentRequest, context: Context
    ) -> None:
        look = partial(
            self._downloads.open, caller(), request.media_id, request.rendition, request.version
        )
        content = await self._waiting.until_ready(charged(), look)
        await http_content.serve(
            context, self._downloads, content, caching=PRIVATE, attachment=request.attachment
        )

    async def RenderImage(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.RenderImageRequest, context: Context
    ) -> None:
        look = partial(
            self._renders.find,
            caller(),
            request.media_id,
            pipeline_of(request),
            accept_header(context),
            request.version,
        )
        spec = await self._waiting.until_ready(charged(), look)
        await http_content.serve_render(
            context,
            self._downloads,
            self._renders,
            spec,
            caching=PRIVATE_NEGOTIATED if spec.negotiated else PRIVATE,
            attachment=request.attachment,
        )

    async def GetStream(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.GetStreamRequest, context: Context
    ) -> None:
        content = await self._waiting.until_ready(charged(), partial(self._stream_file, request))
        # Segments never change; playlists grow.
        caching = PRIVATE if content.revalidate else SEGMENT
        await http_content.serve(
            context, self._downloads, content, caching=caching, attachment=False
        )

    async def _stream_file(self, request: download_service_pb2.GetStreamRequest) -> Content:
        media = await self._downloads.media(caller(), request.media_id)
        return await self._playback.open(media, request.path)

    async def SignUrl(  # noqa: N802
        self, request: download_service_pb2.SignUrlRequest, context: Context
    ) -> download_service_pb2.SignUrlResponse:
        ttl = request.ttl.ToTimedelta() if request.HasField("ttl") else TTL
        if request.ops:
            link = await self._links.sign_render(
                caller(),
                request.media_id,
                parsed_pipeline(request.ops),
                version=request.version,
                ttl=ttl,
                attachment=request.attachment,
            )
        else:
            look = partial(
                self._links.sign,
                caller(),
                request.media_id,
                rendition=request.rendition,
                version=request.version,
                ttl=ttl,
                attachment=request.attachment,
                direct=request.direct,
            )
            link = await self._waiting.until_ready(charged(), look)
        return download_service_pb2.SignUrlResponse(
            url=link.url, expire_time=timestamp(link.expire_time)
        )

    async def GetSigned(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.GetSignedRequest, context: Context
    ) -> None:
        look = partial(self._links.open, request.token, request.path, accept_header(context))
        opened = await self._waiting.until_ready(charged(), look)
        left = int((opened.expire_time - now()).total_seconds())
        caching = [("cache-control", f"private, max-age={max(0, min(left, LINK_SECONDS))}")]
        if opened.revalidate:
            caching = [("cache-control", "private, no-cache")]
        if isinstance(opened.content, RenderSpec):
            await http_content.serve_render(
                context,
                self._downloads,
                self._renders,
                opened.content,
                caching=[*caching, ("vary", "accept")] if opened.content.negotiated else caching,
                attachment=opened.attachment,
            )
            return
        await http_content.serve(
            context,
            self._downloads,
            opened.content,
            caching=caching,
            attachment=opened.attachment,
        )

    async def RevokeSignedUrls(  # noqa: N802
        self, request: download_service_pb2.RevokeSignedUrlsRequest, context: Context
    ) -> empty_pb2.Empty:
        if request.media_id:
            await self._revocation.of_media(caller(), request.media_id.lower())
        else:
            await self._revocation.of_signer(caller(), request.signer)
        return empty_pb2.Empty()

    async def GetPublic(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.GetPublicRequest, context: Context
    ) -> None:
        first, _, rest = request.path.partition("/")
        if first == STREAMS:
            look = partial(self._playback.public, rest)
            content = await self._waiting.until_ready(charged(), look)
        else:
            content = await self._downloads.public(request.path)
        caching = PUBLIC_PLAYLIST if content.revalidate else self._public_caching
        await http_content.serve(
            context,
            self._downloads,
            content,
            caching=(*caching, *tags(content.media_id)),
            attachment=False,
        )


def accept_header(context: Context) -> str:
    return http.request_headers(context).get("accept", "")
