"""A download writes the right bytes to the requested path, or nothing."""

import asyncio
import io
import random
import threading
from pathlib import Path

import pytest
from crc32c import crc32c as crc32c_of
from grpc import StatusCode

from media_service.ids import new_id
from media_service_client import AsyncClient, MediaServiceError
from tests.support.fake_server import Fake, Fault

DATA = random.Random(2).randbytes(2_500_000)  # noqa: S311


@pytest.fixture
def media_id(fake: Fake) -> str:
    media_id = new_id()
    fake.store(DATA, media_id)
    return media_id


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        (0, 0, DATA),
        (1000, 0, DATA[1000:]),
        (1000, 300_000, DATA[1000:301_000]),
        (-250_000, 0, DATA[-250_000:]),
        (0, 10, DATA[:10]),
    ],
)
@pytest.mark.parametrize("broken", [False, True])
async def test_a_range_is_fetched(
    client: AsyncClient,
    fake: Fake,
    media_id: str,
    tmp_path: Path,
    offset: int,
    limit: int,
    expected: bytes,
    broken: bool,
) -> None:
    if broken:
        fake.inject("Download", Fault("UNAVAILABLE", after=100_000))
    await client.download(media_id, tmp_path / "out", offset=offset, limit=limit)
    assert (tmp_path / "out").read_bytes() == expected


@pytest.mark.parametrize(
    "fault",
    [
        Fault("UNAVAILABLE"),
        Fault("UNAVAILABLE", after=1_700_000),
        Fault("CANCELLED", after=1_700_000),
        Fault("INTERNAL", after=1_700_000),
        Fault("BUSY", retry_after=0.01),
        Fault("early", after=1_700_000),
        Fault("early"),
        Fault("damage"),
        Fault("damage", after=1_700_000),
    ],
    ids=str,
)
async def test_a_transient_failure_is_retried(
    client: AsyncClient, fake: Fake, media_id: str, tmp_path: Path, fault: Fault
) -> None:
    fake.inject("Download", fault)
    media = await client.download(media_id, tmp_path / "out")
    assert media.media_id == media_id
    assert (tmp_path / "out").read_bytes() == DATA
    assert len(fake.calls) == 2
    assert fake.offsets == [0, min(fault.after, 1_700_000)]


async def test_a_file_object_gets_each_byte_once(
    client: AsyncClient, fake: Fake, media_id: str
) -> None:
    fake.inject("Download", *[Fault("UNAVAILABLE", after=300_000)] * 7)
    target = io.BytesIO()
    await client.download(media_id, target)
    assert target.getvalue() == DATA


async def test_retries_end_without_progress(
    client: AsyncClient, fake: Fake, media_id: str, tmp_path: Path
) -> None:
    fake.inject("Download", *[Fault("damage", after=400_000)] + [Fault("damage")] * 9)
    with pytest.raises(MediaServiceError) as caught:
        await client.download(media_id, tmp_path / "out")
    assert caught.value.reason == "CHECKSUM_MISMATCH"
    assert list(tmp_path.iterdir()) == []


async def test_damaged_content_does_not_replace_a_file(
    client: AsyncClient, fake: Fake, media_id: str, tmp_path: Path
) -> None:
    media, _ = fake.stored[media_id]
    fake.stored[media_id] = (media, DATA[:-1] + b"\0")
    (tmp_path / "out").write_bytes(b"before")
    with pytest.raises(MediaServiceError, match="other bytes") as caught:
        await client.download(media_id, tmp_path / "out")
    assert caught.value.code is StatusCode.DATA_LOSS
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


async def test_content_that_changes_during_a_download_is_refused(
    client: AsyncClient, fake: Fake, media_id: str, tmp_path: Path
) -> None:
    def change() -> None:
        media, _ = fake.stored[media_id]
        changed = type(media).FromString(media.SerializeToString())
        changed.checksums.crc32c = crc32c_of(DATA[::-1])
        fake.stored[media_id] = (changed, DATA[::-1])

    fake.after_bytes[1_000_000] = change
    fake.inject("Download", Fault("UNAVAILABLE", after=1_200_000))
    with pytest.raises(MediaServiceError) as caught:
        await client.download(media_id, tmp_path / "out")
    assert caught.value.reason == "CONTENT_CHANGED"
    assert list(tmp_path.iterdir()) == []


async def test_a_download_of_an_unknown_id_leaves_no_file(
    client: AsyncClient, tmp_path: Path
) -> None:
    with pytest.raises(MediaServiceError) as caught:
        await client.download(new_id(), tmp_path / "out")
    assert caught.value.reason == "MEDIA_NOT_FOUND"
    assert list(tmp_path.iterdir()) == []


async def test_a_downloaded_file_has_default_permissions(
    client: AsyncClient, media_id: str, tmp_path: Path
) -> None:
    (tmp_path / "usual").touch()
    await client.download(media_id, tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


async def test_concurrent_downloads_to_one_path_do_not_mix(
    client: AsyncClient, media_id: str, tmp_path: Path
) -> None:
    await asyncio.gather(*[client.download(media_id, tmp_path / "out") for _ in range(4)])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [DATA]


async def test_progress_counts_received_bytes(
    client: AsyncClient, fake: Fake, media_id: str, tmp_path: Path
) -> None:
    fake.inject("Download", Fault("UNAVAILABLE", after=1_700_000))
    seen: list[tuple[int, int]] = []
    await client.download(
        media_id, tmp_path / "out", progress=lambda done, total: seen.append((done, total))
    )
    assert seen == sorted(seen)
    assert seen[-1] == (2_500_000, 2_500_000)


async def test_a_cancelled_download_leaves_no_file(
    address: str, fake: Fake, media_id: str, tmp_path: Path
) -> None:
    async with AsyncClient(address, token="secret") as client:
        task = asyncio.create_task(client.download(media_id, tmp_path / "out"))
        loop = asyncio.get_running_loop()
        cancelled = threading.Event()

        def cancel() -> None:
            loop.call_soon_threadsafe(task.cancel)
            loop.call_soon_threadsafe(cancelled.set)
            assert cancelled.wait(10)

        fake.after_bytes[1_000_000] = cancel
        with pytest.raises(asyncio.CancelledError):
            await task
    assert list(tmp_path.iterdir()) == []
