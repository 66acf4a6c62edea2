"""Servicer of WatchService: converts messages and calls the use cases."""

from typing import Any, TypeAlias

import grpc
from mediaservice.v1 import watch_service_pb2, watch_service_pb2_grpc

from media_service.access.policy import scope
from media_service.collections.service import CollectionService
from media_service.errors import PermissionDenied, Reason
from media_service.jobs.service import JobService
from media_service.media.service import MediaService
from media_service.rpc.caller import caller
from media_service.rpc.convert import timestamp
from media_service.uploads.service import UploadService
from media_service.watches.tickets import EVENTS, Watched, WatchTickets

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

PERMISSIONS = {
    "upload_id": "uploads.read",
    "job_id": "jobs.read",
    "media_id": "events.read",
    "collection_id": "events.read",
    "events": "events.read",
}


class WatchServicer(watch_service_pb2_grpc.WatchServiceServicer):
    def __init__(
        self,
        tickets: WatchTickets,
        uploads: UploadService,
        jobs: JobService,
        media: MediaService,
        collections: CollectionService,
    ) -> None:
        self._tickets = tickets
        self._uploads = uploads
        self._jobs = jobs
        self._media = media
        self._collections = collections

    async def CreateWatchTicket(  # noqa: N802
        self, request: watch_service_pb2.CreateWatchTicketRequest, context: Context
    ) -> watch_service_pb2.WatchTicket:
        field = request.WhichOneof("resource") or ""
        watched = (
            EVENTS if field == EVENTS.field else Watched(field, getattr(request, field).lower())
        )
        permission = PERMISSIONS[field]
        if not caller().holds(permission):
            raise PermissionDenied(
                Reason.SCOPE_MISSING,
                f"The token's scope does not include {permission}.",
                permission=permission,
            )
        await self._check_readable(watched)
        ticket = await self._tickets.create(caller(), watched)
        return watch_service_pb2.WatchTicket(
            ticket=ticket.secret, expire_time=timestamp(ticket.expire_time)
        )

    async def _check_readable(self, watched: Watched) -> None:
        """Raises NotFound (UPLOAD_NOT_FOUND, JOB_NOT_FOUND, MEDIA_NOT_FOUND,
        COLLECTION_NOT_FOUND)."""
        match watched.field:
            case "collection_id":
                await self._collections.get(caller(), watched.id)
            case "job_id":
                await self._jobs.get(caller(), watched.id)
            case "media_id":
                await self._media.get(caller(), watched.id)
            case "upload_id":
                await self._uploads.get(caller(), watched.id)
            case _:
                scope(caller())  # events are checked one by one
