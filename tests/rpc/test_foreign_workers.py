"""Foreign workers over RabbitMQ: what they deliver is verified, and what comes late is refused."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiormq
import pytest
from aiormq.abc import AbstractChannel
from google.rpc import error_details_pb2
from mediaservice.v1 import (
    job_pb2,
    job_service_pb2,
    media_pb2,
    media_service_pb2,
    policy_service_pb2,
    processing_service_pb2,
    upload_service_pb2,
)

from media_service.codecs.image.perceptual_hash import perceptual_hashes
from media_service.foreign import dispatcher, exchange
from media_service.foreign.messages import FAILED, MAX_BYTES, PROCESS, PROCESSED, PROGRESS
from tests.support.media.photos import photo
from tests.support.media.small_files import jpeg, png
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.sharing import make_administrator
from tests.support.stores.rabbitmq_server import RabbitmqServer
from tests.support.tools import eventually_async

Reply = dict[str, Any]
RESULT = png(32, 24)


@dataclass
class ForeignWorker:
    """A worker as docs/asyncapi.yaml describes it."""

    channel: AbstractChannel
    ann: Caller

    async def take(self) -> Reply:
        """The next job."""
        jobs: list[Reply] = []

        async def taken() -> bool:
            message = await self.channel.basic_get(PROCESS, no_ack=True)
            if message.delivery_tag:
                jobs.append(json.loads(message.body))
            return bool(jobs)

        await eventually_async(taken)
        return jobs[0]

    async def put(self, job: Reply, data: bytes) -> None:
        token = job["results"][0]["url"].rpartition("/")[2]
        request = upload_service_pb2.PutSignedRequest(token=token)
        request.body.data = data
        await self.ann.uploads.PutSigned(iter([request]))

    async def reply(self, name: str, body: Reply | bytes) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self.channel.basic_publish(data, exchange=exchange.REPLIES, routing_key=name)

    async def processed(self, job: Reply, data: bytes = RESULT, **changes: Any) -> None:
        described = {
            **job["results"][0],
            "contentType": "image/png",
            "sizeBytes": len(data),
            "width": 32,
            "height": 24,
            **changes,
        }
        await self.reply(PROCESSED, {"token": job["token"], "results": [described]})

    async def waiting(self, queue: str) -> int | None:
        return (await self.channel.queue_declare(queue, passive=True)).message_count


@pytest.fixture
async def channel(rabbitmq: RabbitmqServer) -> AsyncIterator[AbstractChannel]:
    connection = await aiormq.connect(rabbitmq.url)
    channel = await connection.channel()
    await exchange.declare(channel)
    for queue in (PROCESS, PROGRESS, PROCESSED, FAILED, exchange.DEAD):
        await channel.queue_purge(queue)
    yield channel
    await connection.close()


@pytest.fixture
async def server(start: Start, rabbitmq: RabbitmqServer, channel: AbstractChannel) -> Running:
    return await start(work=True, rabbitmq_url=rabbitmq.url, foreign_operations="blur")


@pytest.fixture
async def ann(server: Running) -> Caller:
    return await server.caller("ann")


@pytest.fixture
def worker(channel: AbstractChannel, ann: Caller) -> ForeignWorker:
    return ForeignWorker(channel, ann)


async def request(ann: Caller, ops: str = "blur:4") -> job_pb2.Job:
    media = await ann.store(jpeg())
    return await ann.call(
        ann.processing.ProcessMedia,
        processing_service_pb2.ProcessMediaRequest(
            media_id=media.media_id, ops=ops, rendition_name="soft"
        ),
    )


async def job_of(ann: Caller, job: job_pb2.Job) -> job_pb2.Job:
    return await ann.call(ann.jobs.GetJob, job_service_pb2.GetJobRequest(job_id=job.job_id))


async def until(ann: Caller, job: job_pb2.Job, holds: Callable[[job_pb2.Job], bool]) -> job_pb2.Job:
    async def found() -> job_pb2.Job | None:
        now = await job_of(ann, job)
        return now if holds(now) else None

    return await eventually_async(found)


async def until_state(
    ann: Caller, job: job_pb2.Job, state: job_pb2.Job.State.ValueType
) -> job_pb2.Job:
    return await until(ann, job, lambda now: now.state == state)


def cause(job: job_pb2.Job) -> tuple[str, dict[str, str]]:
    info = error_details_pb2.ErrorInfo()
    for detail in job.error.details:
        detail.Unpack(info)
    return info.reason, dict(info.metadata)


async def renditions(ann: Caller, job: job_pb2.Job) -> list[media_pb2.Rendition]:
    request = media_service_pb2.GetMediaRequest(media_id=job.media_id)
    media = await ann.call(ann.media.GetMedia, request)
    return [each for each in media.renditions if each.name == "soft"]


async def test_a_result_becomes_a_rendition_once(
    server: Running, ann: Caller, worker: ForeignWorker
) -> None:
    wanted = await request(ann, "blur:4,negate")
    job = await worker.take()
    assert job["jobId"] == wanted.job_id
    assert job["mediaId"] == wanted.media_id
    assert job["operations"] == ["blur:sigma=4.0", "negate"]
    assert job["source"]["contentType"] == "image/jpeg"
    assert job["source"]["sizeBytes"] == len(jpeg())
    assert [each["rendition"] for each in job["results"]] == ["soft"]
    await worker.reply(PROGRESS, {"token": job["token"], "stage": "blur", "percent": 40})
    running = await until(ann, wanted, lambda now: now.stage == "blur")
    assert (running.type, running.progress_percent) == (job_pb2.Job.PROCESS, 40)
    listed = job_service_pb2.ListJobsRequest(type=job_pb2.Job.PROCESS)
    assert [each.job_id for each in (await ann.call(ann.jobs.ListJobs, listed)).jobs] == [
        wanted.job_id
    ]
    await worker.put(job, RESULT)
    await worker.processed(job, sha256=hashlib.sha256(RESULT).hexdigest())
    done = await until_state(ann, wanted, job_pb2.Job.SUCCEEDED)
    assert (done.rendition.content_type, done.rendition.width) == ("image/png", 32)
    # What comes twice changes nothing, whatever it says.
    assert (await refused(worker.put(job, RESULT))).reason == "LINK_INVALID"
    await worker.processed(job, width=99)
    await worker.reply(FAILED, {"token": job["token"], "code": "LATE"})
    await worker.reply(PROGRESS, {"token": job["token"]})

    async def handled() -> bool:
        return not any([await worker.waiting(each) for each in (PROCESSED, FAILED, PROGRESS)])

    await eventually_async(handled)
    assert await job_of(ann, wanted) == done
    assert await renditions(ann, wanted) == [done.rendition]

    async def announced() -> bool:
        async with server.database() as db:
            rows = await db.execute(
                "select type from events where subject = %s order by cursor",
                (f"job/{wanted.job_id}",),
            )
            types = ("job.created", "job.started", "job.succeeded")
            return [type_ for (type_,) in await rows.fetchall()] == list(types)

    await eventually_async(announced)


@pytest.mark.parametrize(
    ("data", "changes", "reason", "problem"),
    [
        (RESULT, {"sizeBytes": 5}, "FOREIGN_RESULT_REFUSED", f"it has {len(RESULT)} bytes"),
        (RESULT, {"width": 33}, "FOREIGN_RESULT_REFUSED", "it has 32x24 pixels"),
        (RESULT, {"contentType": "image/webp"}, "FOREIGN_RESULT_REFUSED", "of the type image/png"),
        (RESULT, {"sha256": "0" * 64}, "FOREIGN_RESULT_REFUSED", "it has another SHA-256"),
        (RESULT, {"rendition": "other"}, "FOREIGN_RESULT_REFUSED", "another rendition"),
        (b"", {"sizeBytes": 5}, "FOREIGN_RESULT_REFUSED", "there is no file at its URL"),
        (b"<html><script>", {}, "TYPE_NOT_ALLOWED", ""),
        (RESULT[:-40], {}, "MEDIA_CORRUPT", ""),
    ],
    ids=["size", "width", "type", "hash", "rendition", "nothing", "active", "broken"],
)
async def test_a_result_that_is_not_what_it_says_fails_the_job(
    ann: Caller,
    worker: ForeignWorker,
    data: bytes,
    changes: Reply,
    reason: str,
    problem: str,
) -> None:
    wanted = await request(ann)
    job = await worker.take()
    if data:
        await worker.put(job, data)
    await worker.processed(job, data or RESULT, **changes)
    failed = await until_state(ann, wanted, job_pb2.Job.FAILED)
    found, metadata = cause(failed)
    assert found == reason
    assert problem in metadata.get("problem", "")
    assert await renditions(ann, wanted) == []


async def test_a_result_that_looks_like_a_blocked_image_fails_the_job(
    server: Running, ann: Caller, worker: ForeignWorker
) -> None:
    image = photo(80).resize(0.4)
    await make_administrator(server, "root")
    root = await server.caller("root")
    blocked = policy_service_pb2.BlockFileRequest(
        resource="service:", perceptual_hash=perceptual_hashes(image)[0]
    )
    await root.call(root.policies.BlockFile, blocked)
    wanted = await request(ann)
    job = await worker.take()
    data = bytes(image.resize(0.9).pngsave_buffer())
    width, height = round(image.width * 0.9), round(image.height * 0.9)
    await worker.put(job, data)
    await worker.processed(job, data, width=width, height=height)
    failed = await until_state(ann, wanted, job_pb2.Job.FAILED)
    assert cause(failed) == ("FILE_BLOCKED", {"sha256": hashlib.sha256(data).hexdigest()})
    assert await renditions(ann, wanted) == []


async def test_a_failure_says_its_code_and_not_more(ann: Caller, worker: ForeignWorker) -> None:
    wanted = await request(ann)
    job = await worker.take()
    failure = {"token": job["token"], "code": "OUT_OF_MEMORY", "message": "at 10.0.0.7"}
    await worker.reply(FAILED, failure)
    failed = await until_state(ann, wanted, job_pb2.Job.FAILED)
    assert cause(failed) == ("FOREIGN_WORKER_FAILED", {"code": "OUT_OF_MEMORY"})
    assert "10.0.0.7" not in str(failed)


async def test_a_failure_that_may_pass_is_tried_again(
    ann: Caller, worker: ForeignWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "backoff", lambda _: timedelta())
    wanted = await request(ann)
    first = await worker.take()
    await worker.reply(FAILED, {"token": first["token"], "code": "BUSY", "retriable": True})
    second = await worker.take()
    assert (second["jobId"], second["attempt"]) == (wanted.job_id, 2)
    await worker.put(second, RESULT)
    await worker.processed(second)
    await until_state(ann, wanted, job_pb2.Job.SUCCEEDED)


async def test_a_worker_that_falls_silent_loses_the_job(
    ann: Caller, worker: ForeignWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "HEARTBEAT", timedelta(milliseconds=200))
    wanted = await request(ann)
    first = await worker.take()
    await worker.put(first, RESULT)
    await worker.reply(PROGRESS, {"token": first["token"]})
    second = await worker.take()
    assert second["token"] != first["token"]
    # The first one was only slow. Its fence is old.
    assert (await refused(worker.put(first, RESULT))).reason == "LINK_INVALID"
    await worker.processed(first)
    await worker.put(second, RESULT)
    await worker.processed(second)
    done = await until_state(ann, wanted, job_pb2.Job.SUCCEEDED)
    assert done.attempt == 2


async def test_a_cancelled_job_takes_no_result(ann: Caller, worker: ForeignWorker) -> None:
    wanted = await request(ann)
    job = await worker.take()
    await worker.put(job, RESULT)
    cancel = job_service_pb2.CancelJobRequest(job_id=wanted.job_id)
    await ann.call(ann.jobs.CancelJob, cancel)
    await worker.processed(job)
    assert (await refused(worker.put(job, RESULT))).reason == "LINK_INVALID"

    async def handled() -> bool:
        return not await worker.waiting(PROCESSED)

    await eventually_async(handled)
    assert (await job_of(ann, wanted)).state == job_pb2.Job.CANCELLED
    assert await renditions(ann, wanted) == []


@pytest.mark.parametrize("name", [PROGRESS, PROCESSED, FAILED])
async def test_messages_that_nobody_understands_are_set_aside(
    ann: Caller, worker: ForeignWorker, name: str
) -> None:
    bodies: list[Reply | bytes] = [
        b"",
        b"\xff{",
        b"[]",
        b"{}",
        b"[" * 50_000,
        b" " * (MAX_BYTES + 1),
        {"token": "x", "code": "BAD", "results": []},
        {"token": "a.b.c", "code": "BAD", "percent": 1e9},
    ]
    for body in bodies:
        await worker.reply(name, body)

    async def set_aside() -> bool:
        return await worker.waiting(exchange.DEAD) == len(bodies)

    await eventually_async(set_aside)
    wanted = await request(ann)
    job = await worker.take()
    await worker.put(job, RESULT)
    await worker.processed(job)
    await until_state(ann, wanted, job_pb2.Job.SUCCEEDED)


async def test_other_operations_stay_here(ann: Caller, worker: ForeignWorker) -> None:
    wanted = await request(ann, "negate")
    await until_state(ann, wanted, job_pb2.Job.SUCCEEDED)
    assert await worker.waiting(PROCESS) == 0


async def test_a_worker_of_the_service_does_jobs_that_were_meant_for_others(
    start: Start, ann: Caller, worker: ForeignWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting was changed while they waited."""
    monkeypatch.setattr(dispatcher.Dispatcher, "_send_all", nothing_sent)
    wanted = await request(ann)
    await start(work=True)
    await until_state(ann, wanted, job_pb2.Job.SUCCEEDED)


async def nothing_sent(*_: object) -> bool:
    return False


@pytest.mark.parametrize("name", ["stream", "storyboard", "fly"])
async def test_only_operations_that_make_one_file_are_foreign(start: Start, name: str) -> None:
    with pytest.raises(Exception, match=f"MEDIA_FOREIGN_OPERATIONS must be .* {name}"):
        await start(rabbitmq_url="amqp://localhost", foreign_operations=name)


async def test_jobs_and_reports_survive_a_killed_broker(
    ann: Caller, worker: ForeignWorker, rabbitmq: RabbitmqServer
) -> None:
    """A job that was out, one whose report the broker held, and one that came meanwhile."""
    wanted = [await request(ann), await request(ann)]
    jobs = [await worker.take() for _ in wanted]
    for job in jobs:
        await worker.put(job, RESULT)
    await worker.processed(jobs[0])
    await worker.channel.connection.close()
    rabbitmq.kill()
    wanted.append(await request(ann))
    await asyncio.to_thread(rabbitmq.start)
    connection = await aiormq.connect(rabbitmq.url)
    again = ForeignWorker(await connection.channel(), ann)
    await again.processed(jobs[1])
    late = await again.take()
    await again.put(late, RESULT)
    await again.processed(late)
    for each in wanted:
        done = await until_state(ann, each, job_pb2.Job.SUCCEEDED)
        assert done.attempt == 1
    await connection.close()
