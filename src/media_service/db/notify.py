"""Notifications between processes, over PostgreSQL's LISTEN/NOTIFY.

A notification only says *look again*. The tables have the data, and listeners also poll them. So a
notification may be late, merged with another, or lost in a crash.

NOTIFY inside a transaction makes its commit hold a lock that every other notifying commit waits
for, which defeats PostgreSQL's group commit. So notifications are collected and sent after the
commit, on a connection of their own.
"""

import asyncio
import contextlib
import json
import logging
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg

from media_service.db.connection import LimitedConnection
from media_service.db.notifications import KINDS, E, Notification, channel, decode, encode
from media_service.failpoints import failpoint

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0
# After so long without a notification, a statement finds out whether PostgreSQL still answers.
PROBE_SECONDS = 5.0
# Between two sends. Notifications that are published meanwhile are sent together.
PAUSE_SECONDS = 0.005
Key = tuple[type[Notification], str]


class Notifier:
    """Publishes and delivers notifications."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._pending: dict[Key, Notification] = {}
        self._wake = asyncio.Event()
        self._listeners: dict[Key, set[Callable[[Any], None]]] = defaultdict(set)
        self._takers: list[Callable[[Notification], bool]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._listening = asyncio.Event()
        # The key of an advisory lock that this process holds while it is connected, so that others
        # can find out whether it died. Each connection has another one.
        self.presence: int | None = None

    async def open(self) -> None:
        """Returns once notifications arrive."""
        self._tasks = [
            asyncio.create_task(self._forever(self._publish_loop), name="notify-publish"),
            asyncio.create_task(self._forever(self._listen_loop), name="notify-listen"),
        ]
        await self._listening.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def publish(self, notification: Notification) -> None:
        """Wakes the listeners in every process, soon. Of several notifications of the same kind and
        key, the newest is delivered."""
        self._pending[type(notification), notification.key] = notification
        self._wake.set()

    def offer(self, notification: Notification) -> None:
        """Publishes it, unless a taker sends it another way."""
        if not any(take(notification) for take in self._takers):
            self.publish(notification)

    @contextlib.contextmanager
    def divert(self, take: Callable[[Notification], bool]) -> Iterator[None]:
        """Offers each notification to `take` first, which returns whether it sends it."""
        self._takers.append(take)
        try:
            yield
        finally:
            self._takers.remove(take)

    @contextlib.contextmanager
    def listen(self, kind: type[E], key: str, listener: Callable[[E], None]) -> Iterator[None]:
        """Calls `listener` on the event loop for notifications of this kind and key."""
        listeners = self._listeners[kind, key]
        listeners.add(listener)
        try:
            yield
        finally:
            listeners.discard(listener)
            if not listeners:
                self._listeners.pop((kind, key), None)

    async def _forever(self, loop: Callable[[LimitedConnection], Awaitable[None]]) -> None:
        while True:
            try:
                async with await LimitedConnection.open(self._url, self._timeout) as connection:
                    await loop(connection)
            except psycopg.OperationalError as error:
                log.warning("notifications interrupted, reconnecting: %s", error)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _publish_loop(self, connection: LimitedConnection) -> None:
        await connection.execute("set synchronous_commit = off")
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._pending = self._pending, {}
            failpoint("notify.before")
            # For many notifications, one JSON value is cheaper than arrays.
            notifications = [(channel(type(each)), encode(each)) for each in batch.values()]
            await connection.execute(
                "select pg_notify(e ->> 0, e ->> 1) from json_array_elements(%s::json) as e",
                (json.dumps(notifications),),
            )
            await asyncio.sleep(PAUSE_SECONDS)

    async def _listen_loop(self, connection: LimitedConnection) -> None:
        await connection.execute("; ".join(f"listen {name}" for name in KINDS).encode())
        presence = secrets.randbits(63)
        await connection.execute("select pg_advisory_lock(%s)", (presence,))
        self.presence = presence
        self._listening.set()
        while True:
            quiet = min(PROBE_SECONDS, self._timeout)
            async for received in connection.notifies(timeout=quiet):
                try:
                    notification = decode(received.channel, received.payload)
                except (ValueError, TypeError) as error:
                    log.warning("a notification is not understood: %s", error)
                    continue
                key = type(notification), notification.key
                for listener in tuple(self._listeners.get(key, ())):
                    listener(notification)
            await connection.execute("select 1")
