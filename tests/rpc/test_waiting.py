"""What is requested too early is answered when it exists: players and `<img>` do not retry.

A server without a worker accepts the files. A worker that starts later does the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from mediaservice.v1 import download_service_pb2, media_pb2, media_service_pb2

from media_service.downloads import waiting
from tests.support.media.numbered_frames import counted
from tests.support.media.small_files import jpeg
from tests.support.rpc.jobs import cancel, process, rendition
from tests.support.rpc.links import link, signed, somebody
from tests.support.rpc.playlists import text
from tests.support.rpc.renders import render
from tests.support.rpc.server import Caller, Running, Start, refused

# What a test waits for comes by an event, long before the end of the wait. On a busy machine, an
# event may be lost with the connection that listens: then the wait ends with another look.
PATIENT, LIMIT = 40.0, 60.0
PRESETS = {
    "video_presets": "stream=stream:min_height=144;storyboard=storyboard",
    "video_profiles": "144=200",
}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAIT_SECONDS", PATIENT)


async def original(caller: Caller, media_id: str, name: str, **fields: Any) -> bytes:
    request = download_service_pb2.GetContentRequest(media_id=media_id, rendition=name, **fields)
    call = caller.downloads.GetContent(request, metadata=caller.metadata)
    return b"".join([body.data async for body in call])


async def reasons(*calls: "asyncio.Task[Any]") -> list[str]:
    """The reasons of calls that must have failed."""
    return [(await refused(call)).reason for call in calls]


async def first_to_end(calls: set["asyncio.Task[Any]"]) -> set["asyncio.Task[Any]"]:
    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=LIMIT)
    return done


async def by_link(caller: Caller, token: str, path: str) -> bytes:
    request = download_service_pb2.GetSignedRequest(token=token, path=path)
    return b"".join([body.data async for body in caller.downloads.GetSigned(request)])


async def in_public(caller: Caller, path: str) -> bytes:
    request = download_service_pb2.GetPublicRequest(path=path)
    return b"".join([body.data async for body in caller.downloads.GetPublic(request)])


async def publish(caller: Caller, media_id: str) -> media_pb2.Media:
    media = media_pb2.Media(media_id=media_id, visibility=media_pb2.Media.PUBLIC)
    request = media_service_pb2.UpdateMediaRequest(
        media=media, update_mask=FieldMask(paths=["visibility"])
    )
    return await caller.call(caller.media.UpdateMedia, request)


async def delete(caller: Caller, media_id: str) -> media_pb2.Media:
    request = media_service_pb2.DeleteMediaRequest(media_id=media_id)
    return await caller.call(caller.media.DeleteMedia, request)


async def test_an_image_that_is_not_inspected_yet_is_served_once_it_is(
    start: Start, ann: Caller, service: Running
) -> None:
    media_id = (await ann.store(jpeg(400, 300))).media_id
    overlay = (await ann.store(jpeg(40, 30))).media_id
    by_link = await link(ann, media_id, rendition="small")
    render_link = await link(ann, media_id, ops="resize:30x,convert:webp")
    async with somebody(service) as anybody, asyncio.TaskGroup() as tasks:
        made = tasks.create_task(render(ann, media_id, width=20))
        marked = tasks.create_task(render(ann, media_id, ops=f"watermark:{overlay}"))
        content = tasks.create_task(original(ann, media_id, "small"))
        downloaded = tasks.create_task(rendition(ann, media_id, "small"))
        linked = tasks.create_task(anybody.read(by_link))
        render_linked = tasks.create_task(anybody.read(render_link))
        await start(work=True)
        async with asyncio.timeout(LIMIT):
            assert (await made).size == (20, 15)
            assert (await marked).size == (400, 300)
            small = await content
            assert small == await downloaded == (await linked).content
            assert small[8:12] == (await render_linked).content[8:12] == b"WEBP"


async def test_a_stream_that_does_not_exist_yet_plays_once_it_does(start: Start) -> None:
    ann = await (await start(**PRESETS)).caller()
    media_id = (await ann.store_all(counted(3, "10", "256x144"))).media_id
    await publish(ann, media_id)
    token = await link(ann, media_id, rendition="stream")
    async with asyncio.TaskGroup() as tasks:
        paths = ("master.m3u8", "manifest.mpd", "storyboard.vtt/content")
        calls = [tasks.create_task(text(ann, media_id, path)) for path in paths]
        linked = tasks.create_task(by_link(ann, token, "master.m3u8"))
        public = tasks.create_task(in_public(ann, f"streams/{media_id}/master.m3u8"))
        await start(work=True, **PRESETS)
        async with asyncio.timeout(LIMIT):
            master, manifest, storyboard = [await call for call in calls]
            assert (await linked)[:7] == (await public)[:7] == b"#EXTM3U"
    assert master.startswith("#EXTM3U")
    assert 'type="static"' in manifest
    assert storyboard.startswith("WEBVTT")


async def test_what_never_comes_is_answered_at_once(ann: Caller) -> None:
    media_id = (await ann.store(jpeg())).media_id
    async with asyncio.timeout(LIMIT):
        for call in (
            original(ann, media_id, "nosuch"),
            original(ann, media_id, "stream"),
            text(ann, media_id, "master.m3u8"),
            signed(ann, media_id, rendition="nosuch"),
        ):
            assert (await refused(call)).reason == "RENDITION_NOT_FOUND"


async def test_a_wait_ends_when_its_job_does(ann: Caller) -> None:
    media_id = (await ann.store(jpeg())).media_id
    job = await process(ann, media_id, "negate", rendition_name="negative")
    calls = {
        asyncio.create_task(original(ann, media_id, "negative")),
        asyncio.create_task(rendition(ann, media_id, "negative")),
    }
    assert await ann.content(media_id) == jpeg()
    assert not any(call.done() for call in calls)
    await cancel(ann, job.job_id)
    async with asyncio.timeout(LIMIT):
        assert await reasons(*calls) == ["RENDITION_NOT_FOUND"] * 2


async def test_a_wait_ends_when_its_media_fails_or_is_deleted(start: Start, ann: Caller) -> None:
    broken, deleted = [(await ann.store(jpeg(400, 400)[:700])).media_id for _ in range(2)]
    small = asyncio.create_task(original(ann, broken, "small"))
    image = asyncio.create_task(render(ann, broken, width=20))
    other = asyncio.create_task(render(ann, deleted, width=20))
    await delete(ann, deleted)
    await start(work=True)
    async with asyncio.timeout(LIMIT):
        assert await reasons(small, image, other) == [
            "RENDITION_NOT_FOUND",
            "MEDIA_FAILED",
            "MEDIA_DELETED",
        ]


async def test_a_wait_is_limited(ann: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAIT_SECONDS", 0.05)
    media_id = (await ann.store(jpeg())).media_id
    for call in (original(ann, media_id, "small"), render(ann, media_id, width=20)):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "MEDIA_NOT_READY",
        )
        assert (refusal.headers["x-http-status"], refusal.headers["retry-after"]) == ("503", "1")
        assert refusal.metadata == {"media_id": media_id}


async def test_requests_that_wait_hold_no_connection_to_the_database(start: Start) -> None:
    service = await start(database_pool_size="2")
    ann = await service.caller()
    media_id = (await ann.store(jpeg())).media_id
    calls = [asyncio.create_task(original(ann, media_id, "small")) for _ in range(20)]
    async with asyncio.timeout(LIMIT):
        for _ in range(10):
            assert await ann.content(media_id) == jpeg()
        assert not any(call.done() for call in calls)
        await delete(ann, media_id)
        assert await reasons(*calls) == ["MEDIA_DELETED"] * 20


async def test_callers_share_the_places_of_waiting_requests(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING", 2)
    service = await start()
    ann, bob = await service.caller("ann"), await service.caller("bob")
    anns, bobs = [(await each.store(jpeg())).media_id for each in (ann, bob)]
    calls = {asyncio.create_task(original(ann, anns, "small")) for _ in range(3)}
    refused_calls = await first_to_end(calls)
    assert await reasons(*refused_calls) == ["MEDIA_NOT_READY"]
    of_bob = asyncio.create_task(original(bob, bobs, "small"))
    evicted = await first_to_end({*(calls - refused_calls), of_bob})
    assert of_bob not in evicted
    assert await reasons(*evicted) == ["MEDIA_NOT_READY"]
    # One that leaves frees its place at once.
    (last,) = calls - refused_calls - evicted
    last.cancel()
    await asyncio.wait({last})
    async with asyncio.timeout(LIMIT):
        again = await waiting_call(partial(original, bob, bobs, "small"))
    of_bob.cancel()
    again.cancel()


async def waiting_call(ask: Callable[[], Awaitable[Any]]) -> "asyncio.Task[Any]":
    """Asks until a request waits instead of being refused at once."""
    while True:
        call = asyncio.ensure_future(ask())
        done, _ = await asyncio.wait({call}, timeout=0.5)
        if not done:
            return call
        assert await reasons(call) == ["MEDIA_NOT_READY"]
