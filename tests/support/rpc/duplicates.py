"""Calls of DuplicateService."""

from collections.abc import Sequence

from mediaservice.v1 import duplicate_service_pb2 as duplicates

from media_service.db.database import Database
from media_service.duplicates.periodic_tasks import compare
from tests.support.rpc.server import Caller, Running

Decision = duplicates.DecideDuplicatesRequest


async def compare_all(service: Running) -> None:
    """What a worker does every minute."""
    async with Database(service.database_url, 2) as database:
        async for _ in compare(database):
            pass


async def groups(caller: Caller, **fields: object) -> list[list[str]]:
    """The ids of each group."""
    request = duplicates.ListDuplicatesRequest(**fields)  # type: ignore[arg-type]
    response = await caller.call(caller.duplicates.ListDuplicates, request)
    return [
        [group.media.media_id, *(other.media.media_id for other in group.others)]
        for group in response.groups
    ]


async def similar(caller: Caller, media_id: str) -> dict[str, duplicates.SimilarMedia]:
    request = duplicates.FindSimilarMediaRequest(media_id=media_id)
    response = await caller.call(caller.duplicates.FindSimilarMedia, request)
    return {found.media.media_id: found for found in response.similar}


async def decide(
    caller: Caller, media_id: str, other_ids: Sequence[str], decision: "Decision.Decision.ValueType"
) -> None:
    request = Decision(media_id=media_id, other_ids=other_ids, decision=decision)
    await caller.call(caller.duplicates.DecideDuplicates, request)


async def merge(
    caller: Caller, media_ids: Sequence[str], keep: str = "", *, validate_only: bool = False
) -> duplicates.MergeMediaResponse:
    request = duplicates.MergeMediaRequest(
        media_ids=media_ids, keep_media_id=keep, validate_only=validate_only
    )
    return await caller.call(caller.duplicates.MergeMedia, request)
