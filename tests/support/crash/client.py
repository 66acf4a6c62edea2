"""A client that uses the service while it is killed, and records all acknowledgments."""

import hashlib
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

import grpc
from mediaservice.v1 import (
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
from tests.support.media.numbered_frames import counted
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import refusal, token
from tests.support.tools import eventually

KIB, MIB = 1 << 10, 1 << 20
PAUSE_SECONDS = 0.02
JPEG = jpeg()
PIECE = 256 * KIB
# The version that replaces the first one, and the one that restores it.
REPLACED, RESTORED = 2, 3
# The minimum size of a part on object stores, except for the last part.
PART = 5 * MIB


def image(size: int) -> bytes:
    """A JPEG of about this size. Decoders ignore the bytes after its end."""
    return JPEG + random.randbytes(size)  # noqa: S311


RENDITION, SMALLER = "mine", "resize:16x,convert:WEBP"
# Pipelines for a video with numbered frames: a job of a few parts, and one of twice as many. Audio
# would be one slow part.
FRAMES = 500
STREAM = "mute,stream:min_height=144"
SLOWLY = f"speed:0.5,{STREAM}"
# The progress of the slow job, in percent, at which some segments exist.
ONE_PART = 12


def video() -> bytes:
    return counted(FRAMES / 5, "5", "96x64")


class Killed(Exception):
    """The service no longer responds."""


@contextmanager
def unless_killed() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise Killed from error
        raise


@contextmanager
def unless_refused(*reasons: str) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        if refusal(error).reason not in reasons:
            raise


@dataclass
class Attempt:
    """An upload, the requests for it, and the acknowledgments. None of these may be lost.

    `name` is the unique file name, and `key` the idempotency key of the upload's creation.
    `upload_id` and `media_id` are empty until they are known.
    `in_one_request`: sent by UploadMedia. An interrupted request leaves nothing and is repeated.
    `committed` is the largest acknowledged size. With `by_parts`, `parts` has the acknowledged part
    numbers. `wanted` is the requested pipeline and `job_id` its job, once it is acknowledged.
    `cancelled`: the job is cancelled. `renditions` are other renditions that were added.
    `visibility` is the requested visibility of the media, or empty. `render` is the image that
    RenderImage returned. `replacement` is the file that replaces the one of the media, or empty;
    `withdrawn`: that version is deleted before it is inspected. `end` is the expected final state.
    `fate` is where the service was killed.
    """

    data: bytes
    name: str = field(default_factory=new_id)
    key: str = field(default_factory=new_id)
    upload_id: str = ""
    media_id: str = ""
    end: str = "stored"
    fate: str = ""
    created: bool = False
    committed: int = 0
    by_parts: bool = False
    parts: set[int] = field(default_factory=set)
    renditions: dict[str, bytes] = field(default_factory=dict)
    visibility: str = ""
    in_one_request: bool = False
    finished: bool = False
    ended: bool = False
    render: bytes = b""
    replacement: bytes = b""
    replacement_key: str = field(default_factory=new_id)
    withdrawn: bool = False
    wanted: str = ""
    cancelled: bool = False
    request_id: str = field(default_factory=new_id)
    job_id: str = ""

    @property
    def streamed(self) -> bool:
        return STREAM in self.wanted

    @property
    def spec(self) -> upload_pb2.UploadSpec:
        return upload_pb2.UploadSpec(filename=self.name, size_bytes=len(self.data))

    def bytes_of(self, version: int) -> bytes:
        """Version 2 replaces the first one, and version 3 is a copy of the first one."""
        return self.replacement if version == REPLACED else self.data

    def found(self, upload: upload_pb2.Upload) -> None:
        if self.in_one_request and upload.state != upload_pb2.Upload.FINISHED:
            return  # a repeated request creates another upload
        assert self.upload_id in {"", upload.upload_id}, "another upload for the same key"
        self.upload_id, self.media_id = upload.upload_id, upload.media_id

    def acknowledge(self, upload: upload_pb2.Upload) -> None:
        self.found(upload)
        self.created = True
        self.committed = max(self.committed, upload.committed_size_bytes)
        self.finished |= upload.state == upload_pb2.Upload.FINISHED


T = TypeVar("T")
# Adds a rendition to a media. The arguments are media id, name and bytes.
Give = Callable[[str, str, bytes], None]


class CrashClient:
    """Stubs with a token, and a function that adds renditions. Every call raises `Killed` if the
    server is killed meanwhile."""

    def __init__(self, address: str, give: Give) -> None:
        self._give = give
        self._channel = grpc.insecure_channel(address)
        self._metadata = (("authorization", f"Bearer {token('ann')}"),)
        self._uploads = upload_service_pb2_grpc.UploadServiceStub(self._channel)
        self._media = media_service_pb2_grpc.MediaServiceStub(self._channel)
        self._downloads = download_service_pb2_grpc.DownloadServiceStub(self._channel)
        self._processing = processing_service_pb2_grpc.ProcessingServiceStub(self._channel)
        self._jobs = job_service_pb2_grpc.JobServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def _call(self, method: Callable[..., T], request: object) -> T:
        with unless_killed():
            return method(request, metadata=self._metadata, timeout=60)

    def _find(self, method: Callable[..., T], request: object) -> T | None:
        """The response, or None if the resource does not exist."""
        try:
            return self._call(method, request)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None

    def upload(self, attempt: Attempt) -> upload_pb2.Upload | None:
        """The upload, found by its id, or by its file name while the id is unknown."""
        if attempt.upload_id:
            request = upload_service_pb2.GetUploadRequest(upload_id=attempt.upload_id)
            return self._find(self._uploads.GetUpload, request)
        wanted = upload_service_pb2.ListUploadsRequest(page_size=1000)
        for upload in self._call(self._uploads.ListUploads, wanted).uploads:
            if upload.spec.filename == attempt.name:
                attempt.found(upload)
                return upload
        return None

    def media(self, attempt: Attempt) -> media_pb2.Media | None:
        if not attempt.media_id:
            return None
        request = media_service_pb2.GetMediaRequest(media_id=attempt.media_id)
        return self._find(self._media.GetMedia, request)

    def content(self, media_id: str, rendition: str = "") -> bytes:
        request = download_service_pb2.DownloadRequest(media_id=media_id, rendition=rendition)
        with unless_killed():
            pieces = self._downloads.Download(request, metadata=self._metadata, timeout=60)
            return b"".join(piece.data for piece in pieces)

    def render(self, media_id: str) -> bytes:
        request = download_service_pb2.RenderImageRequest(media_id=media_id, ops="resize:20x")
        with unless_killed():
            pieces = self._downloads.RenderImage(request, metadata=self._metadata, timeout=60)
            return b"".join(piece.data for piece in pieces)

    def create(self, attempt: Attempt, *, checked: bool = False) -> None:
        """Creates a session. `checked` declares the expected SHA-256."""
        request = upload_service_pb2.CreateUploadRequest(spec=attempt.spec, request_id=attempt.key)
        if checked:
            request.spec.checksums.sha256 = hashlib.sha256(attempt.data).digest()
        attempt.acknowledge(self._call(self._uploads.CreateUpload, request))

    def write(
        self,
        attempt: Attempt,
        start: int,
        end: int,
        *,
        create: bool = False,
        pause: int = 0,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Sends bytes to an existing session or a new one. The last bytes finish it. At `pause`,
        the stream waits for an acknowledgment, calls `meanwhile` and continues."""
        messages = self._messages(
            attempt, start, end, create=create, pause=pause, meanwhile=meanwhile
        )
        attempt.acknowledge(self._call(self._uploads.WriteUpload, messages))

    def _messages(
        self,
        attempt: Attempt,
        start: int,
        end: int,
        *,
        create: bool,
        pause: int,
        meanwhile: Callable[[], None],
    ) -> Iterator[upload_service_pb2.WriteUploadRequest]:
        for at in range(start, end, PIECE):
            piece = attempt.data[at : min(at + PIECE, end)]
            message = upload_service_pb2.WriteUploadRequest(offset=at, data=piece)
            message.finish = at + len(piece) == len(attempt.data)
            if at == start and create:
                message.spec.CopyFrom(attempt.spec)
                message.request_id = attempt.key
            elif at == start:
                message.upload_id = attempt.upload_id
            yield message
            if at + PIECE == pause:
                self._until_counted(attempt)
                meanwhile()

    def _until_counted(self, attempt: Attempt) -> None:
        """Waits until GetUpload reports committed bytes, or the service is killed."""
        with suppress(Killed):
            while (upload := self.upload(attempt)) is None or not upload.committed_size_bytes:
                time.sleep(PAUSE_SECONDS)
            attempt.acknowledge(upload)

    def parts(self, attempt: Attempt) -> set[int]:
        """The numbers of the stored parts."""
        request = upload_service_pb2.ListPartsRequest(upload_id=attempt.upload_id)
        return {p.part_number for p in self._call(self._uploads.ListParts, request).parts}

    def put_parts(self, attempt: Attempt) -> None:
        """Sends all parts in reverse order, including those that are already stored."""
        size = PART if len(attempt.data) > PART else len(attempt.data) // 3 + 1
        pieces = [attempt.data[at : at + size] for at in range(0, len(attempt.data), size)]
        for number in range(len(pieces), 0, -1):
            self._put(attempt, number, pieces[number - 1])

    def _put(self, attempt: Attempt, number: int, piece: bytes) -> None:
        def messages() -> Iterator[upload_service_pb2.PutPartRequest]:
            message = upload_service_pb2.PutPartRequest(
                upload_id=attempt.upload_id, part_number=number, size_bytes=len(piece)
            )
            for at in range(0, len(piece), PIECE):
                message.body.data = piece[at : at + PIECE]
                yield message
                message = upload_service_pb2.PutPartRequest()

        self._call(self._uploads.PutPart, messages())
        attempt.parts.add(number)

    def upload_media(self, attempt: Attempt) -> None:
        """Stores the file in one request. A repeated call uses the same idempotency key."""
        message = upload_service_pb2.UploadMediaRequest(spec=attempt.spec, request_id=attempt.key)

        def messages() -> Iterator[upload_service_pb2.UploadMediaRequest]:
            nonlocal message
            for at in range(0, len(attempt.data), PIECE):
                message.body.data = attempt.data[at : at + PIECE]
                yield message
                message = upload_service_pb2.UploadMediaRequest()

        media: media_pb2.Media = self._call(self._uploads.UploadMedia, messages())
        assert attempt.media_id in {"", media.media_id}, "another media for the same key"
        attempt.media_id = media.media_id
        attempt.created = attempt.finished = True

    def complete(self, attempt: Attempt) -> upload_pb2.Upload:
        request = upload_service_pb2.CompleteUploadRequest(upload_id=attempt.upload_id)
        done: upload_pb2.Upload = self._call(self._uploads.CompleteUpload, request)
        attempt.acknowledge(done)
        return done

    def abort(self, attempt: Attempt) -> None:
        attempt.end = "aborted"
        request = upload_service_pb2.AbortUploadRequest(upload_id=attempt.upload_id)
        self._call(self._uploads.AbortUpload, request)
        attempt.ended = True

    def give(self, attempt: Attempt, name: str) -> None:
        """Adds a rendition."""
        data = random.randbytes(KIB)  # noqa: S311
        self._give(attempt.media_id, name, data)
        attempt.renditions[name] = data

    def show(self, attempt: Attempt, visibility: str) -> None:
        attempt.visibility = visibility
        request = media_service_pb2.UpdateMediaRequest()
        request.media.media_id = attempt.media_id
        request.media.visibility = media_pb2.Media.Visibility.Value(visibility)
        request.update_mask.paths.append("visibility")
        self._call(self._media.UpdateMedia, request)

    def delete(self, attempt: Attempt) -> None:
        attempt.end = "purged"
        request = media_service_pb2.DeleteMediaRequest(media_id=attempt.media_id)
        self._call(self._media.DeleteMedia, request)

    def purge(self, attempt: Attempt) -> None:
        attempt.end = "purged"
        request = media_service_pb2.PurgeMediaRequest(media_id=attempt.media_id)
        self._call(self._media.PurgeMedia, request)
        attempt.ended = True

    def replace(self, attempt: Attempt) -> None:
        """Replaces the file. A repeated call uses the same idempotency key."""
        message = upload_service_pb2.WriteUploadRequest(
            data=attempt.replacement, finish=True, request_id=attempt.replacement_key
        )
        message.spec.media_id = attempt.media_id
        upload: upload_pb2.Upload = self._call(self._uploads.WriteUpload, iter([message]))
        assert upload.version == REPLACED, "a file was replaced twice"

    def restore(self, attempt: Attempt) -> None:
        """Restores the first version, if it was inspected."""
        request = media_service_pb2.RestoreVersionRequest(media_id=attempt.media_id, version=1)
        with unless_refused("VERSION_NOT_READY"):
            restored: media_pb2.MediaVersion = self._call(self._media.RestoreVersion, request)
            assert restored.version == RESTORED, "a version was restored twice"

    def delete_version(self, attempt: Attempt) -> None:
        """Deletes the second version, unless it is current meanwhile."""
        request = media_service_pb2.DeleteVersionRequest(
            media_id=attempt.media_id, version=REPLACED
        )
        with unless_refused("VERSION_CURRENT", "VERSION_NOT_FOUND"):
            self._call(self._media.DeleteVersion, request)

    def versions(self, attempt: Attempt) -> set[int]:
        request = media_service_pb2.ListVersionsRequest(media_id=attempt.media_id)
        return {v.version for v in self._call(self._media.ListVersions, request).versions}

    def order(self, attempt: Attempt, ops: str) -> job_pb2.Job:
        """Requests a rendition. A repeated call uses the same idempotency key."""
        attempt.wanted = ops
        request = processing_service_pb2.ProcessMediaRequest(
            media_id=attempt.media_id, ops=ops, request_id=attempt.request_id
        )
        if not attempt.streamed:
            request.rendition_name = RENDITION
        job: job_pb2.Job = self._call(self._processing.ProcessMedia, request)
        assert attempt.job_id in {"", job.job_id}, "another job for the same request"
        attempt.job_id = job.job_id
        return job

    def cancel(self, attempt: Attempt) -> None:
        request = job_service_pb2.CancelJobRequest(job_id=attempt.job_id)
        attempt.cancelled = True
        self._call(self._jobs.CancelJob, request)

    def stream(self, media_id: str, path: str) -> bytes:
        request = download_service_pb2.GetStreamRequest(media_id=media_id, path=path)
        with unless_killed():
            pieces = self._downloads.GetStream(request, metadata=self._metadata, timeout=60)
            return b"".join(piece.data for piece in pieces)

    def video(self, media_id: str) -> bytes:
        """The video of the media's stream, joined as in a player."""
        (playlist,) = re.findall(
            r"^(?!#).+$", self.stream(media_id, "master.m3u8").decode(), re.MULTILINE
        )
        place = playlist.rpartition("/")[0]
        found = self.stream(media_id, playlist).decode()
        names = re.findall(r"^\d+\.m4s$", found, re.MULTILINE)
        return b"".join(self.stream(media_id, f"{place}/{name}") for name in ["init.mp4", *names])

    def job(self, job_id: str) -> job_pb2.Job | None:
        request = job_service_pb2.GetJobRequest(job_id=job_id)
        return self._find(self._jobs.GetJob, request)


# Scenarios: the operations of clients, each with its own attempt.
Scenario = Callable[[CrashClient, Attempt], None]


def at_once(client: CrashClient, attempt: Attempt) -> None:
    client.write(attempt, 0, len(attempt.data), create=True)


def streamed(client: CrashClient, attempt: Attempt) -> None:
    """A slow stream that creates its session."""
    size = len(attempt.data)
    middle = size // 2 // PIECE * PIECE
    client.write(attempt, 0, size, create=True, pause=middle)


def taken_over(client: CrashClient, attempt: Attempt) -> None:
    """A stream that has not ended, and a second one that continues at the committed size."""
    size = len(attempt.data)

    def take_over() -> None:
        with suppress(Killed, grpc.RpcError):  # the first stream is still writing
            client.write(attempt, attempt.committed, size)

    client.create(attempt)
    try:
        client.write(attempt, 0, size, pause=size // PIECE * PIECE, meanwhile=take_over)
    except grpc.RpcError as error:
        if error.code() not in {grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION}:
            raise


def twice(client: CrashClient, attempt: Attempt) -> None:
    """Stores the same bytes as another media before."""
    at_once(client, Attempt(attempt.data))
    in_a_session(client, attempt)


def in_two(client: CrashClient, attempt: Attempt) -> None:
    size = len(attempt.data)
    middle = PART if size > PART else size // 2
    client.write(attempt, 0, middle)
    client.write(attempt, middle, size)


def in_a_session(client: CrashClient, attempt: Attempt) -> None:
    client.create(attempt)
    in_two(client, attempt)


def in_parts(client: CrashClient, attempt: Attempt) -> None:
    """Sends numbered parts in reverse order."""
    attempt.by_parts = True
    client.create(attempt)
    client.put_parts(attempt)
    client.complete(attempt)


def checked(client: CrashClient, attempt: Attempt) -> None:
    """Two streams with a declared SHA-256, so that a worker reads the bytes back and finishes."""
    client.create(attempt, checked=True)
    in_two(client, attempt)


def in_one_request(client: CrashClient, attempt: Attempt) -> None:
    attempt.in_one_request = True
    client.upload_media(attempt)


def abandoned(client: CrashClient, attempt: Attempt) -> None:
    client.create(attempt)
    client.write(attempt, 0, len(attempt.data) - 1)
    client.abort(attempt)


def left_alone(client: CrashClient, attempt: Attempt) -> None:
    """Leaves a session to expire."""
    attempt.end = "expired"
    client.create(attempt)
    client.write(attempt, 0, len(attempt.data) - 1)


def purged(client: CrashClient, attempt: Attempt) -> None:
    at_once(client, attempt)
    client.delete(attempt)
    client.purge(attempt)


def shown(client: CrashClient, attempt: Attempt) -> None:
    """Makes the media public, so that its renditions move to the public store."""
    at_once(client, attempt)
    client.give(attempt, "given")
    client.show(attempt, "PUBLIC")


def hidden(client: CrashClient, attempt: Attempt) -> None:
    """Makes the media private, so that its renditions leave the public store."""
    at_once(client, attempt)
    client.show(attempt, "PUBLIC")
    client.give(attempt, "given")
    client.show(attempt, "PRIVATE")


def deleted(client: CrashClient, attempt: Attempt) -> None:
    """Deletes the media, which is purged when that is due."""
    at_once(client, attempt)
    client.delete(attempt)


def rendered(client: CrashClient, attempt: Attempt) -> None:
    """Renders an image as soon as the media is inspected."""
    at_once(client, attempt)

    def ready() -> bool:
        media = client.media(attempt)
        return media is not None and media.state == media_pb2.Media.READY

    eventually(ready)
    attempt.render = client.render(attempt.media_id)


def replaced(client: CrashClient, attempt: Attempt) -> None:
    """Replaces the file. When it is inspected, restores the first one and deletes the other."""
    attempt.replacement = image(KIB)
    at_once(client, attempt)
    replace_further(client, attempt)


def withdrawn(client: CrashClient, attempt: Attempt) -> None:
    """Replaces the file, and deletes the new version before it is inspected."""
    attempt.withdrawn = True
    replaced(client, attempt)


def replace_further(client: CrashClient, attempt: Attempt) -> None:
    """Takes the steps of `replaced` that are possible now."""
    media = client.media(attempt)
    assert media is not None
    if media.latest_version < REPLACED:
        client.replace(attempt)
    if attempt.withdrawn:
        client.delete_version(attempt)
    elif media.version == REPLACED and media.latest_version == REPLACED:
        client.restore(attempt)
    elif media.version == RESTORED:
        client.delete_version(attempt)


def processed(client: CrashClient, attempt: Attempt) -> None:
    at_once(client, attempt)
    client.order(attempt, SMALLER)


def streamed_video(client: CrashClient, attempt: Attempt) -> None:
    """Starts a stream."""
    attempt.data = video()
    at_once(client, attempt)
    client.order(attempt, STREAM)


def cancelled_stream(client: CrashClient, attempt: Attempt) -> None:
    """Cancels a stream while a worker encodes it."""
    attempt.data = video()
    at_once(client, attempt)
    client.order(attempt, SLOWLY)

    def begun() -> bool:
        job = client.job(attempt.job_id)
        return job is not None and job.progress_percent > ONE_PART

    eventually(begun)
    client.cancel(attempt)
