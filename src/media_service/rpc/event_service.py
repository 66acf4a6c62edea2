"""Servicer of EventService: converts messages and calls the use cases."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from mediaservice.v1 import event_pb2, event_service_pb2, event_service_pb2_grpc

from media_service.collections.service import CollectionService
from media_service.events.envelope import CONTENT_TYPE, SPEC_VERSION
from media_service.events.model import Page, RelayedEvent
from media_service.events.service import EventService, Selection
from media_service.media.service import MediaService
from media_service.rpc.caller import caller
from media_service.rpc.convert import timestamp
from media_service.rpc.event_stream import last_cursor, stream_events
from media_service.rpc.watch_limiter import WatchLimiter

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Response: TypeAlias = event_service_pb2.WatchEventsResponse


class EventServicer(event_service_pb2_grpc.EventServiceServicer):
    """`source`: the URL of the service."""

    def __init__(
        self,
        events: EventService,
        media: MediaService,
        collections: CollectionService,
        watches: WatchLimiter,
        source: str,
    ) -> None:
        self._events = events
        self._media = media
        self._collections = collections
        self._watches = watches
        self._source = source

    async def WatchEvents(  # type: ignore[override]  # noqa: N802
        self, request: event_service_pb2.WatchEventsRequest, context: Context
    ) -> None:
        selection = Selection(tuple(request.types), request.project_id)
        pages = self._events.watch(caller(), request.cursor, selection)
        await self._watches.run(self._responses(pages), context.write)

    async def StreamEvents(  # type: ignore[override]  # noqa: N802
        self, request: event_service_pb2.StreamEventsRequest, context: Context
    ) -> None:
        selection = Selection(tuple(request.types), request.project_id)
        cursor = last_cursor(context, request.cursor)
        pages = self._events.watch(caller(), cursor, selection)
        await stream_events(context, self._watches, pages, self._source)

    async def WatchMedia(  # type: ignore[override]  # noqa: N802
        self, request: event_service_pb2.WatchMediaRequest, context: Context
    ) -> None:
        pages = await self._of_media(request.media_id, request.cursor)
        await self._watches.run(self._responses(pages), context.write)

    async def StreamMedia(  # type: ignore[override]  # noqa: N802
        self, request: event_service_pb2.StreamMediaRequest, context: Context
    ) -> None:
        pages = await self._of_media(request.media_id, last_cursor(context, request.cursor))
        await stream_events(context, self._watches, pages, self._source)

    async def WatchCollection(  # type: ignore[override]  # noqa: N802
        self, request: event_service_pb2.WatchCollectionRequest, context: Context
    ) -> None:
        pages = await self._of_collection(request.collection_id, request.cursor)
        await self._watches.run(self._responses(pages), context.write)

    async def StreamCollection(  # type: ignore[override]  # noqa: N802
        self, request: event_service_pb2.StreamCollectionRequest, context: Context
    ) -> None:
        cursor = last_cursor(context, request.cursor)
        pages = await self._of_collection(request.collection_id, cursor)
        await stream_events(context, self._watches, pages, self._source)

    async def _of_collection(self, collection_id: str, cursor: str) -> AsyncGenerator[Page, None]:
        """Raises NotFound (COLLECTION_NOT_FOUND)."""
        collection = await self._collections.get(caller(), collection_id.lower())
        following = self._collections.following(caller(), collection.collection_id)
        return self._events.watch(caller(), cursor, Selection(following=following))

    async def _of_media(self, media_id: str, cursor: str) -> AsyncGenerator[Page, None]:
        """Raises NotFound (MEDIA_NOT_FOUND)."""
        media = await self._media.get(caller(), media_id.lower())
        return self._events.watch(caller(), cursor, Selection(media_id=media.media_id))

    async def _responses(self, pages: AsyncGenerator[Page, None]) -> AsyncGenerator[Response, None]:
        async with aclosing(pages):
            async for page in pages:
                for event in page.events:
                    yield Response(event=self._message(event), cursor=str(event.cursor))
                if not page.events or page.events[-1].cursor != page.end:
                    yield Response(cursor=str(page.end))

    def _message(self, event: RelayedEvent) -> event_pb2.Event:
        return event_pb2.Event(
            id=event.event_id,
            source=self._source,
            spec_version=SPEC_VERSION,
            type=event.type,
            subject=event.subject,
            time=timestamp(event.time),
            data_content_type=CONTENT_TYPE,
            data=ParseDict(dict(event.data), Struct()),
            cursor=str(event.cursor),
            sequence=event.sequence,
            organization_id=event.org_id,
            project_id=event.project_id,
        )
