"""The upload protocol: what to send next, whatever has happened so far."""

import uuid
from collections.abc import Iterator

from crc32c import crc32c as crc32c_of
from grpc import StatusCode
from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2

from media_service_client.errors import MediaServiceError
from media_service_client.parallel import upload_parts
from media_service_client.retry import Backoff, Retries, is_transient
from media_service_client.source import Source
from media_service_client.state import Upload, refused, require_same
from media_service_client.steps import (
    Call,
    Compute,
    Progress,
    Send,
    Settle,
    Sleep,
    Step,
    Steps,
    ignore_progress,
)

# After these only the service knows where the upload stands; GetUpload tells.
RESYNC = frozenset(
    {
        "OFFSET_MISMATCH",
        "CHECKSUM_MISMATCH",
        "UPLOAD_EXISTS",
        "UPLOAD_NOT_ACTIVE",
        "STREAM_TOO_SLOW",
    }
)


def messages(
    source: Source,
    target: str | upload_pb2.UploadSpec,
    offset: int,
    progress: Progress = ignore_progress,
) -> Iterator[upload_service_pb2.WriteUploadRequest]:
    """The stream from `offset` to the end; the last message finishes with the whole's checksum."""
    crc = source.crc32c(offset)
    first = True
    while True:
        data = source.read(offset)
        end = offset + len(data)
        message = upload_service_pb2.WriteUploadRequest(
            offset=offset, data=data, crc32c=crc32c_of(data)
        )
        if first:
            if isinstance(target, str):
                message.upload_id = target
            else:
                message.spec.CopyFrom(target)
            first = False
        crc = crc32c_of(data, crc)
        source.mark(end, crc)
        progress(offset, source.size)
        if end == source.size:
            source.require_unchanged()
            message.finish = True
            message.checksums.crc32c = crc
            yield message
            return
        yield message
        offset = end


def upload_spec(
    source: Source, filename: str | None, content_type: str | None, upload_id: str | None
) -> upload_pb2.UploadSpec:
    """What is declared of `source`; the id is chosen here, so that every try has the same one."""
    return upload_pb2.UploadSpec(
        upload_id=upload_id or str(uuid.uuid4()),
        filename=source.filename if filename is None else filename,
        content_type=content_type or "",
        size_bytes=source.size,
    )


def upload(
    source: Source,
    spec: upload_pb2.UploadSpec,
    backoff: Backoff,
    progress: Progress = ignore_progress,
    parallel: int = 1,
) -> Steps[media_pb2.Media]:
    """Stores `source` as `spec.upload_id`, once, through any number of breaks. `parallel` above 1:
    as parts, so many at a time.

    If that upload exists already it is gone on with; if it has finished its media is returned.
    """
    try:
        if parallel > 1:
            media = yield from upload_parts(source, spec, parallel, backoff, progress)
        else:
            media = yield from _persevere(_Session(source, spec, Retries(backoff), progress))
        crc = yield Compute(lambda: source.crc32c(source.size))
        if media.size_bytes != source.size or media.checksums.crc32c != crc:
            raise MediaServiceError(
                StatusCode.DATA_LOSS,
                "CHECKSUM_MISMATCH",
                f"media {media.media_id} does not hold the bytes that were read: "
                "it is another file, or was damaged on the way",
            )
    except MediaServiceError as error:
        error.upload_id = spec.upload_id
        raise
    progress(source.size, source.size)
    return media


class _Session:
    """What is known of one upload, and what follows from it."""

    def __init__(
        self,
        source: Source,
        spec: upload_pb2.UploadSpec,
        retries: Retries,
        progress: Progress,
    ) -> None:
        self._source = source
        self._spec = spec
        self._retries = retries
        self._progress = progress
        self._upload: Upload | None = None
        self._lost = False  # whether the service may know more than `_upload` says
        self._taken: MediaServiceError | None = None
        self._best = 0

    @property
    def media(self) -> media_pb2.Media | None:
        """Set once all is done."""
        if self._lost or self._upload is None or self._upload.state != Upload.FINISHED:
            return None
        return self._upload.media

    def step(self) -> Step:
        """What to do next; raises if the upload has ended without a media."""
        name = self._spec.upload_id
        if self._lost:
            return Call("GetUpload", upload_service_pb2.GetUploadRequest(upload_id=name))
        if self._upload is None:
            return Send("WriteUpload", messages(self._source, self._spec, 0, self._progress))
        if self._upload.state == Upload.ACTIVE:
            require_same(self._upload, self._source)
            at = self._upload.committed_size
            return Send("WriteUpload", messages(self._source, name, at, self._progress))
        if self._upload.state == Upload.VERIFYING:
            return Settle(name)
        raise refused(self._upload)

    def saw(self, step: Step, upload: Upload) -> None:
        """Takes in the result of a step."""
        self._upload = upload
        if upload.committed_size > self._best:
            self._best = upload.committed_size
            self._retries.progressed()
        if isinstance(step, Call):
            self._lost, self._taken = False, None
        elif upload.state == Upload.ACTIVE or (
            isinstance(step, Settle) and upload.state == Upload.VERIFYING
        ):
            raise MediaServiceError(StatusCode.UNAVAILABLE, "", "the stream ended before its end")

    def failed(self, error: MediaServiceError) -> float:
        """Seconds to wait before the next step; raises if there is to be none."""
        if error.reason == "UPLOAD_NOT_FOUND":
            if self._taken:  # the id belongs to someone else
                raise self._taken
            self._upload, self._lost = None, False
            return 0.0
        if error.reason not in RESYNC and not is_transient(error):
            raise error
        if error.reason == "UPLOAD_EXISTS":
            self._taken = error
        self._lost = True
        return self._retries.pause(error)


def _persevere(session: _Session) -> Steps[media_pb2.Media]:
    while (media := session.media) is None:
        step = session.step()
        try:
            session.saw(step, (yield step))
        except MediaServiceError as error:
            yield Sleep(session.failed(error))
    return media
