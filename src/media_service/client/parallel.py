"""An upload as parts, several at a time: fast where one stream is held back by the way it goes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from media.v1 import media_pb2, upload_pb2, upload_service_pb2

from media_service.client.calls import call
from media_service.client.errors import MediaServiceError
from media_service.client.retry import Backoff, Retries, is_transient
from media_service.client.source import PIECE, Source
from media_service.client.state import Upload, refused, require_same
from media_service.client.steps import Progress, Send, Settle, Sleep, Steps, Together

PART = 16 << 20  # bytes
MIB = 1 << 20
MOST_PARTS = 10_000


@dataclass
class Plan:
    """The parts that are left: numbers from `first` on, `size` bytes each, from `offset` on."""

    source: Source
    upload: Upload
    here: set[int]  # numbers that need not be sent
    progress: Progress
    done: dict[int, int] = field(default_factory=dict)

    @property
    def offset(self) -> int:
        return int(self.upload.committed_size)

    @property
    def size(self) -> int:
        first = self.upload.next_part_number
        least = -(-(self.source.size - self.offset) // (MOST_PARTS - first + 1))
        rounded = -(-max(PART, least) // MIB) * MIB
        return min(rounded, self.upload.max_part_size)

    def ranges(self) -> Iterator[tuple[int, int, int]]:
        """(number, start, end) of each part that is to be sent."""
        offsets = range(self.offset, self.source.size, self.size)
        for number, start in enumerate(offsets, self.upload.next_part_number):
            end = min(start + self.size, self.source.size)
            if number in self.here:
                self.report(number, end - start)
            else:
                yield number, start, end

    def report(self, number: int, sent: int) -> None:
        self.done[number] = sent
        self.progress(self.offset + sum(list(self.done.values())), self.source.size)


def upload_parts(
    source: Source,
    spec: upload_pb2.UploadSpec,
    parallel: int,
    backoff: Backoff,
    progress: Progress,
) -> Steps[media_pb2.Media]:
    """Opens or goes on with the upload, sends what is missing of it, and completes it."""
    upload = yield from _open(spec, backoff)
    if upload.state == Upload.ACTIVE:
        require_same(upload, source)
        here = yield from _stored(upload, backoff)
        plan = Plan(source, upload, here, progress)
        yield Together((_put(plan, *part, backoff) for part in plan.ranges()), parallel)
        source.require_unchanged()
        request = upload_service_pb2.CompleteUploadRequest(upload_id=spec.upload_id)
        upload = yield from call("CompleteUpload", request, backoff)
    retries = Retries(backoff)
    while upload.state == Upload.VERIFYING:
        try:
            upload = yield Settle(spec.upload_id)
        except MediaServiceError as error:
            if not is_transient(error):
                raise
            yield Sleep(retries.pause(error))
    if upload.state != Upload.FINISHED:
        raise refused(upload)
    return upload.media


def _open(spec: upload_pb2.UploadSpec, backoff: Backoff) -> Steps[Upload]:
    """The upload as it is, opened if it was not there."""
    asked = upload_service_pb2.GetUploadRequest(upload_id=spec.upload_id)
    upload: Upload
    try:
        opening = upload_service_pb2.CreateUploadRequest(spec=spec)
        upload = yield from call("CreateUpload", opening, backoff)
    except MediaServiceError as error:
        if error.reason != "UPLOAD_EXISTS":
            raise
        try:
            upload = yield from call("GetUpload", asked, backoff)
        except MediaServiceError as missing:
            if missing.reason == "UPLOAD_NOT_FOUND":  # the id belongs to someone else
                raise error from missing
            raise
    return upload


def _stored(upload: Upload, backoff: Backoff) -> Steps[set[int]]:
    """Numbers of parts behind the contiguous bytes that are stored already."""
    found: set[int] = set()
    request = upload_service_pb2.ListPartsRequest(upload_id=upload.upload_id)
    while True:
        page = yield from call("ListParts", request, backoff)
        found |= {part.part_number for part in page.parts}
        if not page.next_page_token:
            return {number for number in found if number >= upload.next_part_number}
        request.page_token = page.next_page_token


def _put(plan: Plan, number: int, start: int, end: int, backoff: Backoff) -> Steps[None]:
    retries = Retries(backoff)
    while True:
        try:
            yield Send("PutPart", _messages(plan, number, start, end))
        except MediaServiceError as error:
            if not is_transient(error):
                raise
            yield Sleep(retries.pause(error))
        else:
            plan.report(number, end - start)
            return


def _messages(
    plan: Plan, number: int, start: int, end: int
) -> Iterator[upload_service_pb2.PutPartRequest]:
    message = upload_service_pb2.PutPartRequest(
        upload_id=plan.upload.upload_id, part_number=number, size_bytes=end - start
    )
    for at in range(start, end, PIECE):
        message.body.data = plan.source.read(at)[: end - at]
        plan.report(number, at - start)
        yield message
        message = upload_service_pb2.PutPartRequest()
