"""Servicer of JobService: converts messages and calls the use cases."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from mediaservice.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from media_service.access.page_tokens import PageTokens
from media_service.jobs.model import Job, JobKind, JobState
from media_service.jobs.service import JobService
from media_service.renditions.results import JobResult, JobResults
from media_service.rpc import http
from media_service.rpc.caller import caller
from media_service.rpc.convert import owner_from
from media_service.rpc.idempotency import request_key
from media_service.rpc.job_message import job_to_message
from media_service.rpc.pagination import page, page_size
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.server_sent_events import send_events
from media_service.rpc.watch_limiter import WatchLimiter

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

PAGE_KEY = [datetime, UUID]
JobAndResult: TypeAlias = tuple[Job, JobResult | None]


class JobServicer(job_service_pb2_grpc.JobServiceServicer):
    """`public_urls`: the URLs of public content."""

    def __init__(
        self,
        jobs: JobService,
        results: JobResults,
        watches: WatchLimiter,
        page_tokens: PageTokens,
        public_urls: PublicUrls,
    ) -> None:
        self._jobs = jobs
        self._results = results
        self._watches = watches
        self._page_tokens = page_tokens
        self._public_urls = public_urls

    async def GetJob(  # noqa: N802
        self, request: job_service_pb2.GetJobRequest, context: Context
    ) -> job_pb2.Job:
        return await self._response(await self._jobs.get(caller(), request.job_id.lower()))

    async def ListJobs(  # noqa: N802
        self, request: job_service_pb2.ListJobsRequest, context: Context
    ) -> job_service_pb2.ListJobsResponse:
        media_id = request.media_id.lower() or None
        state = JobState(job_pb2.Job.State.Name(request.state)) if request.state else None
        kind = JobKind(job_pb2.Job.Type.Name(request.type)) if request.type else None
        owner = owner_from(request.owner) if request.HasField("owner") else None
        project_id = request.project_id or None
        query = ("jobs", caller().owner, media_id, state, kind, owner, project_id)
        after = None
        if request.page_token:
            after = tuple(self._page_tokens.open(query, request.page_token, PAGE_KEY))
        size = page_size(request.page_size)
        found = await self._jobs.list_jobs(
            caller(),
            media_id=media_id,
            state=state,
            kind=kind,
            owner=owner,
            project_id=project_id,
            after=after,
            limit=size + 1,
        )
        jobs, next_page_token = await page(
            list(zip(found, await self._results.of_many(found), strict=True)),
            size,
            self._message,
            lambda last: self._page_tokens.seal(query, [last[0].create_time, last[0].job_id]),
        )
        return job_service_pb2.ListJobsResponse(jobs=jobs, next_page_token=next_page_token)

    async def WatchJob(  # type: ignore[override]  # noqa: N802
        self, request: job_service_pb2.WatchJobRequest, context: Context
    ) -> None:
        await self._watches.run(
            self._states(request.job_id), lambda state: context.write(self._message(state))
        )

    async def WatchJobEvents(  # type: ignore[override]  # noqa: N802
        self, request: job_service_pb2.WatchJobEventsRequest, context: Context
    ) -> None:
        await send_events(
            context,
            self._watches,
            "job",
            self._states(request.job_id),
            self._message,
            lambda state: state[0].state.final,
        )

    async def CancelJob(  # noqa: N802
        self, request: job_service_pb2.CancelJobRequest, context: Context
    ) -> job_pb2.Job:
        return await self._response(await self._jobs.cancel(caller(), request.job_id.lower()))

    async def RetryJob(  # noqa: N802
        self, request: job_service_pb2.RetryJobRequest, context: Context
    ) -> job_pb2.Job:
        content = job_service_pb2.RetryJobRequest(job_id=request.job_id.lower())
        headers = http.request_headers(context)
        key = request_key(headers, "RetryJob", request.request_id, content)
        return await self._response(await self._jobs.retry(caller(), content.job_id, key))

    async def _states(self, job_id: str) -> AsyncGenerator[JobAndResult, None]:
        async with aclosing(self._jobs.watch(caller(), job_id.lower())) as jobs:
            async for job in jobs:
                yield job, await self._results.of(job)

    async def _response(self, job: Job) -> job_pb2.Job:
        return self._message((job, await self._results.of(job)))

    def _message(self, state: JobAndResult) -> job_pb2.Job:
        return job_to_message(*state, self._public_urls)
