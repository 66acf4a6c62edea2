"""Calls of CollectionService."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from mediaservice.v1 import collection_service_pb2 as messages

from tests.support.rpc.server import Caller

Collection = messages.Collection


async def create(caller: Caller, title: str = "Album", **fields: Any) -> Collection:
    request = messages.CreateCollectionRequest(title=title, **fields)
    return await caller.call(caller.collections.CreateCollection, request)


async def get(caller: Caller, collection_id: str) -> Collection:
    request = messages.GetCollectionRequest(collection_id=collection_id)
    return await caller.call(caller.collections.GetCollection, request)


async def update(caller: Caller, paths: Sequence[str], **fields: Any) -> Collection:
    request = messages.UpdateCollectionRequest(
        collection=Collection(**fields), update_mask=FieldMask(paths=paths)
    )
    return await caller.call(caller.collections.UpdateCollection, request)


async def delete(caller: Caller, collection_id: str) -> None:
    request = messages.DeleteCollectionRequest(collection_id=collection_id)
    await caller.call(caller.collections.DeleteCollection, request)


async def transfer(caller: Caller, collection_id: str, **fields: Any) -> Collection:
    request = messages.TransferCollectionRequest(collection_id=collection_id, **fields)
    return await caller.call(caller.collections.TransferCollection, request)


async def add(
    caller: Caller, collection_id: str, media_ids: Sequence[str], before: str = ""
) -> Collection:
    request = messages.AddCollectionMediaRequest(
        collection_id=collection_id, media_ids=media_ids, before_media_id=before
    )
    return await caller.call(caller.collections.AddCollectionMedia, request)


async def take_out(caller: Caller, collection_id: str, media_ids: Sequence[str]) -> Collection:
    request = messages.RemoveCollectionMediaRequest(
        collection_id=collection_id, media_ids=media_ids
    )
    return await caller.call(caller.collections.RemoveCollectionMedia, request)


async def listed(caller: Caller, **fields: Any) -> list[str]:
    """The titles of collections, in pages of two."""
    request = messages.ListCollectionsRequest(page_size=2, **fields)
    titles: list[str] = []
    while True:
        response = await caller.call(caller.collections.ListCollections, request)
        titles += [each.title for each in response.collections]
        if not response.next_page_token:
            return titles
        request.page_token = response.next_page_token


async def media(caller: Caller, collection_id: str, page_size: int = 2) -> list[str]:
    """The ids of the media of a collection, in pages."""
    request = messages.ListCollectionMediaRequest(collection_id=collection_id, page_size=page_size)
    ids: list[str] = []
    while True:
        response = await caller.call(caller.collections.ListCollectionMedia, request)
        ids += [each.media_id for each in response.media]
        if not response.next_page_token:
            return ids
        assert len(response.media) == page_size, "pages are full"
        request.page_token = response.next_page_token
