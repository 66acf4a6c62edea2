"""Servicer of ArchiveService: converts messages and calls the use cases."""

from typing import Any, TypeAlias

import grpc
from mediaservice.v1 import archive_service_pb2, archive_service_pb2_grpc

from media_service.downloads.archives.service import ArchiveService, Selection
from media_service.downloads.service import DownloadService
from media_service.rpc import http_content
from media_service.rpc.caller import caller
from media_service.rpc.convert import timestamp

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# Checked again at each read, because a file may have changed.
CACHING = (("cache-control", "private, no-store"),)


class ArchiveServicer(archive_service_pb2_grpc.ArchiveServiceServicer):
    def __init__(self, archives: ArchiveService, downloads: DownloadService) -> None:
        self._archives = archives
        self._downloads = downloads

    async def CreateArchive(  # noqa: N802
        self, request: archive_service_pb2.CreateArchiveRequest, context: Context
    ) -> archive_service_pb2.Archive:
        selection = Selection(
            tuple(request.media_ids),
            request.filter,
            request.project_id,
            request.collection_id.lower(),
            request.rendition,
        )
        archive, url = await self._archives.create(caller(), selection, request.filename)
        await context.send_initial_metadata((("x-http-status", "201"), ("location", url)))
        return archive_service_pb2.Archive(
            archive_id=archive.archive_id,
            filename=archive.filename,
            size_bytes=archive.size_bytes,
            file_count=archive.file_count,
            skipped_count=archive.skipped,
            url=url,
            expire_time=timestamp(archive.expire_time),
        )

    async def GetArchiveContent(  # type: ignore[override]  # noqa: N802
        self, request: archive_service_pb2.GetArchiveContentRequest, context: Context
    ) -> None:
        content = await self._archives.open(caller(), request.archive_id.lower())
        await http_content.serve(
            context, self._downloads, content, caching=CACHING, attachment=True
        )

    async def GetSignedArchive(  # type: ignore[override]  # noqa: N802
        self, request: archive_service_pb2.GetSignedArchiveRequest, context: Context
    ) -> None:
        content = await self._archives.open_signed(request.token)
        await http_content.serve(
            context, self._downloads, content, caching=CACHING, attachment=True
        )
