"""Turns of owners at something that a process has a limited number of."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

from media_service.access.owner import Owner
from media_service.errors import MediaError


@dataclass(eq=False, slots=True)
class Turn:
    """A turn of an owner, waiting or running. For `heavy`, see `renders/slots.py`."""

    owner: Owner
    heavy: bool = False
    started: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class FairTurns:
    """Runs at most `most` turns at a time, and starts one when `may_start` allows it. The owner
    with the fewest running turns is next; of several such owners, the one who has waited longest
    since its last turn."""

    def __init__(self, most: int, may_start: Callable[[Turn], bool] = lambda _: True) -> None:
        self._most = most
        self._may_start = may_start
        # Dictionaries serve as ordered sets.
        self._running: dict[Turn, None] = {}
        self._running_by_owner: Counter[Owner] = Counter()
        # Owners take turns in this order, light and heavy turns apart.
        self._waiting: OrderedDict[tuple[Owner, bool], dict[Turn, None]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, owner: Owner) -> AsyncIterator[None]:
        """Waits for a turn, which ends with the context."""
        turn = Turn(owner)
        self.add(turn)
        try:
            await turn.started
            yield
        finally:
            self.remove(turn)

    @asynccontextmanager
    async def turn_within(
        self, seconds: float, owner: Owner, busy: Callable[[], MediaError]
    ) -> AsyncIterator[None]:
        """Like `turn`. Raises the error of `busy` if the turn does not start within `seconds`."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    await stack.enter_async_context(self.turn(owner))
            except TimeoutError:
                raise busy() from None
            yield

    @property
    def running(self) -> Collection[Turn]:
        return self._running.keys()

    def running_of(self, owner: Owner) -> int:
        return self._running_by_owner[owner]

    @property
    def waiting_owners(self) -> Collection[tuple[Owner, bool]]:
        """The owners with waiting turns, and whether these are heavy."""
        return self._waiting.keys()

    def add(self, turn: Turn) -> None:
        """Starts a turn now or later: wait for `started`."""
        self._waiting.setdefault((turn.owner, turn.heavy), {})[turn] = None
        self.start_waiting()

    def remove(self, turn: Turn) -> None:
        """Ends a turn that runs or waits."""
        if turn in self._running:
            del self._running[turn]
            self._running_by_owner[turn.owner] -= 1
            if not self._running_by_owner[turn.owner]:
                del self._running_by_owner[turn.owner]
            self.start_waiting()
        else:
            self._forget(turn)

    def start_waiting(self) -> None:
        """Starts the waiting turns that may start."""
        while turn := self._next():
            self._forget(turn)
            if (turn.owner, turn.heavy) in self._waiting:
                self._waiting.move_to_end((turn.owner, turn.heavy))
            self._running[turn] = None
            self._running_by_owner[turn.owner] += 1
            if not turn.started.cancelled():  # otherwise, its task ends and removes it
                turn.started.set_result(None)

    def _next(self) -> Turn | None:
        if len(self._running) >= self._most:
            return None
        first = (next(iter(turns)) for turns in self._waiting.values())
        # Of more owners than have running turns, one has none. An owner may be there twice.
        allowed = islice(filter(self._may_start, first), 2 * len(self._running_by_owner) + 1)
        return min(allowed, key=lambda turn: self.running_of(turn.owner), default=None)

    def _forget(self, turn: Turn) -> None:
        turns = self._waiting[turn.owner, turn.heavy]
        del turns[turn]
        if not turns:
            del self._waiting[turn.owner, turn.heavy]
