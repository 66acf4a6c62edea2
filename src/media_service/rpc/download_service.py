"""DownloadService: messages in, service calls, messages out."""

from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from crc32c import crc32c as crc32c_of
from mediaservice.v1 import download_service_pb2, download_service_pb2_grpc

from media_service.clock import now
from media_service.codecs.pipeline.pipeline import requested_pipeline
from media_service.codecs.pipeline.validation import parse
from media_service.downloads.links import TTL, ReadLinks
from media_service.downloads.playback import STREAMS, StreamService
from media_service.downloads.service import DownloadService, resolve
from media_service.renders.model import Picture
from media_service.renders.service import RenderService
from media_service.rpc import http, http_content, wire
from media_service.rpc.caller import caller
from media_service.rpc.convert import media_to_message, timestamp
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.render_request import plan_of

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# Asked for again each time: access may have been taken away.
PRIVATE = (("cache-control", "private, no-cache"), ("vary", "authorization"))
SEGMENT = (("cache-control", "private, max-age=3600, immutable"), ("vary", "authorization"))
PRIVATE_NEGOTIATED = (PRIVATE[0], ("vary", "authorization, accept"))
# Bytes under a key never change, but may cease to be public: then caches keep them an hour more.
PUBLIC = (("cache-control", "public, max-age=3600"),)
PUBLIC_PLAYLIST = (("cache-control", "public, no-cache"),)
# How long the answer to a link may be kept, though what it leads to be deleted meanwhile.
LINK_SECONDS = 300


class DownloadServicer(download_service_pb2_grpc.DownloadServiceServicer):
    """`public_urls`: where anybody reads what is public."""

    def __init__(
        self,
        downloads: DownloadService,
        renders: RenderService,
        streams: StreamService,
        links: ReadLinks,
        public_urls: PublicUrls,
    ) -> None:
        self._downloads = downloads
        self._renders = renders
        self._streams = streams
        self._links = links
        self._public_urls = public_urls

    async def Download(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.DownloadRequest, context: Context
    ) -> None:
        media = await self._downloads.media(caller(), request.media_id)
        content = self._downloads.content(media, request.rendition, request.version)
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
        async with aclosing(self._downloads.read(content, start, end)) as pieces:
            async for data in pieces:
                await context.write(wire.download_response(data, crc32c_of(data)))

    async def GetContent(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.GetContentRequest, context: Context
    ) -> None:
        content = await self._downloads.open(
            caller(), request.media_id, request.rendition, request.version
        )
        await http_content.serve(
            context, self._downloads, content, caching=PRIVATE, attachment=request.attachment
        )

    async def RenderImage(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.RenderImageRequest, context: Context
    ) -> None:
        picture = await self._renders.find(
            caller(), request.media_id, plan_of(request), accepted(context), request.version
        )
        await http_content.serve_picture(
            context,
            self._downloads,
            self._renders,
            picture,
            caching=PRIVATE_NEGOTIATED if picture.negotiated else PRIVATE,
            attachment=request.attachment,
        )

    async def GetStream(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.GetStreamRequest, context: Context
    ) -> None:
        media = await self._downloads.media(caller(), request.media_id)
        content = await self._streams.open(media, request.path)
        # A segment never becomes another; a playlist grows.
        caching = PRIVATE if content.revalidate else SEGMENT
        await http_content.serve(
            context, self._downloads, content, caching=caching, attachment=False
        )

    async def SignUrl(  # noqa: N802
        self, request: download_service_pb2.SignUrlRequest, context: Context
    ) -> download_service_pb2.SignUrlResponse:
        ttl = request.ttl.ToTimedelta() if request.HasField("ttl") else TTL
        if request.ops:
            link = await self._links.sign_picture(
                caller(),
                request.media_id,
                requested_pipeline(parse(request.ops)),
                version=request.version,
                ttl=ttl,
                attachment=request.attachment,
            )
        else:
            link = await self._links.sign(
                caller(),
                request.media_id,
                rendition=request.rendition,
                version=request.version,
                ttl=ttl,
                attachment=request.attachment,
                direct=request.direct,
            )
        return download_service_pb2.SignUrlResponse(
            url=link.url, expire_time=timestamp(link.expire_time)
        )

    async def GetSigned(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.GetSignedRequest, context: Context
    ) -> None:
        opened = await self._links.open(request.token, request.path, accepted(context))
        left = int((opened.expire_time - now()).total_seconds())
        caching = [("cache-control", f"private, max-age={max(0, min(left, LINK_SECONDS))}")]
        if opened.revalidate:
            caching = [("cache-control", "private, no-cache")]
        if isinstance(opened.content, Picture):
            await http_content.serve_picture(
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

    async def GetPublic(  # type: ignore[override]  # noqa: N802
        self, request: download_service_pb2.GetPublicRequest, context: Context
    ) -> None:
        first, _, rest = request.path.partition("/")
        if first == STREAMS:
            content = await self._streams.public(rest)
        else:
            content = await self._downloads.public(request.path)
        caching = PUBLIC_PLAYLIST if content.revalidate else PUBLIC
        await http_content.serve(
            context, self._downloads, content, caching=caching, attachment=False
        )


def accepted(context: Context) -> str:
    """The formats that the client takes."""
    return http.request_headers(context).get("accept", "")
