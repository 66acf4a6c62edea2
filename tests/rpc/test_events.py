"""WatchEvents: what has happened, in order, for those who may see it."""

import asyncio
import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from mediaservice.v1 import (
    access_service_pb2,
    event_pb2,
    event_service_pb2,
    media_service_pb2,
    watch_service_pb2,
    watch_service_pb2_grpc,
)

from media_service.ids import new_id
from tests.support.media.small_files import jpeg
from tests.support.rpc.catalogue import until_done, update
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.sharing import create_project, grant, revoke


def number_of(cursor: str) -> int:
    return int(cursor.partition("-")[2] or 0)


class Watch:
    """A watch of a caller."""

    def __init__(self, caller: Caller, **request: Any) -> None:
        message = event_service_pb2.WatchEventsRequest(**request)
        self._call = caller.events.WatchEvents(message, metadata=caller.metadata)
        self._responses = aiter(self._call)
        self.first = self.cursor = ""

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

    async def until(self, type_: str) -> set[str]:
        """The types of all events about media up to the first of this type."""
        types = set()
        while type_ not in types:
            event = await self.next()
            types |= {event.type} if event.sequence else set()
        return types

    async def passed(self, cursor: str) -> list[event_pb2.Event]:
        """The events about media up to a cursor."""
        events = []
        while number_of(self.cursor) < number_of(cursor):
            response = await self.next_response()
            events += [response.event] if response.event.sequence else []
        return events

    async def begin(self) -> "Watch":
        assert not (await self.next_response()).HasField("event")
        self.first = self.cursor
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


async def test_an_event_needs_a_role_where_it_happened_and_one_now(working: Running) -> None:
    ann, bob = await working.caller("ann"), await working.caller("bob")
    begun = await Watch(bob).begin()
    media_id = (await ann.store(jpeg())).media_id
    await until_done(ann, media_id)
    project_id = (await create_project(ann)).project_id
    await grant(ann, f"project:{project_id}", "user:bob")
    move = access_service_pb2.TransferMediaRequest(media_id=media_id, project_id=project_id)
    await ann.call(ann.access.TransferMedia, move)
    assert await begun.until("media.transferred") == {"media.transferred"}, "no event of before"
    await revoke(ann, f"project:{project_id}", "user:bob")
    newest = await Watch(ann).begin()
    await update(ann, ["title"], media_id=media_id, title="x")
    await newest.until("media.updated")
    later = Watch(bob, cursor=begun.cursor)
    assert await later.passed(newest.cursor) == []
    again = Watch(bob, cursor=begun.first)
    assert await again.passed(newest.cursor) == []
    for watch in (begun, newest, later, again):
        watch.cancel()


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


async def streamed(call: Any, count: int) -> list[dict[str, str]]:
    """The first server-sent events of a call, as their fields."""
    text = ""
    async with asyncio.timeout(20):
        async for body in call:
            text += body.data.decode()
            blocks = [block for block in text.split("\n\n") if "data: " in block]
            if len(blocks) >= count:
                break
    call.cancel()
    fields = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return fields[:count]


async def test_a_media_is_followed_with_a_ticket_and_resumed(working: Running) -> None:
    ann, bob = await working.caller("ann"), await working.caller("bob")
    begun = await Watch(ann).begin()
    begun.cancel()
    await ann.store(jpeg())
    media_id = (await ann.store(jpeg())).media_id
    await until_done(ann, media_id)
    request = event_service_pb2.WatchMediaRequest(media_id=media_id, cursor=begun.cursor)
    call = ann.events.WatchMedia(request, metadata=ann.metadata)
    numbers: list[int] = []
    async with asyncio.timeout(20):
        async for response in call:
            if response.event.sequence:
                assert response.event.subject == f"media/{media_id}"
                numbers.append(response.event.sequence)
            if len(numbers) == 5:
                break
    call.cancel()
    assert numbers == [1, 2, 3, 4, 5]
    foreign = bob.events.WatchMedia(request, metadata=bob.metadata)
    assert (await refused(anext(aiter(foreign)))).reason == "MEDIA_NOT_FOUND"

    tickets = watch_service_pb2_grpc.WatchServiceStub(ann.channel)
    wanted = watch_service_pb2.CreateWatchTicketRequest(media_id=media_id)
    ticket = (await ann.call(tickets.CreateWatchTicket, wanted)).ticket
    stream = event_service_pb2.StreamMediaRequest(
        media_id=media_id, cursor=begun.cursor, ticket=ticket
    )
    first, second = await streamed(ann.events.StreamMedia(stream), 2)
    key = second["id"].partition(".")[2]
    assert key, "it reconnects with this key"
    told = json.loads(first["data"])
    assert told["specversion"] == "1.0"
    assert media_id in {told["subject"].partition("/")[2], told["data"].get("mediaId")}
    assert first["id"] == f"{told['cursor']}.{key}"
    again = ann.events.StreamMedia(stream, metadata=(("last-event-id", second["id"]),))
    (third,) = await streamed(again, 1)
    assert int(third["id"].split("-")[1].split(".")[0]) > int(
        second["id"].split("-")[1].split(".")[0]
    )


async def test_all_events_are_streamed_with_a_ticket(working: Running) -> None:
    ann = await working.caller("ann")
    begun = await Watch(ann).begin()
    begun.cancel()
    media_id = (await ann.store(jpeg())).media_id
    tickets = watch_service_pb2_grpc.WatchServiceStub(ann.channel)
    wanted = watch_service_pb2.CreateWatchTicketRequest(events=True)
    ticket = (await ann.call(tickets.CreateWatchTicket, wanted)).ticket
    request = event_service_pb2.StreamEventsRequest(
        ticket=ticket, cursor=begun.cursor, types=["media.created"]
    )
    (created,) = await streamed(ann.events.StreamEvents(request), 1)
    assert json.loads(created["data"])["subject"] == f"media/{media_id}"
    assert (await refused(anext(aiter(ann.events.StreamEvents(request))))).reason == (
        "TICKET_INVALID"
    )
