"""The upload protocol: what to send next, whatever has happened so far."""

from collections.abc import Iterator
from typing import Any

from crc32c import crc32c as crc32c_of
from grpc import StatusCode
from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2

from media_service_client.errors import MediaServiceError
from media_service_client.parallel import upload_parts
from media_service_client.retry import Backoff, Retries, is_transient
from media_service_client.source import Source
from media_service_client.state import Upload, Wanted, media_of, refused, require_same
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
        "UPLOAD_NOT_ACTIVE",
        "STREAM_TOO_SLOW",
    }
)


def messages(
    source: Source,
    target: str | upload_service_pb2.CreateUploadRequest,
    offset: int,
    progress: Progress = ignore_progress,
) -> Iterator[upload_service_pb2.WriteUploadRequest]:
    """The stream from `offset` to the end; the last message finishes with the checksum of the file.
    `target`: the upload to continue, or to create."""
    crc = source.crc32c(offset)
    first = True
    while True:
        data = source.read(offset)
        end = offset + len(data)
        message = upload_service_pb2.WriteUploadRequest(
            offset=offset, data=data, crc32c=crc32c_of(data)
        )
        if first:
            name_target(message, target)
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


def name_target(
    message: upload_service_pb2.WriteUploadRequest,
    target: str | upload_service_pb2.CreateUploadRequest,
) -> None:
    if isinstance(target, str):
        message.upload_id = target
    else:
        message.spec.CopyFrom(target.spec)
        message.request_id = target.request_id


def upload_spec(
    source: Source, filename: str | None, content_type: str | None, **attributes: Any
) -> upload_pb2.UploadSpec:
    """What is stated about `source`. `attributes`: more fields of the message."""
    return upload_pb2.UploadSpec(
        filename=source.filename if filename is None else filename,
        content_type=content_type or "",
        size_bytes=source.size,
        **attributes,
    )


def upload(
    source: Source,
    wanted: Wanted,
    backoff: Backoff,
    progress: Progress = ignore_progress,
    parallel: int = 1,
) -> Steps[media_pb2.Media]:
    """Stores `source` once, through any number of breaks. `parallel` above 1: as parts, so many at
    a time. An upload that exists already is continued; if it has finished, its media is returned.
    """
    try:
        if parallel > 1:
            media = yield from upload_parts(source, wanted, parallel, backoff, progress)
        else:
            media = yield from _persevere(_Session(source, wanted, Retries(backoff), progress))
        crc = yield Compute(lambda: source.crc32c(source.size))
        # A guest, with the session of a share link, learns only the id of the media.
        # One whose file is replaced shows the version that is still served.
        known = media.HasField("checksums") and not wanted.spec.media_id
        if known and (media.size_bytes != source.size or media.checksums.crc32c != crc):
            raise MediaServiceError(
                StatusCode.DATA_LOSS,
                "CHECKSUM_MISMATCH",
                f"media {media.media_id} does not hold the bytes that were read: "
                "it is another file, or was damaged on the way",
            )
    except MediaServiceError as error:
        error.request_id = wanted.request_id
        error.upload_id = error.upload_id or wanted.upload_id
        raise
    progress(source.size, source.size)
    return media


class _Session:
    """What is known of one upload, and what follows from it."""

    def __init__(
        self,
        source: Source,
        wanted: Wanted,
        retries: Retries,
        progress: Progress,
    ) -> None:
        self._source = source
        self._wanted = wanted
        self._retries = retries
        self._progress = progress
        self._id = wanted.upload_id
        self._upload: Upload | None = None
        # Whether the service may know more than `_upload` says.
        self._lost = bool(self._id)
        self._best = 0

    @property
    def media(self) -> media_pb2.Media | None:
        """Set once everything is done."""
        if self._lost or self._upload is None or self._upload.state != Upload.FINISHED:
            return None
        return media_of(self._upload)

    def step(self) -> Step:
        """What to do next; raises if the upload has ended without a media."""
        if self._lost and self._id:
            return Call("GetUpload", upload_service_pb2.GetUploadRequest(upload_id=self._id))
        if self._upload is None:
            create = self._wanted.create
            return Send("WriteUpload", messages(self._source, create, 0, self._progress))
        if self._upload.state == Upload.ACTIVE:
            require_same(self._upload, self._source)
            at = self._upload.committed_size_bytes
            return Send("WriteUpload", messages(self._source, self._id, at, self._progress))
        if self._upload.state == Upload.VERIFYING:
            return Settle(self._id)
        raise refused(self._upload)

    def saw(self, step: Step, upload: Upload) -> None:
        """Takes in the result of a step."""
        self._upload, self._id = upload, upload.upload_id or self._id
        self._lost = False
        if upload.committed_size_bytes > self._best:
            self._best = upload.committed_size_bytes
            self._retries.progressed()
        if isinstance(step, Call):
            return
        if upload.state == Upload.ACTIVE or (
            isinstance(step, Settle) and upload.state == Upload.VERIFYING
        ):
            raise MediaServiceError(StatusCode.UNAVAILABLE, "", "the stream ended before its end")

    def failed(self, error: MediaServiceError) -> float:
        """Seconds to wait before the next step; raises if there is to be none."""
        # Headers, or an error, tell which upload a stream created or continues.
        self._id = error.upload_id or error.metadata.get("upload_id") or self._id
        if error.reason == "UPLOAD_NOT_FOUND" and not self._wanted.upload_id:
            self._id, self._upload, self._lost = "", None, False
            return 0.0
        if error.reason not in RESYNC and not is_transient(error):
            error.upload_id = self._id
            raise error
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
