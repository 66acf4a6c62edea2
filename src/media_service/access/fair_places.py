"""Divides a limited number of places fairly among owners.

How to use it: create one `FairPlaces` for each resource that a process can run out of, such as
upload streams. Before any other work, call `take(owner)`; if it returns None, refuse the call with
a time to retry. Use the place as a context, or end it with the task that does the work. Pass
`on_evicted` a callback that ends the work in order and tells the caller to try again.

    place = places.take(caller().charged)
    if place is None:
        raise ResourceExhausted(...)
    with place:
        place.on_evicted(stop)
        ...
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from media_service.access.owner import Owner


class Place:
    """A place that an owner holds until the end of the context."""

    def __init__(self, owner: Owner, leave: "Callable[[Place], None]") -> None:
        self.owner = owner
        self.evicted = False
        self._leave = leave
        self._until_done = False
        self._on_evicted: Callable[[], object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Gives the place back, unless it is held until a task ends. At most once."""
        if not self._until_done:
            self._leave(self)

    def until_done(self, task: "asyncio.Task[Any]") -> None:
        """Holds the place until the task ends, which may be after the end of the context."""
        self._until_done = True
        task.add_done_callback(lambda _: self._leave(self))

    def on_evicted(self, stop: Callable[[], object]) -> None:
        """Calls `stop` when the place is evicted, or now if it was."""
        self._on_evicted = stop
        if self.evicted:
            stop()

    def evict(self) -> None:
        self.evicted = True
        if self._on_evicted is not None:
            self._on_evicted()


class FairPlaces:
    """At most `most` places, held by any number of owners.

    While places are free, any owner may take them. When all are taken, an owner who holds at least
    two fewer than the owner with the most gets a place, and the newest place of that owner is
    evicted. So an owner is refused only if nobody holds more than one place more than it has:
    however many places one owner asks for, the others get their equal shares. An eviction always
    makes the shares more equal, so evictions end.

    Evicted work may need time to end. At most a twentieth of the places may be in that state, in
    addition to `most`; beyond it, nobody is evicted.

    The state is bounded by the number of places. Every call takes constant time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._leaving = 0
        self._most_leaving = max(1, most // 20)
        # Dictionaries serve as ordered sets.
        self._places: dict[Owner, dict[Place, None]] = {}
        self._owners: dict[int, dict[Owner, None]] = {}  # by the number of their places
        self._highest = 0

    @property
    def owners(self) -> int:
        """How many owners hold places."""
        return len(self._places)

    def of(self, owner: Owner) -> int:
        """How many places an owner holds."""
        return len(self._places.get(owner, ()))

    def take(self, owner: Owner, *, full: bool = False) -> Place | None:
        """Takes a place, or returns None if the owner has its share. With `full`, there is only
        room for one more if another owner loses a place."""
        if (full or self.held >= self.most) and not self._make_room(owner):
            return None
        place = Place(owner, self._leave)
        self._change(owner, +1)
        self._places.setdefault(owner, {})[place] = None
        return place

    def _make_room(self, owner: Owner) -> bool:
        return self._highest >= self.of(owner) + 2 and self.evict_newest()

    def evict_newest(self) -> bool:
        """Evicts the newest place of the owner with the most. Returns False if too many evicted
        ones have not ended yet, or there are no places."""
        if self._leaving >= self._most_leaving or not self.held:
            return False
        heaviest = next(iter(self._owners[self._highest]))
        newest = next(reversed(self._places[heaviest]))
        self._remove(newest)
        self._leaving += 1
        newest.evict()
        return True

    def _leave(self, place: Place) -> None:
        if place.evicted:
            self._leaving -= 1
        else:
            self._remove(place)

    def _remove(self, place: Place) -> None:
        owner = place.owner
        self._change(owner, -1)
        del self._places[owner][place]
        if not self._places[owner]:
            del self._places[owner]

    def _change(self, owner: Owner, by: int) -> None:
        before = self.of(owner)
        after = before + by
        if before:
            del self._owners[before][owner]
            if not self._owners[before]:
                del self._owners[before]
        if after:
            self._owners.setdefault(after, {})[owner] = None
        if after > self._highest or self._highest not in self._owners:
            self._highest = after
        self.held += by
