"""Servicer of CollectionService: converts messages and calls the use cases."""

from datetime import datetime
from typing import Any, TypeAlias

import grpc
from google.protobuf import empty_pb2
from mediaservice.v1 import collection_service_pb2 as messages
from mediaservice.v1 import collection_service_pb2_grpc, media_pb2

from media_service.access.page_tokens import PageTokens
from media_service.collections.model import Collection
from media_service.collections.service import CHANGEABLE, CollectionService
from media_service.downloads.read_links import ReadLinks
from media_service.media.model import Listed
from media_service.rpc import http
from media_service.rpc.batch_service import lower
from media_service.rpc.caller import caller
from media_service.rpc.convert import (
    from_share_link,
    media_to_message,
    owner_from,
    shown_owner,
    timestamp,
)
from media_service.rpc.field_validation import invalid_fields
from media_service.rpc.idempotency import UUID
from media_service.rpc.pagination import page, page_size
from media_service.rpc.public_urls import PublicUrls
from media_service.update_mask import check_changeable

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class CollectionServicer(collection_service_pb2_grpc.CollectionServiceServicer):
    """`public_urls`: of public renditions and originals."""

    def __init__(
        self,
        collections: CollectionService,
        links: ReadLinks,
        page_tokens: PageTokens,
        public_urls: PublicUrls,
    ) -> None:
        self._collections = collections
        self._links = links
        self._page_tokens = page_tokens
        self._public_urls = public_urls

    async def CreateCollection(  # noqa: N802
        self, request: messages.CreateCollectionRequest, context: Context
    ) -> messages.Collection:
        created = await self._collections.create(
            caller(),
            title=request.title,
            description=request.description,
            filter_text=request.filter,
            parent_id=request.parent_id.lower(),
            project_id=request.project_id,
            owner=owner_from(request.owner) if request.HasField("owner") else None,
        )
        return to_message(created)

    async def GetCollection(  # noqa: N802
        self, request: messages.GetCollectionRequest, context: Context
    ) -> messages.Collection:
        return to_message(await self._collections.get(caller(), request.collection_id.lower()))

    async def ListCollections(  # noqa: N802
        self, request: messages.ListCollectionsRequest, context: Context
    ) -> messages.ListCollectionsResponse:
        parent_id = request.parent_id.lower()
        query = ("collections", caller().owner, parent_id, request.project_id)
        after = None
        if request.page_token:
            time, last = self._page_tokens.open(query, request.page_token, [datetime, str])
            after = (time, last)
        size = page_size(request.page_size)
        found = await self._collections.page(
            caller(),
            parent_id=parent_id,
            project_id=request.project_id,
            after=after,
            limit=size + 1,
        )
        shown, token = await page(
            found,
            size,
            to_message,
            lambda last: self._page_tokens.seal(query, [last.create_time, last.collection_id]),
        )
        return messages.ListCollectionsResponse(collections=shown, next_page_token=token)

    async def UpdateCollection(  # noqa: N802
        self, request: messages.UpdateCollectionRequest, context: Context
    ) -> messages.Collection:
        wanted = request.collection
        if not UUID.fullmatch(wanted.collection_id):
            raise invalid_fields([("collection.collection_id", "must be a UUID")])
        names = list(request.update_mask.paths)
        if names == ["*"]:
            names = list(CHANGEABLE)
        if not names:
            stated = {field.name for field, _ in wanted.ListFields()}
            names = [name for name in CHANGEABLE if name in stated]
        check_changeable(names, CHANGEABLE)
        values = {name: value_of(wanted, name) for name in names}
        etag = wanted.etag or http.request_headers(context).get("if-match", "")
        collection_id = wanted.collection_id.lower()
        return to_message(await self._collections.update(caller(), collection_id, values, etag))

    async def DeleteCollection(  # noqa: N802
        self, request: messages.DeleteCollectionRequest, context: Context
    ) -> empty_pb2.Empty:
        await self._collections.delete(caller(), request.collection_id.lower())
        return empty_pb2.Empty()

    async def TransferCollection(  # noqa: N802
        self, request: messages.TransferCollectionRequest, context: Context
    ) -> messages.Collection:
        changed = await self._collections.transfer(
            caller(),
            request.collection_id.lower(),
            owner_from(request.owner) if request.HasField("owner") else None,
            request.project_id if request.HasField("project_id") else None,
        )
        return to_message(changed)

    async def AddCollectionMedia(  # noqa: N802
        self, request: messages.AddCollectionMediaRequest, context: Context
    ) -> messages.Collection:
        changed = await self._collections.add(
            caller(),
            request.collection_id.lower(),
            lower(request.media_ids),
            request.before_media_id.lower(),
        )
        return to_message(changed)

    async def RemoveCollectionMedia(  # noqa: N802
        self, request: messages.RemoveCollectionMediaRequest, context: Context
    ) -> messages.Collection:
        media_ids = lower(request.media_ids)
        return to_message(
            await self._collections.remove(caller(), request.collection_id.lower(), media_ids)
        )

    async def ListCollectionMedia(  # noqa: N802
        self, request: messages.ListCollectionMediaRequest, context: Context
    ) -> messages.ListCollectionMediaResponse:
        size = page_size(request.page_size)
        found, token = await self._collections.media(
            caller(), request.collection_id.lower(), request.page_token, size + 1
        )

        def shown(each: Listed) -> media_pb2.Media:
            signed = request.sign_read_urls
            urls = self._links.read_urls(caller(), each.media) if signed else None
            return media_to_message(each.media, self._public_urls, read_urls=urls)

        media, next_page_token = await page(found, size, shown, token)
        return messages.ListCollectionMediaResponse(media=media, next_page_token=next_page_token)


def value_of(collection: messages.Collection, name: str) -> str:
    value: str = getattr(collection, name)
    return value.lower() if name in {"cover_media_id", "parent_id"} else value


def to_message(collection: Collection) -> messages.Collection:
    return messages.Collection(
        collection_id=collection.collection_id,
        owner=shown_owner(collection.owner),
        project_id=collection.project_id,
        parent_id=collection.parent_id,
        title=collection.title,
        description=collection.description,
        cover_media_id=collection.cover_media_id,
        filter="" if from_share_link() else collection.filter,
        etag=collection.etag,
        create_time=timestamp(collection.create_time),
        update_time=timestamp(collection.update_time),
    )
