"""Under any failure, an upload stores the right bytes once, or raises a clear error."""

import asyncio
import gzip
import io
import os
import random
import threading
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from grpc import StatusCode

from media_service.ids import new_id
from media_service_client import AsyncClient, MediaServiceError
from tests.support.fake_server import Fake, Fault

DATA = random.Random(1).randbytes(3_000_000)  # noqa: S311


def stored(fake: Fake) -> list[bytes]:
    return [data for _, data in fake.stored.values()]


@pytest.mark.parametrize("size", [0, 1, 524_288, 524_289, 3_000_000])
async def test_bytes_of_any_size_are_stored(client: AsyncClient, fake: Fake, size: int) -> None:
    media = await client.upload(DATA[:size], filename="a.png")
    assert stored(fake) == [DATA[:size]]
    assert media.filename == "a.png"
    assert fake.calls == ["WriteUpload"]


async def test_a_path_determines_the_filename(
    client: AsyncClient, fake: Fake, tmp_path: Path
) -> None:
    (tmp_path / "Ünï\tcode.png").write_bytes(DATA)
    media = await client.upload(tmp_path / "Ünï\tcode.png")
    assert media.filename == "Ünï_code.png"
    assert stored(fake) == [DATA]


async def test_a_file_object_is_read_from_its_current_position(
    client: AsyncClient, fake: Fake, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(DATA)
    with (tmp_path / "a.png").open("rb") as file:
        file.seek(1000)
        media = await client.upload(file)
        assert not file.closed
    assert stored(fake) == [DATA[1000:]]
    assert media.filename == "a.png"


async def test_a_pipe_is_resumed_like_a_file(
    client: AsyncClient, fake: Fake, tmp_path: Path
) -> None:
    fake.inject("WriteUpload", Fault("UNAVAILABLE", after=2_000_000))
    read_end, write_end = os.pipe()
    writer = os.fdopen(write_end, "wb")

    def write() -> None:
        with writer:
            writer.write(DATA)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(read_end, "rb") as pipe:
        await client.upload(pipe, filename="a.png")
    thread.join()
    assert stored(fake) == [DATA]


async def test_a_decompressing_file_object_is_uploaded_decompressed(
    client: AsyncClient, fake: Fake, tmp_path: Path
) -> None:
    with gzip.open(tmp_path / "a.gz", "wb") as packed:
        packed.write(DATA)
    with gzip.open(tmp_path / "a.gz", "rb") as unpacked:
        await client.upload(cast(BinaryIO, unpacked))
    await client.upload(io.BytesIO(DATA))
    assert stored(fake) == [DATA, DATA]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("UNAVAILABLE"),
        Fault("UNAVAILABLE", after=1_700_000),
        Fault("UNAVAILABLE", at_finish=True),
        Fault("CANCELLED", after=1_700_000),
        Fault("CANCELLED", at_finish=True),
        Fault("DEADLINE_EXCEEDED", after=1_700_000),
        Fault("STREAM_TOO_SLOW", after=1_700_000),
        Fault("INTERNAL", after=1_700_000),
        Fault("DATABASE_UNAVAILABLE", after=1_700_000),
        Fault("BUSY", retry_after=0.01),
        Fault("BUSY", after=1_700_000, retry_after=0.01),
        Fault("OFFSET_MISMATCH", after=1_700_000),
        Fault("CHECKSUM_MISMATCH", after=1_700_000),
        Fault("early", after=1_700_000),
        Fault("forget", after=1_700_000),
        Fault("verify"),
    ],
    ids=str,
)
async def test_a_transient_failure_is_retried(
    client: AsyncClient, fake: Fake, fault: Fault
) -> None:
    fake.inject("WriteUpload", fault)
    media = await client.upload(DATA)
    assert stored(fake) == [DATA]
    assert fake.stores == 1
    assert list(fake.stored) == [media.media_id]


async def test_a_resume_starts_after_the_durable_bytes(client: AsyncClient, fake: Fake) -> None:
    fake.inject(
        "WriteUpload", Fault("UNAVAILABLE", after=1_700_000), Fault("UNAVAILABLE", after=700_000)
    )
    await client.upload(DATA)
    assert fake.offsets == [0, 1_500_000, 2_100_000]


async def test_a_finish_is_not_repeated_when_its_response_is_lost(
    client: AsyncClient, fake: Fake
) -> None:
    fake.inject("WriteUpload", Fault("UNAVAILABLE", at_finish=True))
    fake.inject("GetUpload", Fault("UNAVAILABLE"), Fault("UNAVAILABLE"))
    await client.upload(DATA)
    assert fake.calls == ["WriteUpload", "GetUpload", "GetUpload", "GetUpload"]
    assert fake.stores == 1


async def test_a_broken_watch_of_a_verification_is_reopened(
    client: AsyncClient, fake: Fake
) -> None:
    fake.inject("WriteUpload", Fault("verify"))
    fake.inject("WatchUpload", Fault("UNAVAILABLE"))
    await client.upload(DATA)
    assert fake.calls == ["WriteUpload", "WatchUpload", "GetUpload", "WatchUpload"]


async def test_retries_are_counted_from_the_last_progress(client: AsyncClient, fake: Fake) -> None:
    fake.inject("WriteUpload", *[Fault("UNAVAILABLE", after=320_000)] * 9)
    await client.upload(DATA)
    assert stored(fake) == [DATA]


async def test_retries_end_without_progress(client: AsyncClient, fake: Fake) -> None:
    fake.inject("WriteUpload", *[Fault("UNAVAILABLE")] * 9)
    with pytest.raises(MediaServiceError) as caught:
        await client.upload(DATA, request_id=(key := new_id()))
    assert caught.value.code is StatusCode.UNAVAILABLE
    assert caught.value.request_id == key
    assert fake.calls.count("WriteUpload") == 4


@pytest.mark.parametrize("reason", ["SUPERSEDED", "INVALID_FIELD"])
async def test_a_permanent_failure_is_raised_at_once(
    client: AsyncClient, fake: Fake, reason: str
) -> None:
    fake.inject("WriteUpload", Fault(reason, after=1_700_000))
    with pytest.raises(MediaServiceError) as caught:
        await client.upload(DATA)
    assert caught.value.reason == reason
    assert caught.value.metadata == {"key": "value"}
    assert fake.calls == ["WriteUpload"]
    assert not fake.stored


async def test_an_error_names_the_violations_of_a_request(client: AsyncClient, fake: Fake) -> None:
    fake.inject("WriteUpload", Fault("INVALID_FIELD"))
    with pytest.raises(MediaServiceError, match="title: too long") as caught:
        await client.upload(DATA)
    assert caught.value.fields == (("title", "too long"),)


async def test_a_too_long_retry_delay_is_raised_instead_of_waited_for(
    client: AsyncClient, fake: Fake
) -> None:
    fake.inject("WriteUpload", Fault("BUSY", retry_after=3600))
    with pytest.raises(MediaServiceError) as caught:
        await client.upload(DATA)
    assert caught.value.retry_after_seconds == 3600


async def test_refused_bytes_are_still_refused_on_resume(client: AsyncClient, fake: Fake) -> None:
    fake.inject("WriteUpload", Fault("TYPE_NOT_ALLOWED", after=10**9))
    with pytest.raises(MediaServiceError) as caught:
        await client.upload(DATA)
    assert caught.value.reason == "TYPE_NOT_ALLOWED"
    upload_id = caught.value.upload_id
    with pytest.raises(MediaServiceError) as caught:
        await client.upload(DATA, upload_id=upload_id)
    assert caught.value.reason == "TYPE_NOT_ALLOWED"


@pytest.mark.parametrize("by", ["request_id", "upload_id"])
async def test_an_interrupted_upload_is_resumed(client: AsyncClient, fake: Fake, by: str) -> None:
    fake.inject("WriteUpload", Fault("SUPERSEDED", after=1_700_000))
    with pytest.raises(MediaServiceError) as caught:
        await client.upload(DATA)
    media = await client.upload(DATA, **{by: getattr(caught.value, by)})
    assert stored(fake) == [DATA]
    assert fake.offsets[-1] == 1_500_000
    # Once it has finished, its media is returned.
    assert await client.upload(DATA, **{by: getattr(caught.value, by)}) == media
    assert fake.stores == 1


async def test_an_upload_whose_id_never_arrived_is_resumed(client: AsyncClient, fake: Fake) -> None:
    fake.sends_ids = False
    fake.inject("WriteUpload", *[Fault("UNAVAILABLE", after=1_700_000)] * 2)
    await client.upload(DATA)
    assert stored(fake) == [DATA]
    assert fake.calls == ["WriteUpload", "WriteUpload", "GetUpload", "WriteUpload"]


async def test_another_file_is_not_appended_to_an_interrupted_upload(
    client: AsyncClient, fake: Fake
) -> None:
    fake.inject("WriteUpload", Fault("SUPERSEDED", after=1_700_000))
    with pytest.raises(MediaServiceError) as caught:
        await client.upload(DATA)
    upload_id = caught.value.upload_id
    with pytest.raises(MediaServiceError, match="begun with another file"):
        await client.upload(DATA[:-1], upload_id=upload_id)
    with pytest.raises(MediaServiceError) as caught:
        await client.upload(DATA[::-1], upload_id=upload_id)
    assert caught.value.reason == "CHECKSUM_MISMATCH"
    assert not fake.stored


async def test_a_finished_upload_of_another_file_is_an_error(
    client: AsyncClient, fake: Fake
) -> None:
    await client.upload(DATA)
    (upload_id,) = fake.sessions
    with pytest.raises(MediaServiceError, match="does not hold the bytes"):
        await client.upload(DATA[::-1], upload_id=upload_id)


async def test_resuming_a_missing_upload_does_not_create_it(
    client: AsyncClient, fake: Fake
) -> None:
    with pytest.raises(MediaServiceError) as caught:
        await client.upload(DATA, upload_id=new_id())
    assert caught.value.reason == "UPLOAD_NOT_FOUND"
    assert fake.calls == ["GetUpload"]


@pytest.mark.parametrize("change", ["touched", "cut"])
async def test_a_file_that_changes_during_the_upload_is_not_stored(
    client: AsyncClient, fake: Fake, tmp_path: Path, change: str
) -> None:
    data = DATA * 8
    path = Path(tmp_path / "a.png")
    path.write_bytes(data)

    def change_file() -> None:
        if change == "cut":
            os.truncate(path, 100)
        else:
            os.utime(path, ns=(1, 1))

    fake.after_bytes[1 << 20] = change_file
    fake.inject("WriteUpload", Fault("UNAVAILABLE", after=1_200_000))
    with pytest.raises(MediaServiceError, match=r"a\.png changed while it was uploaded"):
        await client.upload(path)
    assert not fake.stored


async def test_a_missing_file_raises_file_not_found_error(client: AsyncClient) -> None:
    with pytest.raises(FileNotFoundError):
        await client.upload("/nowhere/a.png")


async def test_progress_ends_at_the_total_size(client: AsyncClient, fake: Fake) -> None:
    fake.inject("WriteUpload", Fault("UNAVAILABLE", after=1_700_000))
    seen: list[tuple[int, int]] = []
    await client.upload(DATA, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3_000_000, 3_000_000)
    assert (1_500_000, 3_000_000) in seen


async def test_an_error_in_the_progress_callback_is_raised(client: AsyncClient) -> None:
    def broken(done: int, total: int) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await client.upload(DATA, progress=broken)


async def test_a_cancelled_upload_stops_and_can_be_resumed(address: str, fake: Fake) -> None:
    key = new_id()
    data = DATA * 8
    async with AsyncClient(address, token="secret") as client:
        task = asyncio.create_task(client.upload(data, request_id=key))
        loop = asyncio.get_running_loop()
        fake.after_bytes[1 << 20] = lambda: loop.call_soon_threadsafe(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.upload(data, request_id=key)
    assert stored(fake) == [data]
