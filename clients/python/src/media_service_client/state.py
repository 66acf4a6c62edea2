"""What the state of an upload, or a job, means to whoever waits for it."""

from grpc import StatusCode
from mediaservice.v1 import job_pb2, upload_pb2

from media_service_client.errors import MediaServiceError, from_status
from media_service_client.source import Source

Upload = upload_pb2.Upload
OPEN = frozenset({Upload.ACTIVE, Upload.VERIFYING})  # every other state is final
UNFINISHED = frozenset({job_pb2.Job.QUEUED, job_pb2.Job.RUNNING})


def require_same(upload: Upload, source: Source) -> None:
    size = upload.spec.size_bytes if upload.spec.HasField("size_bytes") else source.size
    if size != source.size or upload.committed_size > source.size:
        raise MediaServiceError(
            StatusCode.FAILED_PRECONDITION,
            "SOURCE_CHANGED",
            f"upload {upload.upload_id} was begun with another file: it has "
            f"{max(size, upload.committed_size)} bytes, this one {source.size}",
        )


def refused(upload: Upload) -> MediaServiceError:
    if upload.state == Upload.FAILED and upload.error.code:
        return from_status(upload.error)
    return MediaServiceError(
        StatusCode.FAILED_PRECONDITION,
        "UPLOAD_NOT_ACTIVE",
        f"upload {upload.upload_id} is {Upload.State.Name(upload.state)}; begin a new one",
    )
