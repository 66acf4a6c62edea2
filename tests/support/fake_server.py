"""A fake server with the contract's methods in memory and injectable faults, for client tests."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from crc32c import crc32c as crc32c_of
from google.protobuf import empty_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from mediaservice.v1 import (
    batch_service_pb2_grpc,
    download_service_pb2,
    download_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    media_pb2,
    media_service_pb2,
    media_service_pb2_grpc,
    processing_service_pb2,
    processing_service_pb2_grpc,
    upload_pb2,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

from media_service.ids import new_id
from tests.support.fake_batches import FakeBatches

Upload = upload_pb2.Upload
CHECKPOINT = 300_000  # bytes; those after the last checkpoint are lost when a stream breaks


@dataclass(frozen=True)
class Fault:
    """Strikes one call after `after` bytes, or after the upload is finished.

    `kind` is a reason (the call ends with it), a gRPC code (the transport's), or one of `early`
    (the stream ends without a finish), `forget` (the session is gone), `verify` and `damage`.
    """

    kind: str
    after: int = 0
    at_finish: bool = False
    retry_after: float | None = None

    def strikes_after(self, size: int) -> bool:
        """Whether it ends a write that has sent `size` bytes."""
        return self.kind != "verify" and not self.at_finish and size > self.after


CODES = {
    "OFFSET_MISMATCH": code_pb2.OUT_OF_RANGE,
    "CHECKSUM_MISMATCH": code_pb2.INVALID_ARGUMENT,
    "SUPERSEDED": code_pb2.ABORTED,
    "UPLOAD_NOT_FOUND": code_pb2.NOT_FOUND,
    "IDEMPOTENCY_IN_PROGRESS": code_pb2.ABORTED,
    "UPLOAD_NOT_ACTIVE": code_pb2.FAILED_PRECONDITION,
    "TYPE_NOT_ALLOWED": code_pb2.INVALID_ARGUMENT,
    "INVALID_FIELD": code_pb2.INVALID_ARGUMENT,
    "STREAM_TOO_SLOW": code_pb2.DEADLINE_EXCEEDED,
    "INVALID_OPERATIONS": code_pb2.INVALID_ARGUMENT,
    "JOB_NOT_FOUND": code_pb2.NOT_FOUND,
    "JOB_NOT_RETRYABLE": code_pb2.FAILED_PRECONDITION,
    "BUSY": code_pb2.RESOURCE_EXHAUSTED,
    "ETAG_MISMATCH": code_pb2.ABORTED,
    "MEDIA_NOT_FOUND": code_pb2.NOT_FOUND,
    "RENDITION_NOT_FOUND": code_pb2.NOT_FOUND,
    "TOKEN_MISSING": code_pb2.UNAUTHENTICATED,
    "DATABASE_UNAVAILABLE": code_pb2.UNAVAILABLE,
}


def status(
    reason: str, message: str = "", retry_after: float | None = None, **facts: str
) -> status_pb2.Status:
    result = status_pb2.Status(code=CODES[reason], message=message or f"it is {reason}")
    info = error_details_pb2.ErrorInfo(
        reason=reason, domain="mediaservice", metadata=facts or {"key": "value"}
    )
    result.details.add().Pack(info)
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMicroseconds(int(retry_after * 1e6))
        result.details.add().Pack(retry)
    if reason == "INVALID_FIELD":
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(field="title", description="too long")
        result.details.add().Pack(bad)
    return result


def abort(
    context: grpc.ServicerContext, kind: str, retry_after: float | None = None, **facts: str
) -> None:
    if kind in CODES:
        error = status(kind, retry_after=retry_after, **facts)
        context.abort_with_status(rpc_status.to_status(error))
    context.abort(grpc.StatusCode[kind], "injected")


@dataclass
class Session:
    spec: upload_pb2.UploadSpec
    state: int = Upload.ACTIVE
    data: bytearray = field(default_factory=bytearray)
    media: media_pb2.Media | None = None
    error: status_pb2.Status | None = None
    looks: int = 0  # how often the session was read during verification


class Fake(
    upload_service_pb2_grpc.UploadServiceServicer,
    download_service_pb2_grpc.DownloadServiceServicer,
    media_service_pb2_grpc.MediaServiceServicer,
    processing_service_pb2_grpc.ProcessingServiceServicer,
    job_service_pb2_grpc.JobServiceServicer,
):
    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.keys: dict[str, str] = {}  # request id → the upload it created
        self.renditions: dict[str, bytes] = {}
        self.stored: dict[str, tuple[media_pb2.Media, bytes]] = {}
        self.jobs: dict[str, job_pb2.Job] = {}
        self.requests: dict[str, str] = {}  # request id → the job it created
        self.faults: dict[str, deque[Fault]] = {}
        self.calls: list[str] = []
        self.offsets: list[int] = []  # the offset at which each WriteUpload started
        self.tokens: list[str] = []
        self.sends_ids = True  # in headers, before a stream breaks
        self.stores = 0  # the number of finished uploads
        self.after_bytes: dict[
            int, Callable[[], object]
        ] = {}  # offset of a write → a callback at that point

    def inject(self, method: str, *faults: Fault) -> None:
        self.faults.setdefault(method, deque()).extend(faults)

    def _enter(self, method: str, context: grpc.ServicerContext) -> Fault | None:
        self.calls.append(method)
        metadata = dict(context.invocation_metadata())
        self.tokens.append(str(metadata.get("authorization", "")))
        if self.tokens[-1] != "Bearer secret":
            abort(context, "TOKEN_MISSING")
        waiting = self.faults.get(method)
        return waiting.popleft() if waiting else None

    def _unary(self, method: str, context: grpc.ServicerContext) -> Fault | None:
        fault = self._enter(method, context)
        if fault and not fault.at_finish:
            abort(context, fault.kind, fault.retry_after)
        return fault

    # Uploads

    def _view(self, upload_id: str) -> Upload:
        session = self.sessions[upload_id]
        size = len(session.data) if session.state != Upload.ACTIVE else self._durable(session)
        return Upload(
            upload_id=upload_id,
            state=session.state,  # type: ignore[arg-type]
            spec=session.spec,
            committed_size_bytes=size,
            media=session.media,
            error=session.error,
        )

    @staticmethod
    def _durable(session: Session) -> int:
        size = len(session.data)
        return size if size == session.spec.size_bytes else size - size % CHECKPOINT

    def _open(
        self, first: upload_service_pb2.WriteUploadRequest, context: grpc.ServicerContext
    ) -> str:
        upload_id = first.upload_id
        if first.WhichOneof("target") == "spec":
            upload_id = self.keys.setdefault(first.request_id, new_id())
            self.sessions.setdefault(upload_id, Session(first.spec))
            assert self.sessions[upload_id].spec == first.spec
        session = self.sessions.get(upload_id)
        if session is None:
            abort(context, "UPLOAD_NOT_FOUND")
        elif session.state != Upload.ACTIVE and not (first.spec and session.media):
            abort(context, "UPLOAD_NOT_ACTIVE", upload_id=upload_id)
        if self.sends_ids:
            context.send_initial_metadata((("x-upload-id", upload_id),))
        return upload_id

    def WriteUpload(  # noqa: N802, C901
        self,
        request_iterator: Iterator[upload_service_pb2.WriteUploadRequest],
        context: grpc.ServicerContext,
    ) -> Upload:
        fault = self._enter("WriteUpload", context)
        upload_id = ""
        taken = 0
        for message in request_iterator:
            if not upload_id:
                self.offsets.append(message.offset)
                if fault and not fault.after and not fault.at_finish and fault.kind != "verify":
                    break
                upload_id = self._open(message, context)
                session = self.sessions[upload_id]
                if session.media:
                    return self._view(upload_id)
                del session.data[self._durable(session) :]
            if message.offset != len(session.data):
                abort(context, "OFFSET_MISMATCH", upload_id=upload_id)
            data = message.data
            assert crc32c_of(data) == message.crc32c
            if fault and fault.strikes_after(taken + len(data)):
                session.data += data[: fault.after - taken]
                break
            session.data += data
            taken += len(data)
            if meanwhile := self.after_bytes.pop(len(session.data), None):
                meanwhile()
            if message.finish:
                self._finish(upload_id, message.checksums.crc32c, fault, context)
                return self._view(upload_id)
        if fault is None:
            return self._view(upload_id)
        if fault.kind == "early":
            return self._view(upload_id) if upload_id else Upload(state=Upload.ACTIVE)
        if fault.kind == "forget":
            self.sessions.pop(upload_id, None)
            self.keys.clear()
        abort(context, "UNAVAILABLE" if fault.kind == "forget" else fault.kind, fault.retry_after)
        raise AssertionError

    def _finish(
        self, upload_id: str, crc: int, fault: Fault | None, context: grpc.ServicerContext
    ) -> None:
        session = self.sessions[upload_id]
        data = bytes(session.data)
        assert len(data) == session.spec.size_bytes
        if crc32c_of(data) != crc or (fault and fault.kind == "TYPE_NOT_ALLOWED"):
            reason = fault.kind if fault else "CHECKSUM_MISMATCH"
            session.state, session.error = Upload.FAILED, status(reason)
            abort(context, reason)
        if fault and fault.kind == "verify":
            session.state = Upload.VERIFYING
            return
        self.finish(upload_id)
        if fault and fault.at_finish:
            abort(context, fault.kind)

    def finish(self, upload_id: str) -> None:
        session = self.sessions[upload_id]
        session.media = self.store(bytes(session.data), upload_id, session.spec.filename)
        session.state = Upload.FINISHED

    def store(self, data: bytes, media_id: str, filename: str = "") -> media_pb2.Media:
        self.stores += 1
        media = media_pb2.Media(
            media_id=media_id,
            size_bytes=len(data),
            filename=filename,
            content_type="image/png",
            state=media_pb2.Media.READY,
            etag="1",
        )
        media.checksums.crc32c = crc32c_of(data)
        self.stored[media_id] = (media, data)
        return media

    def GetUpload(  # noqa: N802
        self, request: upload_service_pb2.GetUploadRequest, context: grpc.ServicerContext
    ) -> Upload:
        self._unary("GetUpload", context)
        if request.upload_id not in self.sessions:
            abort(context, "UPLOAD_NOT_FOUND")
        return self._view(request.upload_id)

    def ListUploads(  # noqa: N802
        self, request: upload_service_pb2.ListUploadsRequest, context: grpc.ServicerContext
    ) -> upload_service_pb2.ListUploadsResponse:
        self._unary("ListUploads", context)
        views = [self._view(upload_id) for upload_id in self.sessions]
        found = [view for view in views if request.state in {0, view.state}]
        start, size = int(request.page_token or 0), request.page_size or 2
        more = start + size < len(found)
        return upload_service_pb2.ListUploadsResponse(
            uploads=found[start : start + size], next_page_token=str(start + size) if more else ""
        )

    def AbortUpload(  # noqa: N802
        self, request: upload_service_pb2.AbortUploadRequest, context: grpc.ServicerContext
    ) -> Upload:
        self._unary("AbortUpload", context)
        if request.upload_id not in self.sessions:
            abort(context, "UPLOAD_NOT_FOUND")
        self.sessions[request.upload_id].state = Upload.ABORTED
        return self._view(request.upload_id)

    def WatchUpload(  # noqa: N802
        self, request: upload_service_pb2.WatchUploadRequest, context: grpc.ServicerContext
    ) -> Iterator[Upload]:
        fault = self._enter("WatchUpload", context)
        yield self._view(request.upload_id)
        if fault:
            abort(context, fault.kind)
        self.finish(request.upload_id)
        yield self._view(request.upload_id)

    # Downloads

    def Download(  # noqa: N802
        self, request: download_service_pb2.DownloadRequest, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        fault = self._enter("Download", context)
        self.offsets.append(request.offset)
        media, data = self._find(request.media_id, context)
        if request.rendition:
            data = self.renditions[request.rendition]
        size = len(data)
        start = request.offset if request.offset >= 0 else max(0, size + request.offset)
        end = min(size, start + request.limit) if request.limit else size
        position = start
        while position < end:
            piece = data[position : min(end, position + 100_000)]
            response = download_service_pb2.DownloadResponse(data=piece, crc32c=crc32c_of(piece))
            if position == start:
                response.media.CopyFrom(media)
                response.content_range.start = start
                response.content_range.end = end
                response.content_range.complete_size_bytes = size
            if fault and position + len(piece) - start > fault.after:
                if fault.kind == "early":
                    return
                if fault.kind != "damage":
                    abort(context, fault.kind, fault.retry_after)
                response.data = b"x" + piece[1:]
                fault = None
            yield response
            position += len(piece)
            if meanwhile := self.after_bytes.pop(position, None):
                meanwhile()

    def SignUrl(  # noqa: N802
        self, request: download_service_pb2.SignUrlRequest, context: grpc.ServicerContext
    ) -> download_service_pb2.SignUrlResponse:
        self._unary("SignUrl", context)
        media = self._find(request.media_id, context)[0]
        seconds = request.ttl.ToSeconds()
        response = download_service_pb2.SignUrlResponse(
            url=f"https://media.example/{request.rendition}/{media.filename}?seconds={seconds}"
            f"&attachment={request.attachment}&direct={request.direct}"
            + (f"&ops={request.ops}" if request.ops else "")
        )
        response.expire_time.FromSeconds(seconds)
        return response

    # Catalog

    def _find(self, media_id: str, context: grpc.ServicerContext) -> tuple[media_pb2.Media, bytes]:
        if media_id not in self.stored:
            abort(context, "MEDIA_NOT_FOUND")
        return self.stored[media_id]

    def GetMedia(  # noqa: N802
        self, request: media_service_pb2.GetMediaRequest, context: grpc.ServicerContext
    ) -> media_pb2.Media:
        self._unary("GetMedia", context)
        return self._find(request.media_id, context)[0]

    def ListMedia(  # noqa: N802
        self, request: media_service_pb2.ListMediaRequest, context: grpc.ServicerContext
    ) -> media_service_pb2.ListMediaResponse:
        self._unary("ListMedia", context)
        media = [media for media, _ in self.stored.values()]
        start, size = int(request.page_token or 0), request.page_size or 2
        more = start + size < len(media)
        return media_service_pb2.ListMediaResponse(
            media=media[start : start + size], next_page_token=str(start + size) if more else ""
        )

    def UpdateMedia(  # noqa: N802
        self, request: media_service_pb2.UpdateMediaRequest, context: grpc.ServicerContext
    ) -> media_pb2.Media:
        self._unary("UpdateMedia", context)
        media = self._find(request.media.media_id, context)[0]
        if request.media.etag not in {"", media.etag}:
            abort(context, "ETAG_MISMATCH")
        request.update_mask.MergeMessage(request.media, media, replace_repeated_field=True)
        return media

    def DeleteMedia(  # noqa: N802
        self, request: media_service_pb2.DeleteMediaRequest, context: grpc.ServicerContext
    ) -> media_pb2.Media:
        self._unary("DeleteMedia", context)
        media = self._find(request.media_id, context)[0]
        media.delete_time.GetCurrentTime()
        return media

    def UndeleteMedia(  # noqa: N802
        self, request: media_service_pb2.UndeleteMediaRequest, context: grpc.ServicerContext
    ) -> media_pb2.Media:
        self._unary("UndeleteMedia", context)
        media = self._find(request.media_id, context)[0]
        media.ClearField("delete_time")
        return media

    def DeleteRendition(  # noqa: N802
        self, request: media_service_pb2.DeleteRenditionRequest, context: grpc.ServicerContext
    ) -> media_pb2.Media:
        fault = self._unary("DeleteRendition", context)
        media = self._find(request.media_id, context)[0]
        kept = [r for r in media.renditions if r.name != request.rendition]
        if len(kept) == len(media.renditions):
            abort(context, "RENDITION_NOT_FOUND")
        del media.renditions[:]
        media.renditions.extend(kept)
        if fault:
            abort(context, fault.kind)
        return media

    def PurgeMedia(  # noqa: N802
        self, request: media_service_pb2.PurgeMediaRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        fault = self._unary("PurgeMedia", context)
        self._find(request.media_id, context)
        del self.stored[request.media_id]
        if fault:
            abort(context, fault.kind)
        return empty_pb2.Empty()

    # Processing

    def ProcessMedia(  # noqa: N802
        self, request: processing_service_pb2.ProcessMediaRequest, context: grpc.ServicerContext
    ) -> job_pb2.Job:
        fault = self._unary("ProcessMedia", context)
        self._find(request.media_id, context)
        if request.ops == "nonsense":
            abort(context, "INVALID_OPERATIONS")
        job_id = self.requests.setdefault(request.request_id, new_id())
        name = request.rendition_name or "p-1"
        job = job_pb2.Job(job_id=job_id, media_id=request.media_id, type=job_pb2.Job.PROCESS)
        job.state, job.priority = job_pb2.Job.QUEUED, request.priority
        job.rendition_name = name
        job.create_time.GetCurrentTime()
        self.jobs[job_id] = job
        if fault:
            abort(context, fault.kind)
        return job

    def ReprocessMedia(  # noqa: N802
        self, request: processing_service_pb2.ReprocessMediaRequest, context: grpc.ServicerContext
    ) -> job_pb2.Job:
        """Starts the job of the preset "preview" at once."""
        fault = self._unary("ReprocessMedia", context)
        self._find(request.media_id, context)
        first = request.request_id not in self.requests
        job_id = self.requests.setdefault(request.request_id, new_id())
        if first:
            self._start_standard(job_id, request.media_id, job_pb2.Job.INGEST)
            preset = self._start_standard(new_id(), request.media_id, job_pb2.Job.PROCESS)
            preset.actor.type, preset.rendition_name = "service", "preview"
        if fault:
            abort(context, fault.kind)
        return self.jobs[job_id]

    def _start_standard(
        self, job_id: str, media_id: str, kind: job_pb2.Job.Type.ValueType
    ) -> job_pb2.Job:
        job = job_pb2.Job(job_id=job_id, media_id=media_id, type=kind, state=job_pb2.Job.QUEUED)
        job.create_time.GetCurrentTime()
        self.jobs[job_id] = job
        return job

    def _job(self, job_id: str, context: grpc.ServicerContext) -> job_pb2.Job:
        if job_id not in self.jobs:
            abort(context, "JOB_NOT_FOUND")
        return self.jobs[job_id]

    def GetJob(  # noqa: N802
        self, request: job_service_pb2.GetJobRequest, context: grpc.ServicerContext
    ) -> job_pb2.Job:
        self._unary("GetJob", context)
        return self._job(request.job_id, context)

    def ListJobs(  # noqa: N802
        self, request: job_service_pb2.ListJobsRequest, context: grpc.ServicerContext
    ) -> job_service_pb2.ListJobsResponse:
        self._unary("ListJobs", context)
        jobs = [job for job in self.jobs.values() if request.state in {0, job.state}]
        start, size = int(request.page_token or 0), request.page_size or 2
        more = start + size < len(jobs)
        return job_service_pb2.ListJobsResponse(
            jobs=jobs[start : start + size], next_page_token=str(start + size) if more else ""
        )

    def WatchJob(  # noqa: N802
        self, request: job_service_pb2.WatchJobRequest, context: grpc.ServicerContext
    ) -> Iterator[job_pb2.Job]:
        fault = self._enter("WatchJob", context)
        job = self._job(request.job_id, context)
        yield job
        if fault and fault.kind in CODES and fault.at_finish:
            job.state = job_pb2.Job.FAILED
            job.error.CopyFrom(status(fault.kind))
        elif fault:
            abort(context, fault.kind)
        else:
            job.state, job.stage, job.progress_percent = job_pb2.Job.RUNNING, "render", 50
            yield job
            job.state, job.stage, job.progress_percent = job_pb2.Job.SUCCEEDED, "", 100
        yield job

    def CancelJob(  # noqa: N802
        self, request: job_service_pb2.CancelJobRequest, context: grpc.ServicerContext
    ) -> job_pb2.Job:
        self._unary("CancelJob", context)
        job = self._job(request.job_id, context)
        job.state = job_pb2.Job.CANCELLED
        return job

    def RetryJob(  # noqa: N802
        self, request: job_service_pb2.RetryJobRequest, context: grpc.ServicerContext
    ) -> job_pb2.Job:
        fault = self._unary("RetryJob", context)
        job = self._job(request.job_id, context)
        if request.request_id not in self.requests:
            if job.state not in {job_pb2.Job.FAILED, job_pb2.Job.CANCELLED}:
                abort(context, "JOB_NOT_RETRYABLE")
            self.requests[request.request_id] = job.job_id
            job.state = job_pb2.Job.QUEUED
        if fault:
            abort(context, fault.kind)
        return job

    def ListOperations(  # noqa: N802
        self, request: processing_service_pb2.ListOperationsRequest, context: grpc.ServicerContext
    ) -> processing_service_pb2.ListOperationsResponse:
        self._unary("ListOperations", context)
        blur = processing_service_pb2.OperationInfo(
            name="blur", description="Makes it blurred.", example="blur:4"
        )
        blur.parameters.add(
            name="sigma",
            type=processing_service_pb2.ParameterInfo.NUMBER,
            description="In pixels.",
            default_value="3",
            min_value="0.3",
            max_value="200",
        )
        flip = processing_service_pb2.OperationInfo(name="flip", description="Mirrors it.")
        flip.parameters.add(
            name="direction",
            type=processing_service_pb2.ParameterInfo.ENUM,
            values=["HORIZONTAL", "VERTICAL"],
        )
        return processing_service_pb2.ListOperationsResponse(operations=[blur, flip])


def new_fake() -> Fake:
    """Creates a fake. Missing methods come from its base classes, which return UNIMPLEMENTED. They
    are abstract only in the type stubs."""
    make: Callable[[], Fake] = Fake
    return make()


@contextmanager
def serving(fake: Fake) -> Iterator[str]:
    """Yields the address of a real gRPC server on loopback that serves `fake`."""
    server = grpc.server(
        ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 8 << 20)]
    )
    upload_service_pb2_grpc.add_UploadServiceServicer_to_server(fake, server)
    download_service_pb2_grpc.add_DownloadServiceServicer_to_server(fake, server)
    media_service_pb2_grpc.add_MediaServiceServicer_to_server(fake, server)
    processing_service_pb2_grpc.add_ProcessingServiceServicer_to_server(fake, server)
    job_service_pb2_grpc.add_JobServiceServicer_to_server(fake, server)
    batches: Callable[..., FakeBatches] = FakeBatches
    batch_service_pb2_grpc.add_BatchServiceServicer_to_server(
        batches(fake.stored, partial(status, "MEDIA_NOT_FOUND")), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
