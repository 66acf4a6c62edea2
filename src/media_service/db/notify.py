"""Events between processes, over PostgreSQL's LISTEN/NOTIFY.

An event only says *look again*. The tables have the data, and listeners also poll them. So an event
may be late, merged with another, or lost in a crash.

NOTIFY inside a transaction makes its commit hold a lock that every other notifying commit waits
for, which defeats PostgreSQL's group commit. So events are collected and sent after the commit, on
a connection of their own.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection

from media_service.db.events import KINDS, E, Event, channel, decode, encode
from media_service.failpoints import failpoint

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0
# Between two sends. Events that are published meanwhile are sent together.
PAUSE_SECONDS = 0.005
Key = tuple[type[Event], str]


class Notifier:
    """Publishes and delivers events."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pending: dict[Key, Event] = {}
        self._wake = asyncio.Event()
        self._listeners: dict[Key, set[Callable[[Any], None]]] = defaultdict(set)
        self._tasks: list[asyncio.Task[None]] = []
        self._listening = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._forever(self._publish_loop), name="notify-publish"),
            asyncio.create_task(self._forever(self._listen_loop), name="notify-listen"),
        ]
        try:
            await self._listening.wait()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def publish(self, event: Event) -> None:
        """Wakes the event's listeners in every process, soon. Of several of the same kind and key,
        the newest is delivered."""
        self._pending[type(event), event.key] = event
        self._wake.set()

    @contextlib.contextmanager
    def listen(self, kind: type[E], key: str, listener: Callable[[E], None]) -> Iterator[None]:
        """Calls `listener` on the event loop for events of this kind and key."""
        listeners = self._listeners[kind, key]
        listeners.add(listener)
        try:
            yield
        finally:
            listeners.discard(listener)
            if not listeners:
                self._listeners.pop((kind, key), None)

    async def _forever(self, loop: Callable[[AsyncConnection], object]) -> None:
        while True:
            try:
                async with await AsyncConnection.connect(self._url, autocommit=True) as connection:
                    await loop(connection)  # type: ignore[misc]
            except psycopg.OperationalError as error:
                log.warning("events interrupted, reconnecting: %s", error)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _publish_loop(self, connection: AsyncConnection) -> None:
        await connection.execute("set synchronous_commit = off")
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._pending = self._pending, {}
            failpoint("wake-up.before")
            await connection.execute(
                "select pg_notify(c, p) from unnest(%s::text[], %s::text[]) as u(c, p)",
                (
                    [channel(type(event)) for event in batch.values()],
                    [encode(event) for event in batch.values()],
                ),
            )
            await asyncio.sleep(PAUSE_SECONDS)

    async def _listen_loop(self, connection: AsyncConnection) -> None:
        for name in KINDS:
            await connection.execute(f"listen {name}".encode())
        self._listening.set()
        async for notification in connection.notifies():
            event = decode(notification.channel, notification.payload)
            for listener in tuple(self._listeners.get((type(event), event.key), ())):
                listener(event)
