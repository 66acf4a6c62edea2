"""An interrupted download continues where it stopped, if the content is still the same."""

import fcntl
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from crc32c import crc32c as crc32c_of

from media_service_client import AsyncClient, MediaServiceError
from tests.support.cli import Run
from tests.support.fake_server import Fake, Fault

DATA = random.Random(3).randbytes(2_500_000)  # noqa: S311
BREAK = Fault("UNAVAILABLE", after=1_700_000)
LASTING = [BREAK, *[Fault("UNAVAILABLE")] * 9]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.bin"


def parts(target: Path) -> list[Path]:
    return list(target.parent.glob("out.bin.*.part"))


async def interrupt(client: AsyncClient, fake: Fake, target: Path, rendition: str = "") -> None:
    """Receives 1.7 MB."""
    fake.faults.clear()
    fake.inject("Download", *LASTING)
    with pytest.raises(MediaServiceError):
        await client.download("id", target, rendition=rendition, resume=True)
    fake.faults.clear()
    fake.offsets.clear()


async def test_a_download_continues_where_an_earlier_one_stopped(
    client: AsyncClient, fake: Fake, target: Path
) -> None:
    fake.store(DATA, "id")
    await interrupt(client, fake, target)
    assert not target.exists()
    assert [part.read_bytes() for part in parts(target)] == [DATA[:1_700_000]]
    await client.download("id", target, resume=True)
    assert fake.offsets == [1_700_000]
    assert target.read_bytes() == DATA
    assert parts(target) == []


async def test_a_download_of_a_rendition_continues(
    client: AsyncClient, fake: Fake, target: Path
) -> None:
    media = fake.store(b"original", "id")
    fake.renditions["large"] = DATA
    media.renditions.add(name="large", size_bytes=len(DATA)).checksums.crc32c = crc32c_of(DATA)
    await interrupt(client, fake, target, "large")
    await client.download("id", target, rendition="large", resume=True)
    assert (fake.offsets, target.read_bytes()) == ([1_700_000], DATA)


async def test_other_content_is_downloaded_from_its_start(
    client: AsyncClient, fake: Fake, target: Path
) -> None:
    fake.store(DATA, "id")
    await interrupt(client, fake, target)
    fake.store(DATA[::-1], "id")
    await client.download("id", target, resume=True)
    assert (fake.offsets, target.read_bytes()) == ([0], DATA[::-1])


@pytest.mark.parametrize("damage", [b"damaged", DATA + b"more"])
async def test_a_damaged_part_is_replaced(
    client: AsyncClient, fake: Fake, target: Path, damage: bytes
) -> None:
    fake.store(DATA, "id")
    await interrupt(client, fake, target)
    (part,) = parts(target)
    part.write_bytes(damage)
    await client.download("id", target, resume=True)
    assert target.read_bytes() == DATA
    assert fake.offsets[-1] == 0
    assert parts(target) == []


async def test_a_part_that_is_complete_is_only_checked(
    client: AsyncClient, fake: Fake, target: Path
) -> None:
    fake.store(DATA, "id")
    await interrupt(client, fake, target)
    (part,) = parts(target)
    part.write_bytes(DATA)
    await client.download("id", target, resume=True)
    assert (fake.offsets, target.read_bytes()) == ([], DATA)


async def test_a_refused_download_leaves_nothing(
    client: AsyncClient, fake: Fake, target: Path
) -> None:
    fake.store(DATA, "id")
    fake.stored["id"] = (fake.stored["id"][0], DATA[:-1] + b"?")
    with pytest.raises(MediaServiceError, match="other bytes"):
        await client.download("id", target, resume=True)
    assert list(target.parent.iterdir()) == []


async def test_two_downloads_at_a_time_do_not_share_a_part(
    client: AsyncClient, fake: Fake, target: Path
) -> None:
    fake.store(DATA, "id")
    await interrupt(client, fake, target)
    (part,) = parts(target)
    with part.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        await client.download("id", target, resume=True)
        assert (fake.offsets, target.read_bytes()) == ([0], DATA)
        assert part.read_bytes() == DATA[:1_700_000]
    target.unlink()
    await client.download("id", target, resume=True)
    assert (fake.offsets, target.read_bytes()) == ([0, 1_700_000], DATA)


def test_a_stopped_command_continues_when_it_is_repeated(
    run: Run, fake: Fake, environment: dict[str, str], target: Path
) -> None:
    fake.store(DATA * 20, "id")
    command = [sys.executable, "-m", "media_service", "download", "id", "-o", str(target)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    fake.after_bytes[20_000_000] = lambda: process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "To continue, repeat the command." in stderr
    (part,) = parts(target)
    size = part.stat().st_size
    assert 0 < size < len(DATA) * 20
    assert run("download", "id", "-o", target).exit_code == 0
    assert fake.offsets == [0, size]
    assert target.read_bytes() == DATA * 20
