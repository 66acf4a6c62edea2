"""The download protocol: what to ask for next, and what to believe of the answer."""

import hashlib
from functools import partial

from crc32c import crc32c as crc32c_of
from grpc import StatusCode
from mediaservice.v1 import download_service_pb2, media_pb2

from media_service_client.errors import MediaServiceError
from media_service_client.retry import Backoff, Retries, is_transient
from media_service_client.steps import Compute, Progress, Receive, Sleep, Steps, ignore_progress
from media_service_client.target import ResumableTarget, Target


class Damaged(MediaServiceError):
    """Bytes changed on the way; asking for them again may help."""

    def __init__(self, message: str) -> None:
        super().__init__(StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH", message)


class LeftoverDamaged(MediaServiceError):
    """The bytes that an interrupted download left are not those of the content."""

    def __init__(self) -> None:
        super().__init__(StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH", "the .part file was damaged")


def content_id(media: media_pb2.Media, rendition: str) -> str:
    """Identifies the content of a media or a rendition for a resumed download. Empty if it cannot
    be verified, or the rendition does not exist yet."""
    found = [r for r in media.renditions if r.name == rendition] if rendition else [media]
    if not found or not (content := found[0]).checksums.HasField("crc32c"):
        return ""
    facts = (media.media_id, rendition, content.size_bytes, content.checksums.crc32c)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


class Reception:
    """The bytes had so far. Every message is checked before it is written."""

    def __init__(
        self,
        request: download_service_pb2.DownloadRequest,
        target: Target,
        progress: Progress = ignore_progress,
    ) -> None:
        self._asked = request
        self._target = target
        self._progress = progress
        self._position: int | None = None
        self._range = download_service_pb2.ContentRange()
        self._fresh = True
        self._crc = 0
        # The target, if it has bytes of an interrupted download.
        self._leftover: ResumableTarget | None = None
        self.media = media_pb2.Media()

    @property
    def total(self) -> int:
        """Bytes wanted; 0 until the first message."""
        return self._range.end - self._range.start

    @property
    def done(self) -> int:
        """Bytes had."""
        return 0 if self._position is None else self._position - self._range.start

    @property
    def complete(self) -> bool:
        return self._position is not None and self._position == self._range.end

    def next_request(self) -> download_service_pb2.DownloadRequest:
        """What to ask for now: the whole, or what is missing."""
        self._fresh = True
        if self._position is None:
            return self._asked
        return download_service_pb2.DownloadRequest(
            media_id=self._asked.media_id,
            rendition=self._asked.rendition,
            version=self._asked.version,
            offset=self._position,
            limit=self._range.end - self._position,
        )

    def resume(self, media: media_pb2.Media, target: ResumableTarget) -> None:
        """Continues behind the bytes that an interrupted download of this content left."""
        self.media.CopyFrom(media)
        size = self._content(media).size_bytes
        self._range.end = self._range.complete_size_bytes = size
        self._position = 0
        for piece in target.left():
            self._crc = crc32c_of(piece, self._crc)
            self._position += len(piece)
        self._leftover = target if self._position else None
        if self._position > size:
            self.start_over()

    def start_over(self) -> None:
        """Discards what an interrupted download left."""
        if self._leftover:
            self._leftover.discard()
        self._leftover, self._position, self._crc = None, 0, 0

    def take(self, response: download_service_pb2.DownloadResponse) -> None:
        if self._fresh:
            self._begin(response)
        data = response.data
        if crc32c_of(data) != response.crc32c:
            raise Damaged(f"bytes at {self._position} were damaged on the way")
        if self._position is None or self._position + len(data) > self._range.end:
            raise Damaged("more bytes came than were announced")
        self._target.write(data)
        self._crc = crc32c_of(data, self._crc)
        self._position += len(data)
        self._progress(self.done, self.total)

    def _begin(self, response: download_service_pb2.DownloadResponse) -> None:
        media, content_range = response.media, response.content_range
        self._fresh = False
        if self._position is None:
            self.media.CopyFrom(media)  # copies: a part of the message would keep its data alive
            self._range.CopyFrom(content_range)
            self._position = content_range.start
        elif self._identity(media) != self._identity(self.media):
            raise MediaServiceError(
                StatusCode.ABORTED,
                "CONTENT_CHANGED",
                f"media {self.media.media_id} changed while it was downloaded; download it again",
            )
        elif (content_range.start, content_range.end) != (self._position, self._range.end):
            raise Damaged("the answer is another range than was asked for")

    def _content(self, media: media_pb2.Media) -> media_pb2.Media | media_pb2.Rendition:
        """What of it is being fetched."""
        return next((r for r in media.renditions if r.name == self._asked.rendition), media)

    def _identity(self, media: media_pb2.Media) -> tuple[int, int]:
        """By what a change is seen. The SHA-256 may only become known meanwhile."""
        content = self._content(media)
        return content.size_bytes, content.checksums.crc32c

    def finish(self) -> None:
        """Makes the bytes durable; raises DATA_LOSS if the whole is not what was stored."""
        whole = self.done == self._range.complete_size_bytes
        stored = self._content(self.media).checksums
        if whole and stored.HasField("crc32c") and stored.crc32c != self._crc:
            if self._leftover:
                raise LeftoverDamaged
            raise MediaServiceError(
                StatusCode.DATA_LOSS,
                "CHECKSUM_MISMATCH",
                f"the service holds other bytes of media {self.media.media_id} than were stored; "
                "tell whoever runs it",
            )
        self._target.flush()


def download(reception: Reception, backoff: Backoff) -> Steps[media_pb2.Media]:
    """Fetches the range, going on after every break from the bytes had."""
    yield from fetch(reception, backoff)
    try:
        yield Compute(reception.finish)
    except LeftoverDamaged:
        yield Compute(reception.start_over)
        yield from fetch(reception, backoff)
        yield Compute(reception.finish)
    return reception.media


def resume(
    reception: Reception, media: media_pb2.Media, target: ResumableTarget, backoff: Backoff
) -> Steps[media_pb2.Media]:
    """As `download`, behind the bytes that an interrupted download of `media` left in `target`."""
    yield Compute(partial(reception.resume, media, target))
    return (yield from download(reception, backoff))


def fetch(reception: Reception, backoff: Backoff) -> Steps[None]:
    retries = Retries(backoff)
    best = 0
    while not reception.complete:
        try:
            yield Receive(reception.next_request(), reception.take)
            if not reception.complete:
                raise MediaServiceError(StatusCode.UNAVAILABLE, "", "the download was cut short")
        except MediaServiceError as error:
            if not is_transient(error) and not isinstance(error, Damaged):
                raise
            if reception.done > best:
                best = reception.done
                retries.progressed()
            yield Sleep(retries.pause(error))
