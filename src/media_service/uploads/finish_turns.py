"""Limits how many uploads finish at a time in a process, and shares the turns fairly.

Finishing takes a dozen steps of the event loop and several statements. If a thousand uploads
finished at once, every other call would wait for a step of each of them between two of its own.
"""

from contextlib import AbstractAsyncContextManager

from media_service.access.fair_turns import FairTurns
from media_service.access.owner import Owner
from media_service.errors import Reason, ResourceExhausted

# Of uploads with a session, each of which has transactions of its own.
MOST_TURNS = 8
# Of uploads without one. They share transactions, which cost less for each if more share them.
MOST_SHARED_TURNS = 32
# Thousands of uploads may finish at once, and a process finishes about a hundred in a second. Envoy
# waits as long for a silent stream.
MOST_SECONDS = 300.0


class FinishTurns:
    """At most `most` turns run at a time. A turn is for work on the event loop and in the database.
    It must not wait for a store, which may take long to join parts."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._turns = FairTurns(most)

    def turn(self, owner: Owner) -> AbstractAsyncContextManager[None]:
        """Waits for a turn, which ends with the context. Raises ResourceExhausted (SERVER_BUSY) if
        none comes in `MOST_SECONDS`."""
        return self._turns.turn_within(MOST_SECONDS, owner, self._busy)

    def _busy(self) -> ResourceExhausted:
        return ResourceExhausted(
            Reason.SERVER_BUSY,
            "Too many uploads finish on this server. Try again in a moment; bytes of an upload that"
            " can be resumed are kept.",
            max_streams=self._most,
        )
