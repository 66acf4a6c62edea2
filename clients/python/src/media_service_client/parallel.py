"""An upload as parts, several at a time: fast where one stream is held back by the way it goes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf.message import Message
from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2

from media_service_client.calls import call
from media_service_client.crc32c import combine
from media_service_client.errors import MediaServiceError
from media_service_client.plan import Known, Slice, slices_of
from media_service_client.retry import Backoff, Retries, is_transient
from media_service_client.source import PIECE, Source
from media_service_client.state import Upload, Wanted, media_of, refused, require_same
from media_service_client.steps import Compute, Progress, Send, Settle, Sleep, Steps, Together


class Sending:
    """A file on its way: which of its slices are here, and what is known of their bytes."""

    def __init__(
        self,
        source: Source,
        upload_id: str,
        slices: Sequence[Slice],
        known: Known,
        report: Progress,
    ) -> None:
        self.source = source
        self.upload_id = upload_id
        self._slices = slices
        self._report = report
        self._crcs = {number: part.crc32c for number, part in known.stored.items()}
        self._done = {one.number: one.size for one in slices if one.number in known.stored}

    @property
    def missing(self) -> list[Slice]:
        return [one for one in self._slices if one.number not in self._done]

    @property
    def parts(self) -> list[upload_pb2.Part]:
        """All of them, once they are here."""
        return [
            upload_pb2.Part(
                part_number=one.number, size_bytes=one.size, crc32c=self._crcs[one.number]
            )
            for one in self._slices
        ]

    def messages(self, part: Slice) -> Iterator[upload_service_pb2.PutPartRequest]:
        message = upload_service_pb2.PutPartRequest(
            upload_id=self.upload_id, part_number=part.number, size_bytes=part.size
        )
        for at in range(part.start, part.end, PIECE):
            message.body.data = self.source.read(at)[: part.end - at]
            self.report(part, at - part.start)
            yield message
            message = upload_service_pb2.PutPartRequest()

    def sent(self, part: Slice, crc32c: int) -> None:
        self._crcs[part.number] = crc32c
        self.report(part, part.size)

    def report(self, part: Slice, sent: int) -> None:
        self._done[part.number] = sent
        self._report(sum(list(self._done.values())), self.source.size)


def upload_parts(
    source: Source,
    wanted: Wanted,
    parallel: int,
    backoff: Backoff,
    progress: Progress,
) -> Steps[media_pb2.Media]:
    """Creates or continues the upload, sends the missing parts, and completes it."""
    upload, known = yield from _open(wanted, backoff)
    try:
        return (yield from _finish(source, upload, known, parallel, backoff, progress))
    except MediaServiceError as error:
        error.upload_id = upload.upload_id
        raise


def _finish(
    source: Source,
    upload: Upload,
    known: Known | None,
    parallel: int,
    backoff: Backoff,
    progress: Progress,
) -> Steps[media_pb2.Media]:
    if upload.state == Upload.ACTIVE:
        require_same(upload, source)
        if known is None:
            known = yield from _known(upload, source, backoff)
        slices = yield Compute(lambda: slices_of(source, upload, known))
        sending = Sending(source, upload.upload_id, slices, known, progress)
        yield Together((_put(sending, part, backoff) for part in sending.missing), parallel)
        source.require_unchanged()
        upload = yield from _complete(sending, backoff)
    retries = Retries(backoff)
    while upload.state == Upload.VERIFYING:
        try:
            upload = yield Settle(upload.upload_id)
        except MediaServiceError as error:
            if not is_transient(error):
                raise
            yield Sleep(retries.pause(error))
    if upload.state != Upload.FINISHED:
        raise refused(upload)
    return media_of(upload)


def _open(wanted: Wanted, backoff: Backoff) -> Steps[tuple[Upload, Known | None]]:
    """The upload as it is, created if need be; and its parts, if there are none."""
    if wanted.upload_id:
        asked = upload_service_pb2.GetUploadRequest(upload_id=wanted.upload_id)
        return (yield from call("GetUpload", asked, backoff)), None
    upload = yield from call("CreateUpload", wanted.create, backoff)
    return upload, Known({}, {}) if wanted.fresh else None


def _known(upload: Upload, source: Source, backoff: Backoff) -> Steps[Known]:
    """What an upload has, which no stream adds to any more."""
    known = yield from _listed(upload.upload_id, backoff)
    at = known.first[-1].end if known.first else 0
    if known.waiting or at >= source.size:
        return known  # a stream has nowhere to go
    # One may still write, or what came of it be counted: then parts would begin behind what is
    # listed. It ends with a stream of our own.
    message = upload_service_pb2.WriteUploadRequest(upload_id=upload.upload_id, offset=at)
    try:
        yield from _send("WriteUpload", lambda: iter([message]), backoff)
    except MediaServiceError as error:
        # More was counted, or others put parts; either way it has ended.
        if error.reason not in {"OFFSET_MISMATCH", "PARTS_OUTSTANDING"}:
            raise
    return (yield from _listed(upload.upload_id, backoff))


def _listed(upload_id: str, backoff: Backoff) -> Steps[Known]:
    known = Known({}, {})
    request = upload_service_pb2.ListPartsRequest(upload_id=upload_id)
    while True:
        page = yield from call("ListParts", request, backoff)
        known.stored.update((part.part_number, part) for part in page.parts)
        known.claimed.update((part.part_number, part) for part in page.claimed)
        if not page.next_page_token:
            return known
        request.page_token = page.next_page_token


def _complete(sending: Sending, backoff: Backoff) -> Steps[Upload]:
    """Makes a media of exactly the bytes that were read. The list of parts is compared first, and
    what it finds leaves the upload as it is."""
    request = upload_service_pb2.CompleteUploadRequest(
        upload_id=sending.upload_id, parts=sending.parts
    )
    crc = 0
    for part in request.parts:
        crc = combine(crc, part.crc32c, part.size_bytes)
    request.checksums.crc32c = crc
    sending.source.mark(sending.source.size, crc)
    return call("CompleteUpload", request, backoff)


def _put(sending: Sending, part: Slice, backoff: Backoff) -> Steps[None]:
    yield from _send("PutPart", lambda: sending.messages(part), backoff)
    # Read again, out of the page cache: what is still read of an earlier try is in nobody's way.
    crc = yield Compute(lambda: sending.source.crc32c_of(part.start, part.end))
    sending.sent(part, crc)


def _send(method: str, messages: Callable[[], Iterator[Message]], backoff: Backoff) -> Steps[Any]:
    retries = Retries(backoff)
    while True:
        try:
            return (yield Send(method, messages()))
        except MediaServiceError as error:
            if not is_transient(error):
                raise
            yield Sleep(retries.pause(error))
