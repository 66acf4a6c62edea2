"""For any sequence of failures, the stored bytes equal the source, once, or the error is clear."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_service_client import AsyncClient, Backoff, Client, MediaServiceError
from tests.support.fake_server import Fake, Fault, new_fake, serving

DATA = random.Random(3).randbytes(2_500_000)  # noqa: S311
EAGER = Backoff(first_seconds=0, attempts=4)

PASSING = ["UNAVAILABLE", "CANCELLED", "INTERNAL", "DEADLINE_EXCEEDED", "early"]
positions = st.integers(0, len(DATA))
write_faults = st.lists(
    st.one_of(
        st.builds(
            Fault,
            st.sampled_from(
                [*PASSING, "OFFSET_MISMATCH", "CHECKSUM_MISMATCH", "SUPERSEDED", "forget"]
            ),
            positions,
        ),
        st.builds(Fault, st.just("UNAVAILABLE"), at_finish=st.just(True)),
        st.builds(Fault, st.just("BUSY"), positions, retry_after=st.just(0.001)),
        st.just(Fault("verify")),
    ),
    max_size=6,
)
other_faults = st.lists(
    st.builds(Fault, st.sampled_from(["UNAVAILABLE", "CANCELLED", "INTERNAL"])), max_size=4
)
read_faults = st.lists(
    st.builds(Fault, st.sampled_from([*PASSING, "damage"]), positions), max_size=6
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Fake, str]]:
    fake = new_fake()
    with serving(fake) as address:
        yield fake, address


def upload(kind: str, address: str, size: int) -> None:
    if kind == "sync":
        with Client(address, token="secret", backoff=EAGER) as client:
            client.upload(DATA[:size])
        return

    async def run() -> None:
        async with AsyncClient(address, token="secret", backoff=EAGER) as client:
            await client.upload(DATA[:size])

    asyncio.run(run())


def download(kind: str, address: str, target: Path) -> None:
    if kind == "sync":
        with Client(address, token="secret", backoff=EAGER) as client:
            client.download("id", target)
        return

    async def run() -> None:
        async with AsyncClient(address, token="secret", backoff=EAGER) as client:
            await client.download("id", target)

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["sync", "async"])
@settings(max_examples=60)
@given(size=positions, writes=write_faults, gets=other_faults, watches=other_faults)
def test_an_upload_is_stored_correctly_once_or_refused(
    served: tuple[Fake, str],
    kind: str,
    size: int,
    writes: list[Fault],
    gets: list[Fault],
    watches: list[Fault],
) -> None:
    fake, address = served
    Fake.__init__(fake)
    fake.inject("WriteUpload", *writes)
    fake.inject("GetUpload", *gets)
    fake.inject("WatchUpload", *watches)
    try:
        upload(kind, address, size)
    except MediaServiceError as failure:
        refused = failure.reason == "SUPERSEDED"
        assert refused or len(writes) + len(gets) + len(watches) >= EAGER.attempts
        assert fake.stores <= 1
    else:
        assert [data for _, data in fake.stored.values()] == [DATA[:size]]
        assert fake.stores == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
@settings(max_examples=60)
@given(size=st.integers(1, len(DATA)), reads=read_faults)
def test_a_downloaded_file_is_correct_or_absent(
    served: tuple[Fake, str], kind: str, size: int, reads: list[Fault]
) -> None:
    fake, address = served
    Fake.__init__(fake)
    fake.store(DATA[:size], "id")
    fake.inject("Download", *reads)
    with TemporaryDirectory() as folder:
        target = Path(folder) / "out"
        try:
            download(kind, address, target)
        except MediaServiceError:
            assert len(reads) >= EAGER.attempts
            assert list(Path(folder).iterdir()) == []
        else:
            assert target.read_bytes() == DATA[:size]
            assert list(Path(folder).iterdir()) == [target]
