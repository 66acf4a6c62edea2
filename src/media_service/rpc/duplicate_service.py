"""Servicer of DuplicateService: converts messages and calls the use cases."""

from typing import Any, TypeAlias

import grpc
from mediaservice.v1 import duplicate_service_pb2, duplicate_service_pb2_grpc

from media_service.duplicates.model import Decision, DuplicateGroup, SimilarMedia
from media_service.duplicates.service import DuplicateService
from media_service.rpc.batch_service import lower
from media_service.rpc.caller import caller
from media_service.rpc.convert import media_to_message
from media_service.rpc.pagination import each, page, page_size
from media_service.rpc.public_urls import PublicUrls

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
DEFAULT, MOST = 20, 100


class DuplicateServicer(duplicate_service_pb2_grpc.DuplicateServiceServicer):
    """`public_urls`: of public renditions and originals."""

    def __init__(self, duplicates: DuplicateService, public_urls: PublicUrls) -> None:
        self._duplicates = duplicates
        self._public_urls = public_urls

    async def ListDuplicates(  # noqa: N802
        self, request: duplicate_service_pb2.ListDuplicatesRequest, context: Context
    ) -> duplicate_service_pb2.ListDuplicatesResponse:
        size = page_size(request.page_size, DEFAULT, MOST)
        found, token = await self._duplicates.groups(
            caller(), request.project_id, request.page_token, size + 1
        )
        groups, next_page_token = await page(found, size, self._group, token)
        return duplicate_service_pb2.ListDuplicatesResponse(
            groups=groups, next_page_token=next_page_token
        )

    async def FindSimilarMedia(  # noqa: N802
        self, request: duplicate_service_pb2.FindSimilarMediaRequest, context: Context
    ) -> duplicate_service_pb2.FindSimilarMediaResponse:
        most = page_size(request.max_media, DEFAULT, MOST)
        found = await self._duplicates.similar(caller(), request.media_id, most)
        return duplicate_service_pb2.FindSimilarMediaResponse(
            similar=await each(found, lambda one: similar_to_message(one, self._public_urls))
        )

    async def DecideDuplicates(  # noqa: N802
        self, request: duplicate_service_pb2.DecideDuplicatesRequest, context: Context
    ) -> duplicate_service_pb2.DecideDuplicatesResponse:
        decision = Decision(
            duplicate_service_pb2.DecideDuplicatesRequest.Decision.Name(request.decision)
        )
        await self._duplicates.decide(
            caller(), request.media_id.lower(), lower(request.other_ids), decision
        )
        return duplicate_service_pb2.DecideDuplicatesResponse()

    async def MergeMedia(  # noqa: N802
        self, request: duplicate_service_pb2.MergeMediaRequest, context: Context
    ) -> duplicate_service_pb2.MergeMediaResponse:
        merged = await self._duplicates.merge(
            caller(),
            lower(request.media_ids),
            request.keep_media_id.lower(),
            validate_only=request.validate_only,
        )
        return duplicate_service_pb2.MergeMediaResponse(
            media=media_to_message(merged.media, self._public_urls),
            deleted_media_ids=merged.deleted,
        )

    def _group(self, found: DuplicateGroup) -> duplicate_service_pb2.DuplicateGroup:
        return duplicate_service_pb2.DuplicateGroup(
            media=media_to_message(found.media, self._public_urls),
            others=[similar_to_message(other, self._public_urls) for other in found.others],
            keep_media_id=found.keep_id,
        )


def similar_to_message(
    found: SimilarMedia, public_urls: PublicUrls
) -> duplicate_service_pb2.SimilarMedia:
    return duplicate_service_pb2.SimilarMedia(
        media=media_to_message(found.media, public_urls),
        similarity=found.similarity,
        exact=found.distance is None,
    )
