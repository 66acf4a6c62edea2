"""Every sink keeps the same promises."""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from media_service.events.conformance import ADDRESSES, Broker, SinkConformance, events
from media_service.events.model import Cursor, RelayedEvent
from media_service.events.sink import Sink, SinkUnavailable
from media_service.events.sinks import open_sink, open_sinks
from media_service.events.sinks.redis import connect
from media_service.events.sinks.redis_streams import STREAM
from tests.support.stores.valkey_server import ValkeyServer

PATIENCE_SECONDS = 20


class RedisBroker:
    """`name`: of the sink."""

    def __init__(self, server: ValkeyServer, name: str) -> None:
        self._server = server
        self._name = name
        self._opened: list[Sink] = []
        self._got: list[Mapping[str, Any]] = []
        self._subscribe()

    def _subscribe(self) -> None:
        self._client: Any = Redis.from_url(self._server.url)
        self._pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
        self._pubsub.psubscribe("media.*")
        assert self._pubsub.get_message(timeout=PATIENCE_SECONDS), "it is subscribed"

    async def open(self) -> Sink:
        self._opened.append(open_sink(self._name, self._server.url, ADDRESSES))
        return self._opened[-1]

    async def received(self, count: int) -> Sequence[Mapping[str, Any]]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len({each["id"] for each in self._got}) < count and time.monotonic() < deadline:
            self._collect()
        return self._got

    def _collect(self) -> None:
        if self._name == "redis":
            message = self._pubsub.get_message(timeout=0.1)
            if message and message["type"] == "pmessage":
                self._got.append(json.loads(message["data"]))
            return
        self._got = [json.loads(fields[b"event"]) for _, fields in self._client.xrange(STREAM)]

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()
        self._subscribe()

    async def close(self) -> None:
        for sink in self._opened:
            await sink.close()
        self._pubsub.close()
        self._client.close()


class TestRedisSinks(SinkConformance):
    @pytest.fixture(params=["redis", "redis_streams"])
    async def broker(self, request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
        with ValkeyServer() as server:
            opened = RedisBroker(server, request.param)
            yield opened
            await opened.close()


def image(type_: str, visibility: str = "PRIVATE", kind: str = "IMAGE") -> RelayedEvent:
    (event,) = events(1)
    data = {**event.data, "kind": kind, "version": 2, "visibility": visibility}
    return replace(event, type=type_, data=data)


async def test_consumers_of_images_get_what_they_expect(valkey: ValkeyServer) -> None:
    private, public = image("media.created"), image("media.created", "PUBLIC_ORIGINAL")
    deleted = image("media.deleted")
    others = [image("media.created", kind="VIDEO"), image("media.purged")]
    sink = open_sink("redis", valkey.url, ADDRESSES)
    client = connect(valkey.url)
    pubsub = client.pubsub()
    await pubsub.psubscribe("photo:*")
    await sink.publish([private, public, deleted, *others, deleted])
    got = []
    async for message in pubsub.listen():
        if message["type"] == "pmessage":
            got.append((message["channel"].decode(), json.loads(message["data"])))
        if len(got) == 4:
            break
    await pubsub.aclose()
    await client.aclose()
    await sink.close()
    assert (
        got
        == [
            (
                "photo:uploaded",
                {
                    "id": event.media_id,
                    "userId": "ann",
                    "url": url,
                    "contentType": "image/jpeg",
                    "sizeBytes": 1000,
                    "uploadedAt": "2027-01-02T03:04:05.000001+00:00",
                },
            )
            for event, url in (
                (private, f"http://localhost:8080/v1/media/{private.media_id}/content"),
                (
                    public,
                    f"http://localhost:8080/v1/public/originals/{public.media_id}/2/original",
                ),
            )
        ]
        + [("photo:deleted", {"id": deleted.media_id})] * 2
    )


async def test_a_stream_does_not_swallow_events_of_a_restored_database() -> None:
    """They would have ids that the stream has already."""
    sent = events(20)
    with ValkeyServer() as server:
        sink = open_sink("redis_streams", server.url, ADDRESSES)
        await sink.publish(sent)
        with pytest.raises(SinkUnavailable, match="restored from a backup"):
            await sink.publish(sent[:10])
        later = [replace(each, cursor=Cursor(each.cursor.epoch + 1, 1)) for each in events(1)]
        await sink.publish(later)
        await sink.close()


def test_an_error_names_the_setting() -> None:
    with pytest.raises(ValueError, match="MEDIA_EVENTS_REDIS"):
        open_sinks({"redis": "redis://localhost:port"}, ADDRESSES)
