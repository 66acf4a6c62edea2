"""Reading events in their order."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from media_service.access.policy import Condition, scope
from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.db.notifications import EventRelayed
from media_service.db.transaction import Connection
from media_service.errors import FailedPrecondition, InvalidArgument, Reason
from media_service.events import queries
from media_service.events.model import Cursor, Followed, Page

PAGE = 200
# A watch repeats its cursor after so long without an event.
HEARTBEAT_SECONDS = 10.0
# The shortest pause between two reads of one watch, so that it reads several events at once.
PAUSE_SECONDS = 0.02


# Asked before each page: it raises once the caller may no longer follow.
Following: TypeAlias = Callable[[Connection], Awaitable[Followed]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events: of these types, where "media.*" stands for all that begin with "media.", in
    this project, of this media, of what is `following`. Empty: all."""

    types: Sequence[str] = ()
    project_id: str = ""
    media_id: str = ""
    following: Following | None = None

    def conditions(self) -> list[Condition]:
        found = []
        if self.types:
            matches = "(e.type = any(%s) or split_part(e.type, '.', 1) || '.*' = any(%s))"
            found.append(Condition(matches, (list(self.types), list(self.types))))
        if self.project_id:
            found.append(Condition("e.project_id = %s", (self.project_id,)))
        return found


class EventService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def watch(
        self, principal: Principal, cursor: str, selection: Selection
    ) -> AsyncGenerator[Page, None]:
        """Yields the events after a cursor that the caller may see, and those that come. An empty
        cursor is the present one. A page without events says how far the watch is: at once, behind
        events that the caller may not see, and every 10 seconds.

        Raises InvalidArgument (INVALID_FIELD) and FailedPrecondition (CURSOR_EXPIRED).
        """
        relayed = asyncio.Event()
        with self._database.listen(EventRelayed, "", lambda _: relayed.set()):
            place = await self._begin(principal, cursor)
            yield Page((), place, full=False)
            while True:
                relayed.clear()
                page = await self._read(principal, place, selection)
                moved, place = page.end != place, page.end
                if moved:
                    yield page
                if page.full:
                    continue
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await relayed.wait()
                except TimeoutError:
                    yield Page((), place, full=False)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _begin(self, principal: Principal, text: str) -> Cursor:
        scope(principal)
        async with self._database.connection() as db:
            removed, newest = await queries.bounds(db)
        if not text:
            return newest
        if not (cursor := Cursor.parse(text)):
            why = "is not a cursor of an event"
            raise InvalidArgument(Reason.INVALID_FIELD, f"The cursor {why}.", (("cursor", why),))
        check(cursor, removed, newest)
        return cursor

    async def _read(self, principal: Principal, place: Cursor, selection: Selection) -> Page:
        async with self._database.connection() as db:
            removed, newest = await queries.bounds(db)
            check(place, removed, newest)
            conditions = selection.conditions()
            if selection.media_id:
                page = await queries.visible_of_media(
                    db, scope(principal), selection.media_id, conditions, place, PAGE
                )
                # What is not behind the newest one by now gets a higher cursor.
                return page if page.full else replace(page, end=max_of(page.end, newest))
            if not selection.following:
                return await queries.visible_after(db, scope(principal), conditions, place, PAGE)
            followed = await selection.following(db)
            return await queries.visible_of(db, followed, conditions, place, PAGE)


def max_of(one: Cursor, other: Cursor) -> Cursor:
    return one if one.number >= other.number else other


def check(cursor: Cursor, removed: Cursor, newest: Cursor) -> None:
    """Raises FailedPrecondition (CURSOR_EXPIRED) if events after this cursor are gone, or if it is
    of another epoch."""
    if cursor.epoch == newest.epoch and removed.number <= cursor.number <= newest.number:
        return
    raise FailedPrecondition(
        Reason.CURSOR_EXPIRED,
        "Events after this cursor are no longer kept, or the service was restored from a backup."
        " Watch without a cursor, then read what you follow again.",
        cursor=str(newest),
    )
