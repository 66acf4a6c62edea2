"""ProcessingService: messages in, service calls, messages out."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from mediaservice.v1 import (
    job_pb2,
    media_pb2,
    processing_service_pb2,
    processing_service_pb2_grpc,
)

from media_service.codecs.pipeline.catalogue import OperationManual, catalogue
from media_service.codecs.pipeline.operation_fields import with_defaults
from media_service.codecs.pipeline.pipeline import Pipeline, requested_pipeline
from media_service.codecs.pipeline.text_form import parse_text
from media_service.codecs.pipeline.validation import parse
from media_service.errors import InvalidArgument, MediaError, Reason
from media_service.jobs.model import JobKind, JobState, Priority
from media_service.media.model import STREAM
from media_service.media.paging import decode_token, encode_token, fingerprint
from media_service.renditions.service import JobService, JobView, Order
from media_service.rpc.caller import caller
from media_service.rpc.checks import invalid_fields
from media_service.rpc.convert import rendition_to_message, timestamp
from media_service.rpc.pages import each, page
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.status import fault_status

DEFAULT_PAGE = 50
JOB_KEY = [datetime, UUID]

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# Of a rendition's name.
MOST_LETTERS = 64


class ProcessingServicer(processing_service_pb2_grpc.ProcessingServiceServicer):
    """`public_urls`: where anybody reads what is public. `standard`: names of renditions
    that media get by themselves."""

    def __init__(
        self, jobs: JobService, public_urls: PublicUrls, standard: Collection[str]
    ) -> None:
        self._jobs = jobs
        self._public_urls = public_urls
        self._standard = standard

    async def ProcessMedia(  # noqa: N802
        self, request: processing_service_pb2.ProcessMediaRequest, context: Context
    ) -> job_pb2.Job:
        (job,) = await self._jobs.order(caller(), [self._order(request)])
        return self._message(job)

    async def BatchProcessMedia(  # noqa: N802
        self, request: processing_service_pb2.BatchProcessMediaRequest, context: Context
    ) -> processing_service_pb2.BatchProcessMediaResponse:
        orders = await each(enumerate(request.requests), self._order_of_batch)
        jobs = await self._jobs.order(caller(), orders)
        return processing_service_pb2.BatchProcessMediaResponse(
            jobs=await each(jobs, self._message)
        )

    async def GetJob(  # noqa: N802
        self, request: processing_service_pb2.GetJobRequest, context: Context
    ) -> job_pb2.Job:
        return self._message(await self._jobs.get(caller(), request.job_id.lower()))

    async def ListJobs(  # noqa: N802
        self, request: processing_service_pb2.ListJobsRequest, context: Context
    ) -> processing_service_pb2.ListJobsResponse:
        media_id = request.media_id.lower() or None
        state = JobState(job_pb2.Job.State.Name(request.state)) if request.state else None
        kind = JobKind(job_pb2.Job.Type.Name(request.type)) if request.type else None
        query = fingerprint("jobs", caller().owner, media_id, state, kind)
        after = None
        if request.page_token:
            after = tuple(decode_token(request.page_token, query, JOB_KEY))
        size = request.page_size or DEFAULT_PAGE
        found = await self._jobs.list_jobs(
            caller(), media_id=media_id, state=state, kind=kind, after=after, limit=size + 1
        )
        jobs, next_page_token = await page(
            found,
            size,
            self._message,
            lambda view: encode_token(query, [view.job.create_time, view.job.job_id]),
        )
        return processing_service_pb2.ListJobsResponse(jobs=jobs, next_page_token=next_page_token)

    async def WatchJob(  # type: ignore[override]  # noqa: N802
        self, request: processing_service_pb2.WatchJobRequest, context: Context
    ) -> None:
        async for job in self._jobs.watch(caller(), request.job_id.lower()):
            await context.write(self._message(job))

    async def CancelJob(  # noqa: N802
        self, request: processing_service_pb2.CancelJobRequest, context: Context
    ) -> job_pb2.Job:
        return self._message(await self._jobs.cancel(caller(), request.job_id.lower()))

    async def RetryJob(  # noqa: N802
        self, request: processing_service_pb2.RetryJobRequest, context: Context
    ) -> job_pb2.Job:
        return self._message(await self._jobs.retry(caller(), request.job_id.lower()))

    async def ListOperations(  # noqa: N802
        self, request: processing_service_pb2.ListOperationsRequest, context: Context
    ) -> processing_service_pb2.ListOperationsResponse:
        return processing_service_pb2.ListOperationsResponse(
            operations=[manual_to_message(manual) for manual in catalogue()]
        )

    def _message(self, view: JobView) -> job_pb2.Job:
        return job_to_message(view, self._public_urls)

    def _order(self, request: processing_service_pb2.ProcessMediaRequest) -> Order:
        """Raises as `plan_from`, and InvalidArgument (INVALID_FIELD)."""
        plan = plan_from(request)
        if plan.makes_stream and request.rendition not in {"", STREAM}:
            raise invalid_fields([("rendition", f"must be {STREAM}, or left out, of a stream")])
        if not plan.makes_stream and request.rendition in {*self._standard, STREAM}:
            names = ", ".join([*self._standard, STREAM])
            raise invalid_fields(
                [("rendition", f"must be none of {names}, which media get by themselves")]
            )
        suffix = plan.companion_suffix
        if len(request.rendition + suffix) > MOST_LETTERS:
            what = f"must have at most {MOST_LETTERS - len(suffix)} characters"
            why = f"a second rendition gets the same name with {suffix} appended"
            raise invalid_fields([("rendition", f"{what}: {why}")])
        return Order(
            media_id=request.media_id.lower(),
            plan=plan,
            rendition=request.rendition,
            priority=Priority(request.priority or Priority.NORMAL),
            request_id=request.request_id.lower() or None,
        )

    def _order_of_batch(
        self, part: tuple[int, processing_service_pb2.ProcessMediaRequest]
    ) -> Order:
        place, request = part
        with telling(f"requests[{place}]"):
            return self._order(request)


@contextmanager
def telling(place: str) -> Iterator[None]:
    """Errors say in which part of a request they are."""
    try:
        yield
    except MediaError as error:
        error.message = f"{place}: {error.message}"
        if isinstance(error, InvalidArgument):
            error.fields = tuple((f"{place}.{field}", what) for field, what in error.fields)
        raise


def plan_from(request: processing_service_pb2.ProcessMediaRequest) -> Pipeline:
    """The pipeline, in one of its two forms. Raises InvalidArgument (INVALID_OPERATIONS),
    FailedPrecondition (OPERATION_NOT_APPLICABLE)."""
    if bool(request.ops) == bool(request.operations):
        why = "must be set" if not request.ops else "cannot be set beside `operations`"
        raise InvalidArgument(
            Reason.INVALID_OPERATIONS,
            "Give the pipeline either as `operations` or as `ops`.",
            (("ops", why),),
        )
    return (
        requested_pipeline(parse(request.ops))
        if request.ops
        else requested_pipeline(request.operations, "operations")
    )


def job_to_message(view: JobView, public_urls: PublicUrls) -> job_pb2.Job:
    """`public_urls`: as in `media_to_message`."""
    job = view.job
    message = job_pb2.Job(
        job_id=job.job_id,
        media_id=job.media_id,
        type=job_pb2.Job.Type.Value(job.kind),
        state=job_pb2.Job.State.Value(job.state),
        priority=job_pb2.Job.Priority.Value(job.priority.name),
        progress_percent=job.progress_percent,
        stage=job.stage,
        attempt=job.attempt,
        create_time=timestamp(job.create_time),
        update_time=timestamp(job.update_time),
    )
    if job.fault:
        message.error.CopyFrom(fault_status(job.fault.reason, job.fault.message))
    if job.start_time:
        message.start_time.CopyFrom(timestamp(job.start_time))
    if job.end_time:
        message.end_time.CopyFrom(timestamp(job.end_time))
    if job.kind is JobKind.PROCESS:
        message.operations.extend(
            with_defaults(operation) for operation in parse_text(job.pipeline)
        )
        message.rendition.name = job.rendition
    if view.media and view.rendition:
        message.rendition.CopyFrom(rendition_to_message(view.media, view.rendition, public_urls))
    return message


def manual_to_message(manual: OperationManual) -> processing_service_pb2.OperationInfo:
    return processing_service_pb2.OperationInfo(
        name=manual.name,
        description=manual.description,
        example=manual.example,
        kinds=[media_pb2.Media.Kind.Value(kind) for kind in manual.kinds],
        makes=media_pb2.Media.Kind.Value(manual.makes or "KIND_UNSPECIFIED"),
        last=manual.last,
        parameters=[
            processing_service_pb2.ParameterInfo(
                name=parameter.name,
                type=parameter.kind,
                description=parameter.description,
                default_value=parameter.default,
                min=parameter.least,
                max=parameter.most,
                values=parameter.values,
            )
            for parameter in manual.parameters
        ],
    )
