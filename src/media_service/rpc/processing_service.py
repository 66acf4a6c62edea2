"""Servicer of ProcessingService: converts messages and calls the use cases."""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any, TypeAlias

import grpc
from mediaservice.v1 import (
    batch_service_pb2,
    job_pb2,
    media_pb2,
    processing_service_pb2,
    processing_service_pb2_grpc,
)

from media_service.codecs.pipeline.catalogue import OperationManual, catalogue
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.codecs.pipeline.validation import parsed_pipeline, requested_pipeline
from media_service.errors import InvalidArgument, MediaError, Reason
from media_service.idempotency.model import RequestKey
from media_service.jobs.model import Job, Priority
from media_service.media.model import STREAM
from media_service.renditions.processing import ProcessingService, RenditionRequest
from media_service.renditions.results import JobResult, JobResults
from media_service.renditions.standard import StandardRenditions
from media_service.rpc import http
from media_service.rpc.batch import request_at
from media_service.rpc.caller import caller
from media_service.rpc.error_status import to_status
from media_service.rpc.field_validation import invalid_fields
from media_service.rpc.idempotency import header_key, item_keys, key_of, request_key
from media_service.rpc.job_message import job_to_message
from media_service.rpc.pagination import each
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.rest_names import RestNames

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Request: TypeAlias = processing_service_pb2.ProcessMediaRequest
Selected: TypeAlias = batch_service_pb2.BatchProcessSelectedMediaRequest
Result: TypeAlias = processing_service_pb2.BatchProcessMediaResponse.Result

LONGEST_NAME = 64  # characters of a rendition's name
# The method that keys of its requests belong to, also in a batch.
PROCESS = "ProcessMedia"
# Bytes of all pipelines of a batch, in the response. All else in a thousand results fits into the
# 2 MiB that are left of a message.
MAX_PIPELINES_SIZE = 1 << 20


class ProcessingServicer(processing_service_pb2_grpc.ProcessingServiceServicer):
    """`public_urls`: the URLs of public content. `reserved`: the names of standard renditions,
    which requests may not use."""

    def __init__(
        self,
        processing: ProcessingService,
        standard: StandardRenditions,
        results: JobResults,
        public_urls: PublicUrls,
        reserved: Collection[str],
    ) -> None:
        self._processing = processing
        self._standard = standard
        self._results = results
        self._public_urls = public_urls
        self._reserved = reserved

    async def ProcessMedia(self, request: Request, context: Context) -> job_pb2.Job:  # noqa: N802
        headers = http.request_headers(context)
        key = request_key(headers, PROCESS, request.request_id, content_of(request))
        (job,) = await self._processing.start(caller(), [self._checked(request, key)])
        assert isinstance(job, Job)  # noqa: S101 - a refusal is raised
        return job_to_message(job, await self._results.of(job), self._public_urls)

    async def ReprocessMedia(  # noqa: N802
        self, request: processing_service_pb2.ReprocessMediaRequest, context: Context
    ) -> job_pb2.Job:
        media_id = request.media_id.lower()
        content = processing_service_pb2.ReprocessMediaRequest(media_id=media_id)
        headers = http.request_headers(context)
        key = request_key(headers, "ReprocessMedia", request.request_id, content)
        job = await self._standard.reprocess(caller(), media_id, key)
        return job_to_message(job, await self._results.of(job), self._public_urls)

    async def BatchProcessMedia(  # noqa: N802
        self, request: processing_service_pb2.BatchProcessMediaRequest, context: Context
    ) -> processing_service_pb2.BatchProcessMediaResponse:
        header = header_key(http.request_headers(context))
        ids = item_keys(header, [single.request_id for single in request.requests])
        numbered = zip(range(len(ids)), request.requests, ids, strict=True)
        check = self._checked_in_batch if request.atomic else self._checked_or_refused
        checked = await each(numbered, lambda item: check(*item))
        accepted = [one for one in checked if isinstance(one, RenditionRequest)]
        check_pipelines_size(await each(accepted, pipeline_size))
        started = await self._processing.start(caller(), accepted, atomic=request.atomic)
        found = await self._results.of_many([job for job in started if isinstance(job, Job)])
        jobs, results = iter(started), iter(found)
        outcomes: list[tuple[Job, JobResult | None] | MediaError] = []
        for one in checked:
            outcome = next(jobs) if isinstance(one, RenditionRequest) else one
            outcomes.append((outcome, next(results)) if isinstance(outcome, Job) else outcome)
        return processing_service_pb2.BatchProcessMediaResponse(
            results=await each(outcomes, partial(self._result, rest=http.is_rest(context)))
        )

    async def ListOperations(  # noqa: N802
        self, request: processing_service_pb2.ListOperationsRequest, context: Context
    ) -> processing_service_pb2.ListOperationsResponse:
        return processing_service_pb2.ListOperationsResponse(
            operations=[manual_to_message(manual) for manual in catalogue()]
        )

    def _result(self, outcome: tuple[Job, JobResult | None] | MediaError, rest: bool) -> Result:
        if isinstance(outcome, MediaError):
            return Result(error=to_status(REST_NAMES.in_error(outcome) if rest else outcome))
        return Result(job=job_to_message(*outcome, self._public_urls))

    def _checked_in_batch(self, index: int, request: Request, key: str) -> RenditionRequest:
        with request_at(index):
            return self._checked(request, key_of(PROCESS, key, content_of(request)))

    def _checked_or_refused(
        self, _: int, request: Request, key: str
    ) -> RenditionRequest | MediaError:
        try:
            return self._checked(request, key_of(PROCESS, key, content_of(request)))
        except MediaError as error:
            return error

    def _checked(self, request: Request, key: RequestKey | None) -> RenditionRequest:
        """Raises as `pipeline_from`, and InvalidArgument (INVALID_FIELD)."""
        pipeline = pipeline_from(request)
        check_name(request.rendition_name, pipeline, self._reserved)
        return RenditionRequest(
            request.media_id.lower(),
            pipeline,
            request.rendition_name,
            Priority(request.priority or Priority.NORMAL),
            key,
        )


def content_of(request: Request) -> Request:
    """What must be the same in every request with the same key."""
    content = Request()
    content.CopyFrom(request)
    content.ClearField("request_id")
    content.media_id = content.media_id.lower()
    return content


def check_pipelines_size(sizes: Iterable[int]) -> None:
    """Raises InvalidArgument (INVALID_FIELD) if the response could not hold all pipelines."""
    if (size := sum(sizes)) > MAX_PIPELINES_SIZE:
        why = (
            f"must have pipelines of at most {MAX_PIPELINES_SIZE} bytes in all, with their"
            f" defaults; these have {size}. Send fewer requests at a time"
        )
        raise invalid_fields([("requests", why)])


def pipeline_size(request: RenditionRequest) -> int:
    """The size of a pipeline in the message of its job."""
    return job_pb2.Job(operations=request.pipeline.operations).ByteSize()


def pipeline_from(request: Request | Selected) -> Pipeline:
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
        parsed_pipeline(request.ops)
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


# Of a request in a batch.
REST_NAMES = RestNames.of(Request.DESCRIPTOR, job_pb2.Job.DESCRIPTOR, "*")
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
