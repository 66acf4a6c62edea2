"""JobService: messages in, service calls, messages out."""

from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from mediaservice.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from media_service.access.page_tokens import PageTokens
from media_service.jobs.model import JobKind, JobState
from media_service.renditions.service import JobService, JobView
from media_service.rpc.caller import caller
from media_service.rpc.convert import owner_from
from media_service.rpc.job_message import job_to_message
from media_service.rpc.pages import page, page_size
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.server_sent_events import send_events
from media_service.rpc.watches import Watches

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

PAGE_KEY = [datetime, UUID]


class JobServicer(job_service_pb2_grpc.JobServiceServicer):
    """`public_urls`: where anybody reads what is public."""

    def __init__(
        self,
        jobs: JobService,
        watches: Watches,
        page_tokens: PageTokens,
        public_urls: PublicUrls,
    ) -> None:
        self._jobs = jobs
        self._watches = watches
        self._page_tokens = page_tokens
        self._public_urls = public_urls

    async def GetJob(  # noqa: N802
        self, request: job_service_pb2.GetJobRequest, context: Context
    ) -> job_pb2.Job:
        return self._message(await self._jobs.get(caller(), request.job_id.lower()))

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
            found,
            size,
            self._message,
            lambda view: self._page_tokens.seal(query, [view.job.create_time, view.job.job_id]),
        )
        return job_service_pb2.ListJobsResponse(jobs=jobs, next_page_token=next_page_token)

    async def WatchJob(  # type: ignore[override]  # noqa: N802
        self, request: job_service_pb2.WatchJobRequest, context: Context
    ) -> None:
        states = self._jobs.watch(caller(), request.job_id.lower())
        await self._watches.run(states, lambda view: context.write(self._message(view)))

    async def WatchJobEvents(  # type: ignore[override]  # noqa: N802
        self, request: job_service_pb2.WatchJobEventsRequest, context: Context
    ) -> None:
        states = self._jobs.watch(caller(), request.job_id.lower())
        await send_events(
            context,
            self._watches,
            "job",
            states,
            self._message,
            lambda view: view.job.state.final,
        )

    async def CancelJob(  # noqa: N802
        self, request: job_service_pb2.CancelJobRequest, context: Context
    ) -> job_pb2.Job:
        return self._message(await self._jobs.cancel(caller(), request.job_id.lower()))

    async def RetryJob(  # noqa: N802
        self, request: job_service_pb2.RetryJobRequest, context: Context
    ) -> job_pb2.Job:
        return self._message(await self._jobs.retry(caller(), request.job_id.lower()))

    def _message(self, view: JobView) -> job_pb2.Job:
        return job_to_message(view, self._public_urls)
