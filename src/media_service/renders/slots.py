"""The slots in which renders run, each in a child process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from media_service.access.fair_turns import FairTurns, Turn
from media_service.access.owner import Owner

# A light render that takes longer than this becomes heavy.
LIGHT_SECONDS = 2.0


class GaveWay(Exception):
    """A render left its slot to a render of another owner. It can start again as a heavy one."""


def child_processes(children: int) -> int:
    """How many child processes `Slots` needs for `children` renders: at least two, because a heavy
    render must leave one to light renders."""
    return max(2, children)


class Slots:
    """Runs up to `children` renders at once. A render is light until it has run for
    `LIGHT_SECONDS`, and heavy from then on.

    One slot is for light renders only. A render that becomes heavy in it may stay there until a
    light render waits of an owner who holds fewer slots, and then gives way. Renders that start as
    heavy ones use the other slots and never give way, so a render gives way only once. With one
    child, a heavy render and a light one may run at the same time.
    """

    def __init__(self, children: int) -> None:
        self._light_slots = children
        self._slots = child_processes(children)
        self._turns = FairTurns(self._slots, self._may_start)
        # The renders that became heavy, in this order, and how to stop those that still run.
        self._proven: dict[Turn, asyncio.Timeout | None] = {}

    @asynccontextmanager
    async def slot(self, owner: Owner, *, heavy: bool = False) -> AsyncIterator[None]:
        """Waits for a slot. Raises GaveWay if the render must give way."""
        turn = Turn(owner, heavy)
        self._turns.add(turn)
        self._make_room()
        try:
            await turn.started
            async with asyncio.timeout(None) as stop:
                late = asyncio.get_running_loop().call_later(
                    LIGHT_SECONDS, self._make_heavy, turn, stop
                )
                try:
                    yield
                finally:
                    late.cancel()
                    self._proven.pop(turn, None)
        except TimeoutError:
            if stop.expired():
                raise GaveWay from None
            raise
        finally:
            self._turns.remove(turn)

    def _may_start(self, turn: Turn) -> bool:
        running = self._turns.running
        heavy = sum(each.heavy for each in running)
        return heavy < self._slots - 1 if turn.heavy else len(running) - heavy < self._light_slots

    def _make_heavy(self, turn: Turn, stop: asyncio.Timeout) -> None:
        if not turn.heavy:
            turn.heavy = True
            self._proven[turn] = stop
            self._turns.start_waiting()
            self._make_room()

    def _make_room(self) -> None:
        """Stops the last of too many heavy renders if a light one waits of an owner who holds fewer
        slots."""
        if sum(each.heavy for each in self._turns.running) < self._slots:
            return
        turn, stop = next(reversed(self._proven.items()))
        light_owners = (owner for owner, heavy in self._turns.waiting_owners if not heavy)
        held = self._turns.running_of
        if stop and any(held(owner) < held(turn.owner) for owner in light_owners):
            self._proven[turn] = None
            stop.reschedule(asyncio.get_running_loop().time())
