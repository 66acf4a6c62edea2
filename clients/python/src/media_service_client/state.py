"""What the state of an upload, or a job, means to the caller that waits for it."""

from dataclasses import dataclass

from grpc import StatusCode
from mediaservice.v1 import job_pb2, media_pb2, upload_pb2, upload_service_pb2

from media_service_client.errors import MediaServiceError, from_status
from media_service_client.source import Source

Upload = upload_pb2.Upload
OPEN = frozenset({Upload.ACTIVE, Upload.VERIFYING})  # every other state is final
UNFINISHED = frozenset({job_pb2.Job.QUEUED, job_pb2.Job.RUNNING})


@dataclass(frozen=True, slots=True)
class Wanted:
    """An upload to be created under a request id, so that every try creates the same one; or, with
    `upload_id`, one to be continued. `fresh`: no other call can have used the request id."""

    spec: upload_pb2.UploadSpec
    request_id: str
    upload_id: str = ""
    fresh: bool = False

    @property
    def create(self) -> upload_service_pb2.CreateUploadRequest:
        return upload_service_pb2.CreateUploadRequest(spec=self.spec, request_id=self.request_id)


def require_same(upload: Upload, source: Source) -> None:
    size = upload.spec.size_bytes if upload.spec.HasField("size_bytes") else source.size
    if size != source.size or upload.committed_size_bytes > source.size:
        raise MediaServiceError(
            StatusCode.FAILED_PRECONDITION,
            "SOURCE_CHANGED",
            f"upload {upload.upload_id} was begun with another file: it has "
            f"{max(size, upload.committed_size_bytes)} bytes, this one {source.size}",
        )


def media_of(upload: Upload) -> media_pb2.Media:
    """The media of a finished upload: of a guest, with the session of a share link, only its id."""
    if upload.HasField("media"):
        return upload.media
    return media_pb2.Media(media_id=upload.media_id)


def refused(upload: Upload) -> MediaServiceError:
    if upload.state == Upload.FAILED and upload.error.code:
        return from_status(upload.error)
    return MediaServiceError(
        StatusCode.FAILED_PRECONDITION,
        "UPLOAD_NOT_ACTIVE",
        f"upload {upload.upload_id} is {Upload.State.Name(upload.state)}; begin a new one",
    )
