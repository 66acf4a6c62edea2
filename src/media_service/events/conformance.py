"""What a sink promises, as tests. A sink in another repository runs them, too:

    class TestMySink(SinkConformance):
        @pytest.fixture
        async def broker(self) -> AsyncIterator[Broker]:
            ...

A `Broker` opens the sink, says what its consumers have received, and stops and starts the server.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from media_service.events.addresses import Addresses
from media_service.events.envelope import envelope
from media_service.events.model import Cursor, RelayedEvent
from media_service.events.sink import Sink, SinkUnavailable
from media_service.ids import new_id

SOURCE = "http://localhost:8080"
ADDRESSES = Addresses(SOURCE)
EPOCH = 1_796_000_000_000
DATA = {
    "contentType": "image/jpeg",
    "kind": "IMAGE",
    "sizeBytes": 1000,
    "state": "PENDING",
    "version": 1,
    "visibility": "PRIVATE",
}


class Broker(Protocol):
    async def open(self) -> Sink:
        """The sink, which the broker closes at the end of the test."""

    async def received(self, count: int) -> Sequence[Mapping[str, Any]]:
        """The envelopes that a consumer has received since the broker was opened, in order, as soon
        as they have `count` different ids."""

    def stop(self) -> None: ...

    def start(self) -> None: ...


def events(count: int, first: int = 1, media_id: str = "") -> list[RelayedEvent]:
    """Events of one media."""
    media_id = media_id or new_id()
    return [
        RelayedEvent(
            Cursor(EPOCH, number),
            new_id(),
            "media.created" if number == 1 else "media.updated",
            f"media/{media_id}",
            datetime(2027, 1, 2, 3, 4, 5, number, tzinfo=UTC),
            dict(DATA),
            media_id,
            number,
            "acme",
            "spring",
            "user",
            "ann",
        )
        for number in range(first, first + count)
    ]


def envelopes(published: Sequence[RelayedEvent]) -> list[dict[str, Any]]:
    return [envelope(event, SOURCE) for event in published]


def without_repeats(received: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first delivery of each event."""
    return list({each["id"]: each for each in reversed(received)}.values())[::-1]


class SinkConformance:
    async def test_events_arrive_completely_and_in_order(self, broker: Broker) -> None:
        sink, sent = await broker.open(), events(500)
        await sink.publish(sent[:1])
        await sink.publish(sent[1:])
        assert list(await broker.received(500)) == envelopes(sent)

    async def test_no_events_are_published(self, broker: Broker) -> None:
        sink = await broker.open()
        await sink.publish([])
        sent = events(1)
        await sink.publish(sent)
        assert list(await broker.received(1)) == envelopes(sent)

    async def test_a_repeated_batch_keeps_the_ids_and_the_order(self, broker: Broker) -> None:
        """The relay died before it noted that the batch was published."""
        sink, sent = await broker.open(), events(20)
        await sink.publish(sent[:10])
        again = await broker.open()
        await again.publish(sent)
        assert without_repeats(await broker.received(20)) == envelopes(sent)

    async def test_consumers_do_not_learn_the_owner(self, broker: Broker) -> None:
        sink = await broker.open()
        await sink.publish(events(1))
        (received,) = await broker.received(1)
        assert "ann" not in str(received)

    async def test_the_name_stays_the_same(self, broker: Broker) -> None:
        names = {(await broker.open()).name for _ in range(2)}
        assert len(names) == 1
        assert names != {""}

    async def test_a_broker_that_is_away_delays_events(self, broker: Broker) -> None:
        sink, sent = await broker.open(), events(3)
        broker.stop()
        for _ in range(2):
            with pytest.raises(SinkUnavailable) as caught:
                await sink.publish(sent)
            assert str(caught.value)
        broker.start()
        await sink.publish(sent)
        assert without_repeats(await broker.received(3)) == envelopes(sent)

    async def test_a_sink_that_never_published_closes(self, broker: Broker) -> None:
        await (await broker.open()).close()
