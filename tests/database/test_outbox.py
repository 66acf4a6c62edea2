"""The outbox, its relay, and the places of sinks."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest
from click.testing import CliRunner

from media_service.access.owner import Owner
from media_service.cli.main import cli
from media_service.db.database import Database
from media_service.db.event_types import EventType
from media_service.db.new_event import Event
from media_service.db.personal_data import Person, personal_rows
from media_service.db.transaction import Rollback
from media_service.events import queries, relay
from media_service.events.model import Cursor, RelayedEvent
from media_service.events.periodic_tasks import forget_sinks, remove_old_events
from media_service.events.relay import Relay
from media_service.events.sink import Sink, SinkUnavailable
from media_service.ids import new_id
from tests.support.batches import changed_by
from tests.support.tools import eventually_async

UPDATED = EventType.MEDIA_UPDATED
ANN = Owner("user", "ann", "acme")
NEW_MEDIA = """
    insert into media (media_id, org_id, owner_type, owner_id, state, kind, content_type,
                       size_bytes, project_id)
    values (%s, 'acme', 'user', 'ann', 'READY', 'IMAGE', 'image/png', 1, 'spring')
"""


async def add_media(database: Database) -> str:
    media_id = new_id()
    async with database.connection() as db:
        await db.execute(NEW_MEDIA, (media_id,))
    return media_id


class Recorder:
    """A sink that keeps what it gets. It fails while `away`, after it has taken some."""

    def __init__(self, name: str = "recorder") -> None:
        self.name = name
        self.got: list[RelayedEvent] = []
        self.away = False

    async def publish(self, events: Sequence[RelayedEvent]) -> None:
        if self.away:
            self.got += events[: len(events) // 2]
            raise SinkUnavailable("it is away")
        self.got += events

    async def close(self) -> None: ...


@asynccontextmanager
async def relaying(database: Database, *sinks: Sink) -> AsyncIterator[None]:
    task = asyncio.create_task(Relay(database, sinks).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def relayed(database: Database) -> list[RelayedEvent]:
    async with database.connection() as db:
        rows = await db.execute("select min(cursor) - 1 as first from events")
        row = await rows.fetchone()
        assert row
        return list((await queries.after(db, Cursor(1, row["first"] or 0), 100_000)).events)


async def relay_all(database: Database) -> None:
    while True:
        async with database.transaction() as tx:
            if not await queries.relay(tx, 7):
                return


def firsts(events: Sequence[RelayedEvent]) -> list[RelayedEvent]:
    return list({event.event_id: event for event in reversed(events)}.values())[::-1]


async def has_all(sink: Recorder, expected: set[str]) -> bool:
    return {event.event_id for event in sink.got} == expected


def check_order(events: Sequence[RelayedEvent]) -> None:
    """The numbers of each media begin with 1 and have no gaps."""
    numbers = defaultdict(list)
    for event in events:
        numbers[event.media_id].append(event.sequence)
    for found in numbers.values():
        assert found == list(range(1, len(found) + 1))


async def test_an_event_has_what_consumers_and_the_predicate_need(database: Database) -> None:
    media_id = await add_media(database)
    async with database.transaction() as tx:
        await tx.execute("update media set project_id = 'autumn', version = 3")
        tx.emit(Event(type=UPDATED, media_id=media_id), Event(type=UPDATED, media_id=media_id))
    await relay_all(database)
    first, second = await relayed(database)
    assert (first.type, first.subject) == ("media.updated", f"media/{media_id}")
    assert (first.org_id, first.owner_type, first.owner_id) == ("acme", "user", "ann")
    assert (first.project_id, first.sequence, second.sequence) == ("autumn", 1, 2)
    assert first.data == {
        "kind": "IMAGE", "state": "READY", "version": 3, "visibility": "PRIVATE",
    }  # fmt: skip
    assert second.cursor.number == first.cursor.number + 1


async def test_a_rollback_emits_nothing(database: Database) -> None:
    media_id = await add_media(database)
    async with database.transaction() as tx:
        tx.emit(Event(type=UPDATED, media_id=media_id))
        await tx.flush()
        raise Rollback
    await relay_all(database)
    assert await relayed(database) == []


def test_data_has_only_declared_fields() -> None:
    with pytest.raises(ValueError, match=r"media\.updated does not declare filename"):
        Event(type=UPDATED, media_id=new_id(), data={"filename": "ann.jpg"})


async def test_concurrent_changes_are_in_order_and_every_event_arrives_at_every_sink(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transactions that overlap, two relays, and a sink that fails."""
    monkeypatch.setattr(relay, "BACKOFF_SECONDS", (0.01, 0.02))
    media = [await add_media(database) for _ in range(5)]
    chance = random.Random(7)  # noqa: S311
    expected: set[str] = set()

    async def change(media_ids: Sequence[str]) -> None:
        async with database.transaction() as tx:
            await tx.execute("select pg_current_xact_id()")
            await asyncio.sleep(chance.random() / 100)
            events = [Event(type=UPDATED, media_id=media_id) for media_id in media_ids]
            tx.emit(*events)
            await tx.flush()
            await asyncio.sleep(chance.random() / 100)
            expected.update(event.event_id for event in events)

    steady, failing = Recorder("steady"), Recorder("failing")
    async with database.connection() as db:
        for sink in (steady, failing):
            await queries.register_sink(db, sink.name)
    async with relaying(database, steady, failing), relaying(database, steady, failing):
        for round_ in range(4):
            failing.away = round_ in {1, 2}
            changes = (chance.sample(media, chance.randint(1, 3)) for _ in range(25))
            await asyncio.gather(*(change(media_ids) for media_ids in changes))
        for sink in (steady, failing):
            await eventually_async(partial(has_all, sink, expected))
    assert len(steady.got) == len(expected)
    for events in (await relayed(database), steady.got, firsts(failing.got)):
        check_order(events)


async def test_an_erasure_waits_for_the_relay_so_that_no_sink_is_told_who_was_erased(
    database: Database,
) -> None:
    media_id = await add_media(database)
    async with database.transaction() as tx:
        tx.emit(Event(type=UPDATED, media_id=media_id))
    waiting, kept = (rows for rows in personal_rows() if "event" in rows.table)
    ann = Person("user", "ann", ["user:ann"], "pseudonym", part="acme")
    assert not waiting.erasable, "the relay may hold the row"
    async with database.connection() as db:
        assert [await rows.exist(db, ann) for rows in (waiting, kept)] == [True, False]
    await relay_all(database)
    async with database.transaction() as tx:
        assert [await rows.exist(tx, ann) for rows in (waiting, kept)] == [False, True]
        await kept.erase_batch(tx, ann, None)
    (event,) = await relayed(database)
    assert (event.owner_type, event.owner_id) == ("erased", "pseudonym")


async def test_a_lag_is_a_number_and_an_exit_status(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIA_DATABASE_URL", database_url)
    media_id = await add_media(database)

    async def status() -> tuple[int, int]:
        """The exit status, and the hours that the event has waited."""
        command = ["events", "status", "--json"]
        done = await asyncio.to_thread(CliRunner().invoke, cli, command)
        (place,) = json.loads(done.stdout)["places"]
        assert (place["name"], place["waiting"]) == ("relay", 1)
        return done.exit_code, place["lagSeconds"] // 3600

    async with database.transaction() as tx:
        tx.emit(Event(type=UPDATED, media_id=media_id))
    assert await status() == (0, 0)
    async with database.connection() as db:
        await db.execute("update event_outbox set time = now() - interval '2 hours'")
    assert await status() == (1, 2)


async def test_a_sink_that_fails_for_long_stays_in_use(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BACKOFF_SECONDS", (0.01, 0.02))
    media_id, failing = await add_media(database), Recorder("failing")
    failing.away = True
    async with relaying(database, failing):
        await eventually_async(partial(sinks, database))
        async with database.transaction() as tx:
            tx.emit(Event(type=UPDATED, media_id=media_id))
        await eventually_async(partial(sinks, database, 3))
        async with database.connection() as db:
            await db.execute("update event_sinks set seen_time = now() - interval '2 days'")
        _, attempts = await eventually_async(partial(sinks, database))
        await eventually_async(partial(sinks, database, attempts + 2))
        assert await changed_by(forget_sinks(database, timedelta(days=1))) == 0
        failing.away = False
        await eventually_async(lambda: has_any(failing))


async def test_what_a_dead_worker_held_is_delivered_by_another_at_once(
    database: Database, database_url: str
) -> None:
    media_id, sink = await add_media(database), Recorder()
    async with Database(database_url, 2) as dying, dying.connection() as db:
        await queries.register_sink(db, sink.name)
        held = partial(queries.hold_sink, db, sink.name)
        hour = timedelta(hours=1)
        assert await held(new_id(), dying.presence, hour)
        assert await held(new_id(), database.presence, hour) is None, "it lives"
    async with relaying(database, sink):
        async with database.transaction() as tx:
            tx.emit(Event(type=UPDATED, media_id=media_id))
        await eventually_async(lambda: has_any(sink))


async def test_an_idle_relay_writes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "POLL_SECONDS", 0.01)
    async with relaying(database, Recorder()):
        await eventually_async(partial(sinks, database))
        before = await written(database)
        await asyncio.sleep(0.3)
        assert await written(database) == before


async def written(database: Database) -> str:
    """Which transactions have written or locked the rows of the relay."""
    async with database.connection() as db:
        rows = await db.execute(
            "select xmin::text || '-' || xmax::text as last from event_log"
            " union all select xmin::text || '-' || xmax::text from event_sinks"
        )
        return str([row["last"] async for row in rows])


async def sinks(database: Database, attempts: int = 0) -> tuple[str, int] | None:
    """The only sink, and how often a delivery to it has failed, once it is so many times."""
    async with database.connection() as db:
        found = (await queries.status(db)).sinks
    return next(((each.name, each.attempts) for each in found if each.attempts >= attempts), None)


async def has_any(sink: Recorder) -> bool:
    return bool(sink.got)


async def test_old_events_go_when_every_sink_in_use_has_them(database: Database) -> None:
    media_id = await add_media(database)
    async with database.connection() as db:
        await queries.register_sink(db, "slow")
    for _ in range(2):
        async with database.transaction() as tx:
            tx.emit(Event(type=UPDATED, media_id=media_id))
        await relay_all(database)
    async with database.connection() as db:
        await db.execute("update events set time = now() - interval '2 days'")
        status = await queries.status(db)
    (slow,) = status.sinks
    assert (slow.name, slow.waiting, status.waiting) == ("slow", 2, 0)
    assert [lag.partition(", ")[0] for lag in status.lags()] == ["2 events wait for slow"]
    day = timedelta(days=1)
    assert await changed_by(remove_old_events(database, day)) == 0
    async with database.connection() as db:
        await db.execute("update event_sinks set cursor = cursor + 1")
    assert await changed_by(remove_old_events(database, day)) == 1
    async with database.connection() as db:
        await db.execute("update event_sinks set seen_time = now() - interval '2 days'")
    assert await changed_by(remove_old_events(database, day)) == 1
    assert await changed_by(forget_sinks(database, day)) == 1
    async with database.connection() as db:
        removed, newest = await queries.bounds(db)
    assert removed == newest
