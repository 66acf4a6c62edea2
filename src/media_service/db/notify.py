"""Wake-ups between processes, over PostgreSQL's LISTEN/NOTIFY.

A wake-up says only *look again*; the truth is in the tables, and whoever waits for a wake-up also
looks by itself now and then. So publishing may be late, merged, or lost with a crash.

NOTIFY inside a transaction makes its commit hold a lock that every other notifying commit waits
for, and so undoes PostgreSQL's group commit. So wake-ups go out after the commit, collected, on a
connection of their own.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Self

import psycopg
from psycopg import AsyncConnection

from media_service.failpoints import failpoint

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0
# Between two sendings: what is published meanwhile goes out together.
PAUSE_SECONDS = 0.005
Listener = Callable[[str], None]


class Notifier:
    """Publishes and delivers wake-ups: a topic, a key (an id), and a short payload."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pending: dict[tuple[str, str], str] = {}
        self._wake = asyncio.Event()
        self._listeners: dict[tuple[str, str], set[Listener]] = defaultdict(set)
        self._tasks: list[asyncio.Task[None]] = []
        self._listening = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._forever(self._publish_loop), name="notify-publish"),
            asyncio.create_task(self._forever(self._listen_loop), name="notify-listen"),
        ]
        await self._listening.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def publish(self, topic: str, key: str, payload: str = "") -> None:
        """Wakes listeners of (topic, key) in every process, soon; the newest payload wins."""
        self._pending[topic, key] = payload
        self._wake.set()

    @contextlib.contextmanager
    def listen(self, topic: str, key: str, listener: Listener) -> Iterator[None]:
        """Calls `listener(payload)` on the event loop for wake-ups of the key; "*" is every key."""
        listeners = self._listeners[topic, key]
        listeners.add(listener)
        try:
            yield
        finally:
            listeners.discard(listener)
            if not listeners:
                self._listeners.pop((topic, key), None)

    async def _forever(self, loop: Callable[[AsyncConnection], object]) -> None:
        while True:
            try:
                async with await AsyncConnection.connect(self._url, autocommit=True) as connection:
                    await loop(connection)  # type: ignore[misc]
            except psycopg.OperationalError as error:
                log.warning("wake-ups interrupted, reconnecting: %s", error)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _publish_loop(self, connection: AsyncConnection) -> None:
        await connection.execute("set synchronous_commit = off")
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._pending = self._pending, {}
            topics = [topic for topic, _ in batch]
            failpoint("wake-up.before")
            payloads = [f"{key}:{payload}" for (_, key), payload in batch.items()]
            await connection.execute(
                "select pg_notify('media_' || t, p) from unnest(%s::text[], %s::text[]) as u(t, p)",
                (topics, payloads),
            )
            await asyncio.sleep(PAUSE_SECONDS)

    async def _listen_loop(self, connection: AsyncConnection) -> None:
        for topic in ("uploads", "media", "jobs", "job_changes"):
            await connection.execute(f"listen media_{topic}")
        self._listening.set()
        async for notification in connection.notifies():
            topic = notification.channel.removeprefix("media_")
            key, _, payload = notification.payload.partition(":")
            for wanted in (key, "*"):
                for listener in tuple(self._listeners.get((topic, wanted), ())):
                    listener(payload)
