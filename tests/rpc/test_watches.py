"""Watches: server-sent events, their limits, and the tickets that open them."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from mediaservice.v1 import (
    job_pb2,
    job_service_pb2,
    upload_pb2,
    upload_service_pb2,
    watch_service_pb2,
    watch_service_pb2_grpc,
)

from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.watches.tickets import remove_expired_tickets
from tests.support.batches import changed_by
from tests.support.media.small_files import jpeg
from tests.support.rpc.jobs import cancel, ended, get, process
from tests.support.rpc.server import Caller, Running, Start, refused, unknown_id
from tests.support.rpc.sharing import grant, revoke

Job = job_pb2.Job
Upload = upload_pb2.Upload


@dataclass
class Event:
    """An event, or a comment."""

    id: str = ""
    name: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    comment: str = ""


def parse(text: str) -> Event:
    event = Event()
    assert text.endswith("\n\n"), "a block ends with an empty line"
    for line in text[:-2].split("\n"):
        name, _, value = line.partition(": ")
        match name:
            case "id":
                event.id = value
            case "event":
                event.name = value
            case "data":
                event.data = json.loads(value)
            case "":
                event.comment = value
            case _:
                raise AssertionError(f"unknown field: {line}")
    return event


def job_events(
    caller: Caller, job_id: str, *, last_event_id: str = "", ticket: str = ""
) -> "grpc.aio.UnaryStreamCall[Any, Any]":
    request = job_service_pb2.WatchJobEventsRequest(job_id=job_id, ticket=ticket)
    metadata = caller.metadata if not ticket else ()
    if last_event_id:
        metadata = (*metadata, ("last-event-id", last_event_id))
    return caller.jobs.WatchJobEvents(request, metadata=metadata)


def upload_events(
    caller: Caller, upload_id: str, *, last_event_id: str = "", ticket: str = ""
) -> "grpc.aio.UnaryStreamCall[Any, Any]":
    request = upload_service_pb2.WatchUploadEventsRequest(upload_id=upload_id, ticket=ticket)
    metadata = caller.metadata if not ticket else ()
    if last_event_id:
        metadata = (*metadata, ("last-event-id", last_event_id))
    return caller.uploads.WatchUploadEvents(request, metadata=metadata)


async def blocks(call: Any) -> AsyncIterator[Event]:
    async for body in call:
        assert body.content_type == "text/event-stream"
        yield parse(body.data.decode())


async def received(call: Any) -> list[Event]:
    async with asyncio.timeout(60):
        return [event async for event in blocks(call)]


async def job_ticket(caller: Caller, job_id: str) -> str:
    tickets = watch_service_pb2_grpc.WatchServiceStub(caller.channel)
    request = watch_service_pb2.CreateWatchTicketRequest(job_id=job_id)
    return (await caller.call(tickets.CreateWatchTicket, request)).ticket


async def upload_ticket(caller: Caller, upload_id: str) -> str:
    tickets = watch_service_pb2_grpc.WatchServiceStub(caller.channel)
    request = watch_service_pb2.CreateWatchTicketRequest(upload_id=upload_id)
    return (await caller.call(tickets.CreateWatchTicket, request)).ticket


@pytest.fixture
async def queued(ann: Caller) -> Job:
    """A job that stays queued, since there is no worker."""
    return await process(ann, (await ann.store(jpeg())).media_id, "negate")


# Events


async def test_job_events_are_sent_until_the_job_ends(working: Running) -> None:
    ann = await working.caller()
    media = await ann.store(jpeg(width=64, height=48))
    job = await process(ann, media.media_id, "resize:5000x5000:fit=fill:enlarge=true,blur:20")
    call = job_events(ann, job.job_id)
    headers = dict(await call.initial_metadata())
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    events = [event for event in await received(call) if not event.comment]
    assert {event.name for event in events} == {"job"}
    assert events[-1].id == "end"
    assert "end" not in {event.id for event in events[:-1]}
    assert events[-1].data["state"] == "SUCCEEDED"
    percents = [event.data["progressPercent"] for event in events]
    assert percents == sorted(percents)
    message = json_format.ParseDict(events[-1].data, Job())
    assert message == await get(ann, job.job_id)


async def test_upload_events_are_sent_until_the_upload_ends(ann: Caller) -> None:
    upload = await ann.create()
    call = upload_events(ann, upload.upload_id)
    events = blocks(call)
    first = await anext(events)
    assert (first.name, first.data["state"], first.data["committedSizeBytes"]) == (
        "upload",
        "ACTIVE",
        "0",
    )
    abort = upload_service_pb2.AbortUploadRequest(upload_id=upload.upload_id)
    await ann.call(ann.uploads.AbortUpload, abort)
    rest = [event async for event in events]
    assert (rest[-1].id, rest[-1].data["state"]) == ("end", "ABORTED")


async def test_a_client_that_reconnects_gets_no_event_twice(
    ann: Caller, queued: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_service.db.state_watch.HEARTBEAT_SECONDS", 0.1)
    call = job_events(ann, queued.job_id)
    first = await anext(blocks(call))
    call.cancel()
    again = job_events(ann, queued.job_id, last_event_id=first.id)
    events = blocks(again)
    assert (await anext(events)).comment, "the current state is known"
    await cancel(ann, queued.job_id)
    rest = [event async for event in events if not event.comment]
    assert [(event.id, event.data["state"]) for event in rest] == [("end", "CANCELLED")]
    unknown = await received(job_events(ann, queued.job_id, last_event_id="of something else"))
    assert [event.id for event in unknown] == ["end"]


async def test_a_watch_after_the_last_event_gets_204(
    ann: Caller, service: Running, queued: Job
) -> None:
    await cancel(ann, queued.job_id)
    call = job_events(ann, queued.job_id, last_event_id="end")
    assert await received(call) == []
    assert dict(await call.initial_metadata())["x-http-status"] == "204"
    async with grpc.aio.insecure_channel(service.address) as channel:
        nobody = Caller(service.address, channel, "no token")
        used = job_events(nobody, unknown_id(), last_event_id="end", ticket="used")
        assert await received(used) == []
        assert dict(await used.initial_metadata())["x-http-status"] == "204"


async def test_comments_keep_an_idle_event_stream_alive(
    ann: Caller, queued: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_service.db.state_watch.HEARTBEAT_SECONDS", 0.05)
    call = job_events(ann, queued.job_id)
    events = blocks(call)
    found = [await anext(events) for _ in range(4)]
    assert [event.comment for event in found] == ["", "heartbeat", "heartbeat", "heartbeat"]
    assert found[0].data["state"] == "QUEUED"
    call.cancel()


async def test_a_watch_ends_when_access_is_revoked(
    ann: Caller, bob: Caller, queued: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event tells the watch."""
    monkeypatch.setattr("media_service.db.state_watch.HEARTBEAT_SECONDS", 0.05)
    await grant(ann, f"media:{queued.media_id}", "user:bob")
    request = job_service_pb2.WatchJobRequest(job_id=queued.job_id)
    watch = bob.jobs.WatchJob(request, metadata=bob.metadata)
    assert (await anext(aiter(watch))).job_id == queued.job_id
    await revoke(ann, f"media:{queued.media_id}", "user:bob")

    async def rest() -> None:
        async with asyncio.timeout(20):
            async for _ in watch:
                pass

    assert (await refused(rest())).reason == "JOB_NOT_FOUND"


async def test_errors_before_the_first_event_are_http_errors(
    ann: Caller, bob: Caller, service: Running, queued: Job
) -> None:
    for caller, job_id, code, wrong in (
        (ann, unknown_id(), grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"),
        (bob, queued.job_id, grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"),
        (ann, "x", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    ):
        refusal = await refused(received(job_events(caller, job_id)))
        assert (refusal.code, refusal.reason) == (code, wrong)
    refusal = await refused(received(upload_events(ann, unknown_id())))
    assert refusal.reason == "UPLOAD_NOT_FOUND"


# Limits


@pytest.fixture
async def limited(start: Start, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A server that allows two watches per caller."""
    monkeypatch.setattr("media_service.rpc.server.MAX_WATCHES", 2)
    return await start()


async def test_the_number_of_watches_of_a_caller_is_limited(limited: Running) -> None:
    ann, bob = await limited.caller("ann"), await limited.caller("bob")
    job = await process(ann, (await ann.store(jpeg())).media_id, "negate")
    upload = await ann.create()
    typed = ann.jobs.WatchJob(
        job_service_pb2.WatchJobRequest(job_id=job.job_id), metadata=ann.metadata
    )
    await typed.read()
    events = upload_events(ann, upload.upload_id)
    await events.read()
    for refused_call in (
        job_events(ann, job.job_id).read(),
        ann.uploads.WatchUpload(
            upload_service_pb2.WatchUploadRequest(upload_id=upload.upload_id),
            metadata=ann.metadata,
        ).read(),
    ):
        refusal = await refused(refused_call)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "WATCH_LIMIT_EXCEEDED",
        )
        assert refusal.metadata["limit"] == "2"
        assert refusal.headers["x-http-status"] == "429"
    others = upload_events(bob, (await bob.create()).upload_id)
    await others.read()
    typed.cancel()
    async with asyncio.timeout(10):
        while True:
            try:
                await job_events(ann, job.job_id).read()
                break
            except grpc.RpcError:
                await asyncio.sleep(0.05)


async def test_the_duration_of_a_watch_is_limited(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_service.rpc.server.WATCH_LIFE", timedelta(seconds=0.3))
    ann = await (await start()).caller()
    job = await process(ann, (await ann.store(jpeg())).media_id, "negate")
    (event,) = await received(job_events(ann, job.job_id))
    assert event.data["state"] == "QUEUED"
    request = job_service_pb2.WatchJobRequest(job_id=job.job_id)
    typed = ann.jobs.WatchJob(request, metadata=ann.metadata)
    assert [seen.state async for seen in typed] == [Job.QUEUED]
    assert await typed.code() == grpc.StatusCode.OK


# Tickets


async def test_a_ticket_opens_one_event_stream(ann: Caller, queued: Job) -> None:
    ticket = await job_ticket(ann, queued.job_id.upper())
    call = job_events(ann, queued.job_id, ticket=ticket)
    assert (await anext(blocks(call))).data["jobId"] == queued.job_id
    refusal = await refused(received(job_events(ann, queued.job_id, ticket=ticket)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TICKET_INVALID")
    assert refusal.headers["x-http-status"] == "401"
    call.cancel()


async def test_the_client_of_a_used_ticket_reconnects_any_number_of_times(
    ann: Caller, queued: Job
) -> None:
    ticket = await job_ticket(ann, queued.job_id)
    call = job_events(ann, queued.job_id, ticket=ticket)
    seen = (await anext(blocks(call))).id
    call.cancel()
    for _ in range(2):
        call = job_events(ann, queued.job_id, ticket=ticket, last_event_id=seen)
        assert (await anext(blocks(call))).comment == "heartbeat", "it has the event"
        call.cancel()
    await cancel(ann, queued.job_id)
    (last,) = await received(job_events(ann, queued.job_id, ticket=ticket, last_event_id=seen))
    assert (last.id, last.data["state"]) == ("end", "CANCELLED")


async def test_nothing_but_the_key_of_its_stream_reopens_a_used_ticket(
    ann: Caller, queued: Job
) -> None:
    other = await process(ann, queued.media_id, "blur:2")
    upload = await ann.create()
    ticket, second = [await job_ticket(ann, queued.job_id) for _ in range(2)]
    call = job_events(ann, queued.job_id, ticket=ticket)
    seen = (await anext(blocks(call))).id
    key = seen.partition(".")[2]
    for refused_call in (
        job_events(ann, queued.job_id, ticket=ticket, last_event_id=seen[:-1]),
        job_events(ann, queued.job_id, ticket=ticket, last_event_id=f"{seen}.{key}"),
        job_events(ann, queued.job_id, ticket=ticket, last_event_id=key),
        job_events(ann, queued.job_id, ticket="guessed", last_event_id=seen),
        job_events(ann, queued.job_id, ticket=f"{ticket}{key}", last_event_id=seen),
        job_events(ann, other.job_id, ticket=ticket, last_event_id=seen),
        upload_events(ann, upload.upload_id, ticket=ticket, last_event_id=seen),
        upload_events(ann, queued.job_id, ticket=ticket, last_event_id=seen),
    ):
        assert (await refused(received(refused_call))).reason == "TICKET_INVALID"
    call.cancel()
    # A new ticket is opened by its own client only, and has a key of its own.
    call = job_events(ann, queued.job_id, ticket=second, last_event_id=seen)
    assert (await anext(blocks(call))).id not in {seen, ""}
    call.cancel()
    refusal = await refused(received(job_events(ann, queued.job_id, ticket=second)))
    assert refusal.reason == "TICKET_INVALID"


async def test_a_client_reconnects_for_an_hour(
    ann: Caller, service: Running, queued: Job, database: Database
) -> None:
    ticket = await job_ticket(ann, queued.job_id)
    call = job_events(ann, queued.job_id, ticket=ticket)
    seen = (await anext(blocks(call))).id
    call.cancel()
    async with service.database() as db:
        rows = await db.execute(
            "update watch_tickets set expire_time = expire_time - interval '1 hour'"
            " returning expire_time + interval '1 hour' - now() as rest"
        )
        (row,) = await rows.fetchall()
    assert timedelta(minutes=55) < row[0] <= timedelta(hours=1)
    call = job_events(ann, queued.job_id, ticket=ticket, last_event_id=seen)
    assert (await refused(received(call))).reason == "TICKET_INVALID"
    assert await changed_by(remove_expired_tickets(database)) == 1


async def test_an_upload_ticket_opens_the_event_stream_of_the_upload(ann: Caller) -> None:
    upload = await ann.create()
    ticket = await upload_ticket(ann, upload.upload_id)
    call = upload_events(ann, upload.upload_id, ticket=ticket)
    assert (await anext(blocks(call))).data["uploadId"] == upload.upload_id
    call.cancel()


async def test_only_one_concurrent_redemption_of_a_ticket_succeeds(
    ann: Caller, queued: Job
) -> None:
    ticket = await job_ticket(ann, queued.job_id)
    calls = [job_events(ann, queued.job_id, ticket=ticket) for _ in range(10)]
    answers = await asyncio.gather(*(call.read() for call in calls), return_exceptions=True)
    opened = [answer for answer in answers if not isinstance(answer, Exception)]
    assert len(opened) == 1
    for call in calls:
        call.cancel()


async def test_a_ticket_is_valid_only_for_its_resource(ann: Caller, queued: Job) -> None:
    other = await process(ann, queued.media_id, "blur:2")
    upload = await ann.create()
    ticket = await job_ticket(ann, queued.job_id)
    for call in (
        job_events(ann, other.job_id, ticket=ticket),
        job_events(ann, "no id", ticket=ticket),
        upload_events(ann, upload.upload_id, ticket=ticket),
        job_events(ann, queued.job_id, ticket="guessed"),
        job_events(ann, queued.job_id, ticket=ticket.swapcase()),
    ):
        assert (await refused(received(call))).reason == "TICKET_INVALID"
    call = job_events(ann, queued.job_id, ticket=ticket)
    assert (await anext(blocks(call))).data["state"] == "QUEUED"
    call.cancel()


async def test_a_ticket_expires_and_is_removed(
    ann: Caller, service: Running, queued: Job, database: Database
) -> None:
    stub = watch_service_pb2_grpc.WatchServiceStub(ann.channel)
    request = watch_service_pb2.CreateWatchTicketRequest(job_id=queued.job_id)
    before = await ann.call(stub.CreateWatchTicket, request)
    left = before.expire_time.ToDatetime() - queued.create_time.ToDatetime()
    assert timedelta(seconds=59) < left < timedelta(seconds=90)
    kept = await job_ticket(ann, queued.job_id)
    async with service.database() as db:
        await db.execute(
            "update watch_tickets set expire_time = now() - interval '1 second'"
            " where ticket_hash = %s",
            (hashlib.sha256(before.ticket.encode()).digest(),),
        )
    refusal = await refused(received(job_events(ann, queued.job_id, ticket=before.ticket)))
    assert refusal.reason == "TICKET_INVALID"
    assert await changed_by(remove_expired_tickets(database)) == 1
    call = job_events(ann, queued.job_id, ticket=kept)
    assert (await anext(blocks(call))).data["state"] == "QUEUED"
    call.cancel()


async def test_only_readers_of_a_resource_get_a_ticket(
    service: Running, bob: Caller, queued: Job
) -> None:
    assert (await refused(job_ticket(bob, queued.job_id))).reason == "JOB_NOT_FOUND"
    assert (await refused(upload_ticket(bob, unknown_id()))).reason == "UPLOAD_NOT_FOUND"
    for scope, missing in (
        ("jobs.read", "watches.write"),
        ("watches.write uploads.read", "jobs.read"),
    ):
        caller = await service.caller("ann", scope=scope)
        refusal = await refused(job_ticket(caller, queued.job_id))
        assert (refusal.reason, refusal.metadata["permission"]) == ("SCOPE_MISSING", missing)
    caller = await service.caller("ann", scope="watches.write jobs.read")
    call = job_events(caller, queued.job_id, ticket=await job_ticket(caller, queued.job_id))
    assert (await anext(blocks(call))).data["state"] == "QUEUED"
    call.cancel()
    stub = watch_service_pb2_grpc.WatchServiceStub(bob.channel)
    empty = watch_service_pb2.CreateWatchTicketRequest()
    assert (await refused(bob.call(stub.CreateWatchTicket, empty))).reason == "INVALID_FIELD"


async def test_a_ticket_is_neither_stored_nor_logged(
    ann: Caller, service: Running, queued: Job, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ticket = await job_ticket(ann, queued.job_id)
    call = job_events(ann, queued.job_id, ticket=ticket)
    seen = (await anext(blocks(call))).id
    call.cancel()
    key = seen.partition(".")[2]
    async with await psycopg.AsyncConnection.connect(service.database_url) as db:
        rows = await db.execute("select to_json(t)::text from watch_tickets t")
        stored = "".join(row[0] for row in await rows.fetchall())
    assert queued.job_id in stored
    assert ticket not in stored
    assert key not in stored
    await cancel(ann, queued.job_id)
    await received(job_events(ann, queued.job_id, ticket=ticket, last_event_id=seen))
    await refused(received(job_events(ann, queued.job_id, ticket=ticket)))
    assert f"action=watches.create user='ann' org='' subject={queued.job_id}" in caplog.text
    assert ticket not in caplog.text
    assert len(key) == 22
    assert key not in caplog.text


async def test_a_token_takes_precedence_over_a_ticket(ann: Caller, queued: Job) -> None:
    ticket = await job_ticket(ann, queued.job_id)
    request = job_service_pb2.WatchJobEventsRequest(job_id=queued.job_id, ticket=ticket)
    for metadata in (ann.metadata, ()):
        call = ann.jobs.WatchJobEvents(request, metadata=metadata)
        assert (await anext(blocks(call))).data["state"] == "QUEUED"
        call.cancel()


async def test_a_watch_by_ticket_counts_for_the_caller_who_created_it(limited: Running) -> None:
    ann = await limited.caller("ann")
    job = await process(ann, (await ann.store(jpeg())).media_id, "negate")
    calls = [
        job_events(ann, job.job_id, ticket=await job_ticket(ann, job.job_id)) for _ in range(3)
    ]
    for call in calls[:2]:
        await call.read()
    assert (await refused(calls[2].read())).reason == "WATCH_LIMIT_EXCEEDED"


async def test_a_watch_of_a_finished_job_is_one_event(working: Running) -> None:
    ann = await working.caller()
    job = await process(ann, (await ann.store(jpeg())).media_id, "negate")
    await ended(ann, job.job_id)
    (event,) = await received(job_events(ann, job.job_id))
    assert (event.id, event.data["state"]) == ("end", "SUCCEEDED")


@given(st.builds(Principal))
def test_a_ticket_round_trips_its_principal(principal: Principal) -> None:
    assert Principal.from_json(json.loads(json.dumps(principal.as_json()))) == principal
