"""Calls of ProcessingService and JobService."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from google.rpc import error_details_pb2
from mediaservice.v1 import (
    download_service_pb2,
    job_pb2,
    job_service_pb2,
    media_pb2,
    operation_pb2,
    processing_service_pb2,
    upload_pb2,
)

from tests.support.rpc.server import Caller, Running

Job = job_pb2.Job

Operation = operation_pb2.Operation

Request = processing_service_pb2.ProcessMediaRequest

Result = processing_service_pb2.BatchProcessMediaResponse.Result


async def process(caller: Caller, media_id: str, ops: str, **fields: Any) -> Job:
    request = Request(media_id=media_id, ops=ops, **fields)
    return await caller.call(caller.processing.ProcessMedia, request)


async def reprocess(caller: Caller, media_id: str, request_id: str = "") -> Job:
    request = processing_service_pb2.ReprocessMediaRequest(media_id=media_id, request_id=request_id)
    return await caller.call(caller.processing.ReprocessMedia, request)


async def batch(caller: Caller, *requests: Request, atomic: bool = False) -> list[Result]:
    request = processing_service_pb2.BatchProcessMediaRequest(requests=requests, atomic=atomic)
    return list((await caller.call(caller.processing.BatchProcessMedia, request)).results)


async def get(caller: Caller, job_id: str) -> Job:
    request = job_service_pb2.GetJobRequest(job_id=job_id)
    return await caller.call(caller.jobs.GetJob, request)


async def listed(caller: Caller, **fields: Any) -> list[Job]:
    request = job_service_pb2.ListJobsRequest(**fields)
    return list((await caller.call(caller.jobs.ListJobs, request)).jobs)


async def cancel(caller: Caller, job_id: str) -> Job:
    request = job_service_pb2.CancelJobRequest(job_id=job_id)
    return await caller.call(caller.jobs.CancelJob, request)


async def retry(caller: Caller, job_id: str) -> Job:
    request = job_service_pb2.RetryJobRequest(job_id=job_id)
    return await caller.call(caller.jobs.RetryJob, request)


async def watch(caller: Caller, job_id: str) -> AsyncIterator[Job]:
    request = job_service_pb2.WatchJobRequest(job_id=job_id)
    async for job in caller.jobs.WatchJob(request, metadata=caller.metadata):
        yield job


async def until(caller: Caller, job_id: str, is_it: Callable[[Job], bool]) -> Job:
    async with asyncio.timeout(60):
        async for job in watch(caller, job_id):
            if is_it(job):
                return job
    raise AssertionError("the watch ended before the condition held")


async def ended(caller: Caller, job_id: str) -> Job:
    return [job async for job in watch(caller, job_id)][-1]


async def rendition(caller: Caller, media_id: str, name: str) -> bytes:
    request = download_service_pb2.DownloadRequest(media_id=media_id, rendition=name)
    call = caller.downloads.Download(request, metadata=caller.metadata)
    return b"".join([message.data async for message in call])


def reason(failed: Job | Result | upload_pb2.Upload) -> str:
    """The reason of the failure."""
    return str(error_info(failed).reason)


def error_info(
    failed: Job | Result | media_pb2.Media | upload_pb2.Upload,
) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert failed.error.details[0].Unpack(info)
    return info


async def execute(service: Running, statement: str, *params: Any) -> None:
    async with service.database() as db:
        await db.execute(statement.encode(), params)
