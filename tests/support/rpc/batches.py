"""Calls of BatchService, and rows that no call can add as fast."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from mediaservice.v1 import batch_service_pb2 as batches
from mediaservice.v1 import media_pb2

from tests.support.rpc.server import Caller, Running


async def tag(caller: Caller, add: Sequence[str], **selected: Any) -> Any:
    request = batches.BatchTagMediaRequest(add_tags=add, **selected)
    return await caller.call(caller.batches.BatchTagMedia, request)


async def update(caller: Caller, paths: Sequence[str], media: Any, **selected: Any) -> Any:
    request = batches.BatchUpdateMediaRequest(
        media=media_pb2.Media(**media), update_mask=FieldMask(paths=paths), **selected
    )
    return await caller.call(caller.batches.BatchUpdateMedia, request)


async def move(caller: Caller, project_id: str, **selected: Any) -> Any:
    request = batches.BatchMoveMediaRequest(project_id=project_id, **selected)
    return await caller.call(caller.batches.BatchMoveMedia, request)


async def delete(caller: Caller, **selected: Any) -> Any:
    request = batches.BatchDeleteMediaRequest(**selected)
    return await caller.call(caller.batches.BatchDeleteMedia, request)


async def get(caller: Caller, media_ids: Sequence[str]) -> Any:
    request = batches.BatchGetMediaRequest(media_ids=media_ids)
    return await caller.call(caller.batches.BatchGetMedia, request)


def reasons(response: Any) -> list[str]:
    """Why each media was refused; empty if it was not."""
    return [reason_of(result) for result in response.results]


def reason_of(result: Any) -> str:
    info = error_details_pb2.ErrorInfo()
    for detail in result.error.details:
        detail.Unpack(info)
    return str(info.reason)


async def process(caller: Caller, ops: str, **selected: Any) -> Any:
    request = batches.BatchProcessSelectedMediaRequest(ops=ops, **selected)
    return await caller.call(caller.batches.BatchProcessSelectedMedia, request)


# Media without bytes: their number, user, kind and project.
ADD_MEDIA = """
    with ids as (select gen_random_uuid() as id from generate_series(1, %s)),
    blobs as (
        insert into blobs (blob_id, store, key, size_bytes, crc32c)
        select id, 'raw', id::text, 1, 0 from ids
    ), media as (
        insert into media (media_id, owner_type, owner_id, state, kind, content_type,
                           size_bytes, filename, project_id)
        select id, 'user', %s, 'READY', %s, 'image/jpeg', 1, 'a.jpg', %s from ids
    )
    insert into media_versions (media_id, version, blob_id, content_type)
    select id, 1, id, 'image/jpeg' from ids returning media_id::text
"""


async def add_media(
    service: Running, count: int, user: str = "ann", project: str = "", kind: str = "IMAGE"
) -> list[str]:
    """Media of a user, without bytes, newest first as in lists."""
    async with service.database() as db:
        rows = await db.execute(ADD_MEDIA, (count, user, kind, project))
        return sorted((row[0] for row in await rows.fetchall()), reverse=True)
