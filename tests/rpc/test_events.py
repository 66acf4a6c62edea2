"""WatchEvents: what has happened, in order, for those who may see it."""

import asyncio
from typing import Any

from google.protobuf.json_format import MessageToDict
from mediaservice.v1 import event_pb2, event_service_pb2, media_service_pb2

from media_service.ids import new_id
from tests.support.media.small_files import jpeg
from tests.support.rpc.catalogue import until_done
from tests.support.rpc.server import Caller, Running, refused


class Watch:
    """A watch of a caller."""

    def __init__(self, caller: Caller, **request: Any) -> None:
        message = event_service_pb2.WatchEventsRequest(**request)
        self._call = caller.events.WatchEvents(message, metadata=caller.metadata)
        self._responses = aiter(self._call)
        self.cursor = ""

    async def next_response(self) -> event_service_pb2.WatchEventsResponse:
        async with asyncio.timeout(20):
            response = await anext(self._responses)
        self.cursor = response.cursor
        return response

    async def next(self) -> event_pb2.Event:
        while True:
            response = await self.next_response()
            if response.HasField("event"):
                return response.event

    async def take(self, count: int) -> list[tuple[str, str, int]]:
        """The types, subjects and numbers of the next events."""
        found = [await self.next() for _ in range(count)]
        return [(event.type, event.subject, event.sequence) for event in found]

    async def begin(self) -> "Watch":
        assert not (await self.next_response()).HasField("event")
        return self

    def cancel(self) -> None:
        self._call.cancel()


async def test_a_media_becomes_ready_with_its_renditions(working: Running) -> None:
    ann = await working.caller("ann")
    watch = await Watch(ann, types=["media.*", "rendition.created"]).begin()
    media_id = (await ann.store(jpeg())).media_id
    told = await watch.take(5)
    assert {(type_, subject) for type_, subject, _ in told} == {
        (type_, f"media/{media_id}")
        for type_ in ("media.created", "media.ready", "rendition.created")
    }
    assert [number for _, _, number in told] == [1, 2, 3, 4, 5]
    watch.cancel()


async def test_the_life_of_a_media_is_watched_and_replayed(working: Running) -> None:
    ann, bob = await working.caller("ann"), await working.caller("bob")
    watch = await Watch(ann, types=["media.*"]).begin()
    other = await Watch(bob).begin()
    begin = watch.cursor
    media_id = (await ann.store(jpeg())).media_id
    await until_done(ann, media_id)
    created = await watch.next()
    data = MessageToDict(created.data)
    assert (created.type, created.subject, created.sequence) == (
        "media.created", f"media/{media_id}", 1,
    )  # fmt: skip
    assert (data["kind"], data["version"], data["visibility"]) == ("IMAGE", 1, "PRIVATE")
    delete = media_service_pb2.DeleteMediaRequest(media_id=media_id)
    undelete = media_service_pb2.UndeleteMediaRequest(media_id=media_id)
    purge = media_service_pb2.PurgeMediaRequest(media_id=media_id)
    for method, request in (
        (ann.media.DeleteMedia, delete),
        (ann.media.UndeleteMedia, undelete),
        (ann.media.DeleteMedia, delete),
        (ann.media.PurgeMedia, purge),
    ):
        await ann.call(method, request)
    kinds = ["ready", "deleted", "undeleted", "deleted", "purged"]
    assert [each[0] for each in await watch.take(5)] == [f"media.{kind}" for kind in kinds]
    replay = Watch(ann, cursor=begin, types=["media.deleted", "media.purged"])
    assert [each[0] for each in await replay.take(3)] == [
        "media.deleted", "media.deleted", "media.purged",
    ]  # fmt: skip
    own = (await bob.store(jpeg())).media_id
    subjects = [(await other.next()).subject for _ in range(2)]
    assert f"media/{own}" in subjects, "the events of others only advance the cursor"
    assert f"media/{media_id}" not in subjects
    for each in (watch, other, replay):
        each.cancel()


async def test_a_cursor_that_is_not_kept_is_expired(working: Running) -> None:
    ann = await working.caller("ann")
    now = await Watch(ann).begin()
    epoch, number = now.cursor.split("-")
    now.cancel()
    for cursor in (f"1-{number}", f"{epoch}-{int(number) + 10_000}"):
        watch = Watch(ann, cursor=cursor)
        refusal = await refused(watch.next_response())
        assert refusal.reason == "CURSOR_EXPIRED"
        assert refusal.metadata["cursor"].startswith(epoch)
    assert (await refused(Watch(ann, cursor=new_id()).next_response())).reason == "INVALID_FIELD"
