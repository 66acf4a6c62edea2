"""An object store that accepts connections but never answers: callers get an error, other callers
are not delayed, nothing is lost, and work resumes when the store answers again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mediaservice.v1 import media_pb2

from media_service.ids import new_id
from media_service.storage.blob_store import BlobStore, open_store
from media_service.storage.drivers.gcs.driver import GcsDriver
from media_service.storage.drivers.s3.driver import S3Driver
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rpc.catalogue import listed, until_done
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.streams_of_writes import MIB, chunks
from tests.support.stores.faulty_network import Network, network_before
from tests.support.stores.gcs_server import GCS_BUCKET
from tests.support.stores.s3_server import ACCESS, BUCKET, SECRET

PART = 8 * MIB


def impatient(name: str, url: str) -> BlobStore:
    """A store with a timeout of half a second."""
    store = open_store(name, url)
    match store.driver:
        case S3Driver() as driver:
            return BlobStore(name, S3Driver(driver.location, read_seconds=0.5))
        case GcsDriver() as driver:
            bucket = driver.bucket
            return BlobStore(
                name, GcsDriver(bucket.name, driver.prefix, bucket.endpoint, read_seconds=0.5)
            )
    return store


URLS = {
    "s3": f"s3://{BUCKET}/{{folder}}?region=us-east-1&path_style=true&endpoint={{endpoint}}",
    "gcs": f"gs://{GCS_BUCKET}/{{folder}}?endpoint={{endpoint}}",
}


@dataclass
class Harness:
    """A server, a worker, and the network between them and their store."""

    network: Network
    service: Running
    ann: Caller

    async def asked(self, times: int) -> None:
        """Waits until the store has received this many requests."""
        async with asyncio.timeout(20):
            while len(self.network.seen) < times:
                await asyncio.sleep(0.01)


@pytest.fixture(params=URLS)
async def harness(
    request: pytest.FixtureRequest, start: Start, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Harness]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    endpoint = request.getfixturevalue(f"{request.param}_endpoint")
    async with network_before(endpoint) as network:
        url = URLS[request.param].format(folder=new_id(), endpoint=network.url)
        service = await start(work=True, opener=impatient, storage_raw_url=url)
        yield Harness(network, service, await service.caller())


async def is_refused(call: Awaitable[object]) -> None:
    refusal = await refused(call)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")


async def test_callers_get_an_error_and_resume_when_the_store_answers_again(
    harness: Harness,
) -> None:
    ann, network = harness.ann, harness.network
    data, image = video_bytes(2 * PART + MIB), jpeg()
    upload_id = (await ann.create(size_bytes=len(data))).upload_id
    await ann.write(chunks(data[:PART], upload_id=upload_id, finish=False))
    kept = await ann.store(image)
    assert (await until_done(ann, kept.media_id)).state == media_pb2.Media.READY

    network.fault = lambda request, body: "silent"
    network.seen.clear()
    calls = [
        asyncio.create_task(is_refused(call))
        for call in (
            ann.write(chunks(data, upload_id=upload_id, start=PART)),
            ann.store(jpeg(32, 32)),
            ann.content(kept.media_id),
        )
    ]
    await harness.asked(len(calls))
    async with grpc.aio.insecure_channel(harness.service.address) as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert [media.media_id for media in await listed(ann)] == [kept.media_id]
    assert (await ann.get_upload(upload_id)).committed_size_bytes == PART
    await asyncio.gather(*calls)

    network.fault = lambda request, body: None
    assert (await ann.get_upload(upload_id)).committed_size_bytes == PART
    done = await ann.write(chunks(data, upload_id=upload_id, start=PART))
    assert await ann.content(done.media.media_id) == data
    assert await ann.content(kept.media_id) == image
    stored = await ann.store(jpeg(32, 32))
    assert await ann.content(stored.media_id) == jpeg(32, 32)


async def test_an_inspection_is_delayed_until_the_store_answers_again(harness: Harness) -> None:
    harness.network.fault = lambda request, body: "silent" if request.method == "GET" else None
    stored = await harness.ann.store(jpeg())
    async with asyncio.timeout(30), harness.service.database() as db:
        query = "select error_reason from jobs where subject_id = %s and error_reason is not null"
        while (row := await (await db.execute(query, (stored.media_id,))).fetchone()) is None:
            await asyncio.sleep(0.05)
    assert row == ("STORAGE_UNAVAILABLE",)
    harness.network.fault = lambda request, body: None
    media = await until_done(harness.ann, stored.media_id)
    assert media.state == media_pb2.Media.READY
