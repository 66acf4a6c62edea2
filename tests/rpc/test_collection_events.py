"""Watching a collection: its events, and those of its media."""

import asyncio
from typing import Any

from mediaservice.v1 import event_service_pb2, watch_service_pb2, watch_service_pb2_grpc

from media_service.ids import new_id
from tests.support.media.small_files import jpeg
from tests.support.rpc import collections
from tests.support.rpc.catalogue import update
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.sharing import grant, revoke

WAIT_SECONDS = 20
CHANGES = ("media.updated", "collection.updated")


class Watch:
    """The changes of a collection and its media, as types and ids. What jobs do meanwhile is left
    out."""

    def __init__(self, caller: Caller, collection_id: str, cursor: str = "") -> None:
        request = event_service_pb2.WatchCollectionRequest(
            collection_id=collection_id, cursor=cursor
        )
        self._call = caller.events.WatchCollection(request, metadata=caller.metadata)
        self._responses = aiter(self._call)
        self.cursor = ""

    async def begin(self) -> "Watch":
        await self._read()
        return self

    async def _read(self) -> Any:
        response = await anext(self._responses)
        self.cursor = response.cursor
        return response

    async def next(self) -> tuple[str, str]:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                event = (await self._read()).event
                if event.type in CHANGES:
                    return event.type, event.subject.partition("/")[2]

    async def ends(self) -> str:
        return (await refused(self.next())).reason

    def cancel(self) -> None:
        self._call.cancel()


async def rename(caller: Caller, media_id: str) -> None:
    await update(caller, ["title"], media_id=media_id, title=new_id())


async def test_a_watch_follows_a_collection_and_the_media_that_it_shares(
    working: Running,
) -> None:
    ann, bob, cat = [await working.caller(name) for name in ("ann", "bob", "cat")]
    first, second = [(await ann.store(jpeg())).media_id for _ in range(2)]
    album = (await collections.create(ann)).collection_id
    await collections.add(ann, album, [first])
    await grant(ann, f"collection:{album}", "user:bob", "VIEWER")
    assert await Watch(cat, album).ends() == "COLLECTION_NOT_FOUND"
    watch = await Watch(bob, album).begin()
    begin = watch.cursor
    changed, added = ("collection.updated", album), ("media.updated", second)

    await rename(ann, second)  # before it is a member
    await rename(ann, first)
    assert await watch.next() == ("media.updated", first)
    await collections.add(ann, album, [second])
    await rename(ann, second)
    assert [await watch.next() for _ in range(2)] == [changed, added]
    await collections.take_out(ann, album, [first])
    await rename(ann, first)
    await rename(ann, second)
    assert [await watch.next() for _ in range(2)] == [changed, added]
    replay = Watch(bob, album, begin)
    seen = [await replay.next() for _ in range(4)]
    assert seen == [changed, added, changed, added], "members as they are now, since they are"
    await revoke(ann, f"collection:{album}", "user:bob")
    await rename(ann, second)
    for each in (watch, replay):
        assert await each.ends() == "COLLECTION_NOT_FOUND"


async def test_a_media_that_a_collection_shares_is_watched(working: Running) -> None:
    ann, bob = await working.caller("ann"), await working.caller("bob")
    media_id = (await ann.store(jpeg())).media_id
    album = (await collections.create(ann)).collection_id
    await collections.add(ann, album, [media_id])
    await grant(ann, f"collection:{album}", "user:bob", "VIEWER")
    request = event_service_pb2.WatchMediaRequest(media_id=media_id)
    call = bob.events.WatchMedia(request, metadata=bob.metadata)
    responses = aiter(call)
    await anext(responses)
    await rename(ann, media_id)
    async with asyncio.timeout(WAIT_SECONDS):
        async for response in responses:
            if response.event.type == "media.updated":
                break
    call.cancel()


async def test_a_watch_of_a_smart_collection_follows_what_matches(working: Running) -> None:
    ann, bob = await working.caller("ann"), await working.caller("bob")
    smart = (await collections.create(ann, filter="rating=5")).collection_id
    media_id, others = (await ann.store(jpeg())).media_id, (await bob.store(jpeg())).media_id
    watch = await Watch(ann, smart).begin()
    await rename(ann, media_id)
    await update(bob, ["rating"], media_id=others, rating=5)
    await update(ann, ["rating"], media_id=media_id, rating=5)
    await update(ann, ["rating"], media_id=media_id, rating=4)
    await collections.update(ann, ["title"], collection_id=smart, title="Stars")
    events = [await watch.next()]
    while events[-1] != ("collection.updated", smart):
        events.append(await watch.next())
    assert {subject for _, subject in events[:-1]} <= {media_id}
    watch.cancel()


async def test_a_ticket_streams_a_collection(working: Running) -> None:
    ann = await working.caller("ann")
    album = (await collections.create(ann)).collection_id
    watch = await Watch(ann, album).begin()
    watch.cancel()
    tickets = watch_service_pb2_grpc.WatchServiceStub(ann.channel)
    wanted = watch_service_pb2.CreateWatchTicketRequest(collection_id=album)
    ticket = (await ann.call(tickets.CreateWatchTicket, wanted)).ticket
    other = watch_service_pb2.CreateWatchTicketRequest(collection_id=album)
    bob = await working.caller("bob")
    hidden = await refused(bob.call(tickets.CreateWatchTicket, other))
    assert hidden.reason == "COLLECTION_NOT_FOUND"
    await collections.update(ann, ["title"], collection_id=album, title="Sea")
    request = event_service_pb2.StreamCollectionRequest(
        collection_id=album, cursor=watch.cursor, ticket=ticket
    )
    call, text = ann.events.StreamCollection(request), ""
    async with asyncio.timeout(WAIT_SECONDS):
        while "collection.updated" not in text:
            text += (await anext(aiter(call))).data.decode()
    call.cancel()
    again = ann.events.StreamCollection(request)
    assert (await refused(anext(aiter(again)))).reason == "TICKET_INVALID"
