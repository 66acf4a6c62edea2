"""Servicer of BatchService: converts messages and calls the use cases."""

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias, TypeVar

import grpc
from google.rpc import status_pb2
from mediaservice.v1 import batch_service_pb2, batch_service_pb2_grpc, media_pb2

from media_service.batches.actions import Action, Move, Tag, Update
from media_service.batches.model import Outcome, Selection
from media_service.batches.service import BatchService
from media_service.errors import MediaError
from media_service.jobs.model import Priority
from media_service.rpc import http
from media_service.rpc.caller import caller
from media_service.rpc.convert import media_to_message, owner_from
from media_service.rpc.error_status import to_status
from media_service.rpc.job_message import job_to_message
from media_service.rpc.media_service import stated_values
from media_service.rpc.pagination import PAGE_BYTES, each
from media_service.rpc.processing_service import check_name, pipeline_from
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.rest_names import RestNames

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Found: TypeAlias = batch_service_pb2.BatchGetMediaResponse.Result
Request: TypeAlias = (
    batch_service_pb2.BatchTagMediaRequest
    | batch_service_pb2.BatchUpdateMediaRequest
    | batch_service_pb2.BatchMoveMediaRequest
    | batch_service_pb2.BatchDeleteMediaRequest
    | batch_service_pb2.BatchProcessSelectedMediaRequest
)
R = TypeVar(
    "R",
    batch_service_pb2.BatchTagMediaResponse,
    batch_service_pb2.BatchUpdateMediaResponse,
    batch_service_pb2.BatchMoveMediaResponse,
    batch_service_pb2.BatchDeleteMediaResponse,
    batch_service_pb2.BatchProcessSelectedMediaResponse,
)
REST_NAMES = RestNames.of(
    batch_service_pb2.BatchTagMediaRequest.DESCRIPTOR,
    batch_service_pb2.BatchTagMediaResponse.DESCRIPTOR,
    "*",
)
# Media whose renditions are read in one statement, and held in memory with them.
READ_TOGETHER = 100


class BatchServicer(batch_service_pb2_grpc.BatchServiceServicer):
    """`public_urls`: of public renditions and originals. `reserved`: the names of standard
    renditions, which requests may not use."""

    def __init__(
        self, batches: BatchService, public_urls: PublicUrls, reserved: Collection[str]
    ) -> None:
        self._batches = batches
        self._public_urls = public_urls
        self._reserved = reserved

    async def BatchGetMedia(  # noqa: N802
        self, request: batch_service_pb2.BatchGetMediaRequest, context: Context
    ) -> batch_service_pb2.BatchGetMediaResponse:
        full = request.view == media_pb2.Media.FULL and caller().may_download
        response = batch_service_pb2.BatchGetMediaResponse()
        room = PAGE_BYTES
        media_ids = lower(request.media_ids)
        for start in range(0, len(media_ids), READ_TOGETHER):
            together = media_ids[start : start + READ_TOGETHER]
            found = await self._batches.get(caller(), together)
            for media_id, one in zip(together, found, strict=True):
                result = Found(media_id=media_id)
                if isinstance(one, MediaError):
                    result.error.CopyFrom(status_in(context, one))
                else:
                    result.media.CopyFrom(media_to_message(one, self._public_urls, full=full))
                room -= result.ByteSize()
                if response.results and room < 0:
                    return response
                response.results.append(result)
        return response

    async def BatchTagMedia(  # noqa: N802
        self, request: batch_service_pb2.BatchTagMediaRequest, context: Context
    ) -> batch_service_pb2.BatchTagMediaResponse:
        action = Tag(tuple(request.add_tags), tuple(request.remove_tags))
        return await self._run(request, action, batch_service_pb2.BatchTagMediaResponse(), context)

    async def BatchUpdateMedia(  # noqa: N802
        self, request: batch_service_pb2.BatchUpdateMediaRequest, context: Context
    ) -> batch_service_pb2.BatchUpdateMediaResponse:
        action = Update(stated_values(request.media, request.update_mask))
        return await self._run(
            request, action, batch_service_pb2.BatchUpdateMediaResponse(), context
        )

    async def BatchMoveMedia(  # noqa: N802
        self, request: batch_service_pb2.BatchMoveMediaRequest, context: Context
    ) -> batch_service_pb2.BatchMoveMediaResponse:
        action = Move(
            owner_from(request.owner) if request.HasField("owner") else None,
            request.project_id if request.HasField("project_id") else None,
        )
        return await self._run(request, action, batch_service_pb2.BatchMoveMediaResponse(), context)

    async def BatchDeleteMedia(  # noqa: N802
        self, request: batch_service_pb2.BatchDeleteMediaRequest, context: Context
    ) -> batch_service_pb2.BatchDeleteMediaResponse:
        return await self._run(
            request,
            self._batches.deletion(),
            batch_service_pb2.BatchDeleteMediaResponse(),
            context,
        )

    async def BatchProcessSelectedMedia(  # noqa: N802
        self, request: batch_service_pb2.BatchProcessSelectedMediaRequest, context: Context
    ) -> batch_service_pb2.BatchProcessSelectedMediaResponse:
        pipeline = pipeline_from(request)
        check_name(request.rendition_name, pipeline, self._reserved)
        priority = Priority(request.priority or Priority.NORMAL)
        action = self._batches.rendering(pipeline, request.rendition_name, priority)
        return await self._run(
            request, action, batch_service_pb2.BatchProcessSelectedMediaResponse(), context
        )

    async def _run(self, request: Request, action: Action[Any], response: R, context: Context) -> R:
        done = await self._batches.run(
            caller(),
            Selection(lower(request.media_ids), request.filter),
            action,
            atomic=request.atomic,
            validate_only=request.validate_only,
        )

        def result(outcome: Outcome) -> batch_service_pb2.BatchResult:
            message = batch_service_pb2.BatchResult(
                media_id=outcome.media_id, job_id=outcome.job_id
            )
            if isinstance(outcome.result, MediaError):
                message.error.CopyFrom(status_in(context, outcome.result))
            else:
                message.etag = outcome.result
            return message

        response.results.extend(await each(done.outcomes, result))
        response.changed_count = done.changed
        response.failed_count = done.failed
        response.selected_count = done.selected
        if done.job:
            response.job.CopyFrom(job_to_message(done.job, None, self._public_urls))
        return response


def status_in(context: Context, error: MediaError) -> status_pb2.Status:
    """An error in a result."""
    return to_status(REST_NAMES.in_error(error) if http.is_rest(context) else error)


def lower(media_ids: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(media_id.lower() for media_id in media_ids))
