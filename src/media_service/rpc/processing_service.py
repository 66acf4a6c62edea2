"""ProcessingService: messages in, service calls, messages out."""

from collections.abc import Collection
from typing import Any, TypeAlias

import grpc
from mediaservice.v1 import (
    job_pb2,
    media_pb2,
    processing_service_pb2,
    processing_service_pb2_grpc,
)

from media_service.codecs.pipeline.catalogue import OperationManual, catalogue
from media_service.codecs.pipeline.pipeline import Pipeline, requested_pipeline
from media_service.codecs.pipeline.validation import parse
from media_service.errors import InvalidArgument, Reason
from media_service.jobs.model import Priority
from media_service.media.model import STREAM
from media_service.renditions.service import JobService, Order
from media_service.rpc.batch import part, status_of
from media_service.rpc.caller import caller
from media_service.rpc.field_validation import invalid_fields
from media_service.rpc.job_message import job_to_message
from media_service.rpc.pages import each
from media_service.rpc.public_urls import PublicUrls

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Request: TypeAlias = processing_service_pb2.ProcessMediaRequest
Result: TypeAlias = processing_service_pb2.BatchProcessMediaResponse.Result

LONGEST_NAME = 64  # characters of a rendition's name


class ProcessingServicer(processing_service_pb2_grpc.ProcessingServiceServicer):
    """`public_urls`: where anybody reads what is public. `reserved`: the names of standard
    renditions, which requests may not use."""

    def __init__(
        self, jobs: JobService, public_urls: PublicUrls, reserved: Collection[str]
    ) -> None:
        self._jobs = jobs
        self._public_urls = public_urls
        self._reserved = reserved

    async def ProcessMedia(self, request: Request, context: Context) -> job_pb2.Job:  # noqa: N802
        return await self._process(request)

    async def BatchProcessMedia(  # noqa: N802
        self, request: processing_service_pb2.BatchProcessMediaRequest, context: Context
    ) -> processing_service_pb2.BatchProcessMediaResponse:
        if request.atomic:
            orders = await each(enumerate(request.requests), self._order_of_batch)
            views = await self._jobs.order(caller(), orders)
            results = await each(
                views, lambda view: Result(job=job_to_message(view, self._public_urls))
            )
        else:
            results = [await self._result(single) for single in request.requests]
        return processing_service_pb2.BatchProcessMediaResponse(results=results)

    async def ListOperations(  # noqa: N802
        self, request: processing_service_pb2.ListOperationsRequest, context: Context
    ) -> processing_service_pb2.ListOperationsResponse:
        return processing_service_pb2.ListOperationsResponse(
            operations=[manual_to_message(manual) for manual in catalogue()]
        )

    async def _process(self, request: Request) -> job_pb2.Job:
        (view,) = await self._jobs.order(caller(), [self._order(request)])
        return job_to_message(view, self._public_urls)

    async def _result(self, request: Request) -> Result:
        try:
            return Result(job=await self._process(request))
        except Exception as error:
            return Result(error=status_of(error))

    def _order_of_batch(self, numbered: tuple[int, Request]) -> Order:
        index, request = numbered
        with part(index):
            return self._order(request)

    def _order(self, request: Request) -> Order:
        """Raises as `pipeline_from`, and InvalidArgument (INVALID_FIELD)."""
        pipeline = pipeline_from(request)
        check_name(request.rendition_name, pipeline, self._reserved)
        return Order(
            media_id=request.media_id.lower(),
            plan=pipeline,
            rendition=request.rendition_name,
            priority=Priority(request.priority or Priority.NORMAL),
            request_id=request.request_id.lower() or None,
        )


def pipeline_from(request: Request) -> Pipeline:
    """The pipeline, in one of its two forms. Raises InvalidArgument (INVALID_OPERATIONS),
    FailedPrecondition (OPERATION_NOT_APPLICABLE)."""
    if bool(request.ops) == bool(request.operations):
        why = "is required" if not request.ops else "cannot be combined with `operations`"
        raise InvalidArgument(
            Reason.INVALID_OPERATIONS,
            "Set the pipeline either as `operations` or as `ops`.",
            (("ops", why),),
        )
    return (
        requested_pipeline(parse(request.ops))
        if request.ops
        else requested_pipeline(request.operations, "operations")
    )


def check_name(name: str, pipeline: Pipeline, reserved: Collection[str]) -> None:
    """Raises InvalidArgument (INVALID_FIELD) if the pipeline cannot render a rendition of this
    name. An empty name is replaced by a derived one."""
    if pipeline.makes_stream:
        if name not in {"", STREAM}:
            raise bad_name(f'must be empty or "{STREAM}" if the pipeline ends with `stream`')
        return
    if name in {*reserved, STREAM}:
        names = ", ".join([*reserved, STREAM])
        raise bad_name(f"must not be one of the reserved names: {names}")
    suffix = pipeline.companion_suffix
    if len(name + suffix) > LONGEST_NAME:
        raise bad_name(
            f"must have at most {LONGEST_NAME - len(suffix)} characters: a second rendition gets"
            f" the same name with {suffix} appended"
        )


def bad_name(why: str) -> InvalidArgument:
    return invalid_fields([("rendition_name", why)])


PARAMETER_TYPES = {
    "int": processing_service_pb2.ParameterInfo.INTEGER,
    "float": processing_service_pb2.ParameterInfo.NUMBER,
    "bool": processing_service_pb2.ParameterInfo.BOOLEAN,
    "string": processing_service_pb2.ParameterInfo.STRING,
    "enum": processing_service_pb2.ParameterInfo.ENUM,
}


def manual_to_message(manual: OperationManual) -> processing_service_pb2.OperationInfo:
    return processing_service_pb2.OperationInfo(
        name=manual.name,
        description=manual.description,
        example=manual.example,
        kinds=[media_pb2.Media.Kind.Value(kind) for kind in manual.input_kinds],
        output=media_pb2.Media.Kind.Value(manual.output_kind or "KIND_UNSPECIFIED"),
        terminal=manual.ends_pipeline,
        parameters=[
            processing_service_pb2.ParameterInfo(
                name=parameter.name,
                type=PARAMETER_TYPES[parameter.kind],
                description=parameter.description,
                default_value=parameter.default,
                min_value=parameter.minimum,
                max_value=parameter.maximum,
                values=parameter.values,
            )
            for parameter in manual.parameters
        ],
    )
