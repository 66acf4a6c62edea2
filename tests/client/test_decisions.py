"""The blocking client's next call after each response, on a channel without a network."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import grpc_testing
import pytest
from crc32c import crc32c as crc32c_of
from grpc import StatusCode
from grpc_status import rpc_status
from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2

from media_service_client import Backoff, MediaServiceError
from media_service_client.source import PIECE, open_source
from media_service_client.state import Wanted
from media_service_client.sync_transport import SyncTransport
from media_service_client.upload import upload, upload_spec
from tests.support.fake_server import status

SERVICE = upload_service_pb2.DESCRIPTOR.services_by_name["UploadService"]
WRITE = SERVICE.methods_by_name["WriteUpload"]
WATCH = SERVICE.methods_by_name["WatchUpload"]
DATA = bytes(range(256)) * 8192  # four pieces
ID = "0199c7a5-6c1e-7cc3-98ab-4a61f21a3a0b"
MEDIA = "0199c7a5-6c1e-7cc3-98ab-4a61f21a3a0c"
KEY = "0199c7a5-6c1e-7cc3-98ab-4a61f21a3a0d"
Upload = upload_pb2.Upload
Outcome = Future[media_pb2.Media]


class Wire:
    """The service's side of one upload."""

    def __init__(self) -> None:
        self.channel = grpc_testing.channel(
            upload_service_pb2.DESCRIPTOR.services_by_name.values(),
            grpc_testing.strict_real_time(),
        )

    def client(self, parallel: int = 1, fresh: bool = True) -> media_pb2.Media:
        with open_source(DATA) as source:
            wanted = Wanted(upload_spec(source, "a.png", None), KEY, fresh=fresh)
            backoff = Backoff(first_seconds=0, attempts=3)
            steps = upload(source, wanted, backoff, parallel=parallel)
            return SyncTransport(self.channel, (("authorization", "Bearer t"),)).run(steps)

    def write(
        self, messages: int, answer: Upload | str | StatusCode, *, named: bool = True, **facts: str
    ) -> list[Any]:
        """Receives this many messages of a stream and ends it. `named`: headers name the upload."""
        metadata, call = self.channel.take_stream_unary(WRITE)
        assert ("authorization", "Bearer t") in metadata
        taken = [call.take_request() for _ in range(messages)]
        call.send_initial_metadata((("x-upload-id", ID),) if named else ())
        call.terminate(*self._end(answer, **facts))
        return taken

    def put(self, messages: int) -> list[Any]:
        _, call = self.channel.take_stream_unary(SERVICE.methods_by_name["PutPart"])
        taken = [call.take_request() for _ in range(messages)]
        call.requests_closed()
        call.send_initial_metadata(())
        call.terminate(upload_pb2.Part(), (), StatusCode.OK, "")
        return taken

    def get(self, answer: Upload | str | StatusCode) -> None:
        assert self.answer("GetUpload", answer).upload_id == ID

    def answer(self, method: str, answer: Any) -> Any:
        """Answers a unary call and returns its request."""
        _, request, call = self.channel.take_unary_unary(SERVICE.methods_by_name[method])
        call.send_initial_metadata(())
        call.terminate(*self._end(answer))
        return request

    def watch(self, *uploads: Upload) -> None:
        _, request, call = self.channel.take_unary_stream(WATCH)
        assert request.upload_id == ID
        call.send_initial_metadata(())
        for seen in uploads:
            call.send_response(seen)
        call.terminate((), StatusCode.OK, "")

    @staticmethod
    def _end(answer: Any, **facts: str) -> tuple[Any, ...]:
        if isinstance(answer, str):
            wait = 0.0 if answer == "IDEMPOTENCY_IN_PROGRESS" else None
            end = rpc_status.to_status(status(answer, "it failed", wait, **facts))
            return None, end.trailing_metadata, end.code, end.details
        if isinstance(answer, StatusCode):
            return None, (), answer, "broken"
        return answer, (), StatusCode.OK, ""


def finished() -> Upload:
    media = media_pb2.Media(media_id=MEDIA, size_bytes=len(DATA))
    media.checksums.crc32c = crc32c_of(DATA)
    return Upload(upload_id=ID, state=Upload.FINISHED, media=media)


def active(committed: int) -> Upload:
    return Upload(
        upload_id=ID,
        state=Upload.ACTIVE,
        committed_size_bytes=committed,
        max_part_size_bytes=1 << 30,
    )


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def outcome(wire: Wire) -> Iterator[Outcome]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(wire.client)


@pytest.fixture
def in_parts(wire: Wire) -> Iterator[Outcome]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(wire.client, 2)


@pytest.fixture
def resumed_in_parts(wire: Wire) -> Iterator[Outcome]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(wire.client, 2, fresh=False)


def parts(*ends: int) -> upload_service_pb2.ListPartsResponse:
    """The file cut at these offsets."""
    starts = [0, *ends]
    return upload_service_pb2.ListPartsResponse(
        parts=[
            upload_pb2.Part(
                part_number=number, size_bytes=end - start, crc32c=crc32c_of(DATA[start:end])
            )
            for number, (start, end) in enumerate(zip(starts, ends, strict=False), 1)
        ]
    )


def test_the_stream_carries_the_spec_offsets_and_checksums(wire: Wire, outcome: Outcome) -> None:
    messages = wire.write(4, finished())
    assert messages[0].request_id == KEY
    assert messages[0].spec.size_bytes == len(DATA)
    assert messages[0].spec.filename == "a.png"
    assert [m.WhichOneof("target") for m in messages[1:]] == [None] * 3
    assert [m.offset for m in messages] == [0, PIECE, 2 * PIECE, 3 * PIECE]
    assert all(m.crc32c == crc32c_of(m.data) for m in messages)
    assert [m.finish for m in messages] == [False, False, False, True]
    assert messages[3].checksums.crc32c == crc32c_of(DATA)
    assert outcome.result().media_id == MEDIA


def test_a_broken_stream_is_resumed_at_the_committed_offset(wire: Wire, outcome: Outcome) -> None:
    wire.write(2, StatusCode.UNAVAILABLE)
    wire.get(active(1000))
    messages = wire.write(4, finished())
    assert messages[0].upload_id == ID
    assert messages[0].offset == 1000
    assert b"".join(m.data for m in messages) == DATA[1000:]
    assert messages[3].checksums.crc32c == crc32c_of(DATA)
    assert outcome.result().media_id == MEDIA


def test_an_upload_with_all_bytes_committed_is_only_finished(wire: Wire, outcome: Outcome) -> None:
    wire.write(4, StatusCode.UNAVAILABLE)
    wire.get(active(len(DATA)))
    (message,) = wire.write(1, finished())
    assert (message.offset, message.data, message.finish) == (len(DATA), b"", True)
    assert message.checksums.crc32c == crc32c_of(DATA)
    assert outcome.result().media_id == MEDIA


def test_a_stream_with_an_unknown_upload_is_repeated_with_its_key(
    wire: Wire, outcome: Outcome
) -> None:
    wire.write(1, StatusCode.UNAVAILABLE, named=False)
    (message, *_) = wire.write(1, "OFFSET_MISMATCH", named=False, upload_id=ID)
    assert (message.spec.size_bytes, message.request_id) == (len(DATA), KEY)
    wire.get(active(1000))
    messages = wire.write(4, finished())
    assert (messages[0].upload_id, messages[0].offset) == (ID, 1000)
    assert outcome.result().media_id == MEDIA


def test_the_client_waits_for_a_call_that_is_still_running(wire: Wire, outcome: Outcome) -> None:
    wire.write(1, "IDEMPOTENCY_IN_PROGRESS", named=False)
    messages = wire.write(4, finished())
    assert messages[0].request_id == KEY
    assert outcome.result().media_id == MEDIA


def test_a_missing_upload_is_created_again_with_the_same_key(wire: Wire, outcome: Outcome) -> None:
    wire.write(1, StatusCode.UNAVAILABLE)
    wire.get("UPLOAD_NOT_FOUND")
    messages = wire.write(4, finished())
    assert (messages[0].spec.size_bytes, messages[0].request_id) == (len(DATA), KEY)
    assert outcome.result().media_id == MEDIA


def test_a_finish_whose_response_was_lost_is_not_repeated(wire: Wire, outcome: Outcome) -> None:
    wire.write(4, StatusCode.UNAVAILABLE)
    wire.get(finished())
    assert outcome.result().media_id == MEDIA


def test_a_finish_that_took_effect_late_is_detected(wire: Wire, outcome: Outcome) -> None:
    wire.write(4, StatusCode.UNAVAILABLE)
    wire.get(active(PIECE))
    wire.write(1, "UPLOAD_NOT_ACTIVE")
    wire.get(finished())
    assert outcome.result().media_id == MEDIA


def test_the_client_waits_for_a_verification(wire: Wire, outcome: Outcome) -> None:
    verifying = Upload(upload_id=ID, state=Upload.VERIFYING)
    wire.write(4, verifying)
    wire.watch(verifying)
    wire.get(verifying)
    wire.watch(verifying, finished())
    assert outcome.result().media_id == MEDIA


@pytest.mark.parametrize("reason", ["OFFSET_MISMATCH", "CHECKSUM_MISMATCH"])
def test_a_chunk_that_is_refused_every_time_fails_the_upload(
    wire: Wire, outcome: Outcome, reason: str
) -> None:
    wire.write(1, reason)
    wire.get(active(0))
    wire.write(1, reason)
    wire.get(active(0))
    wire.write(1, reason)
    with pytest.raises(MediaServiceError) as caught:
        outcome.result()
    assert caught.value.reason == reason
    assert caught.value.message == "it failed"
    assert caught.value.upload_id == ID


def test_a_superseded_writer_stops(wire: Wire, outcome: Outcome) -> None:
    wire.write(1, "SUPERSEDED")
    with pytest.raises(MediaServiceError) as caught:
        outcome.result()
    assert caught.value.code is grpc.StatusCode.ABORTED


def test_an_upload_that_expired_is_an_error(wire: Wire, outcome: Outcome) -> None:
    wire.write(1, StatusCode.UNAVAILABLE)
    wire.get(Upload(upload_id=ID, state=Upload.EXPIRED))
    with pytest.raises(MediaServiceError, match="EXPIRED; begin a new one"):
        outcome.result()


def test_a_media_with_other_bytes_is_an_error(wire: Wire, outcome: Outcome) -> None:
    answer = finished()
    answer.media.checksums.crc32c ^= 1
    wire.write(4, answer)
    with pytest.raises(MediaServiceError) as caught:
        outcome.result()
    assert caught.value.code is StatusCode.DATA_LOSS


def test_parts_are_completed_with_a_list_and_the_checksum_of_the_whole(
    wire: Wire, in_parts: Outcome
) -> None:
    wire.answer("CreateUpload", active(0))
    messages = wire.put(4)
    assert (messages[0].part_number, messages[0].size_bytes) == (1, len(DATA))
    assert b"".join(message.body.data for message in messages) == DATA
    request = wire.answer("CompleteUpload", finished())
    assert request.checksums.crc32c == crc32c_of(DATA)
    assert list(request.parts) == list(parts(len(DATA)).parts)
    assert in_parts.result().media_id == MEDIA


def test_parts_start_at_the_offset_of_a_superseded_stream(
    wire: Wire, resumed_in_parts: Outcome
) -> None:
    request = wire.answer("CreateUpload", active(1000))
    assert (request.spec.size_bytes, request.request_id) == (len(DATA), KEY)
    wire.answer("ListParts", parts(1000))
    (message,) = wire.write(1, "OFFSET_MISMATCH")
    assert (message.upload_id, message.offset, message.data) == (ID, 1000, b"")
    wire.answer("ListParts", parts(2000))
    messages = wire.put(4)
    assert messages[0].part_number == 2
    assert b"".join(message.body.data for message in messages) == DATA[2000:]
    request = wire.answer("CompleteUpload", finished())
    assert request.checksums.crc32c == crc32c_of(DATA)
    assert list(request.parts) == list(parts(2000, len(DATA)).parts)
    assert resumed_in_parts.result().media_id == MEDIA
