"""Spreads the steps of many responses over time, so that short calls need not wait for them."""

import asyncio
from collections import deque


class Pacer:
    """Allows one step in each pass of the event loop, in the order in which they were asked for.

    A pass runs everything that is ready, and a call needs several passes. If the responses of
    thousands of downloads were ready in the same pass, every other call would wait for all of them
    several times. A step is only delayed: nothing is held while it runs, so it may wait for a disk.
    """

    def __init__(self) -> None:
        self._free = True
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def step(self) -> None:
        """Returns at once unless there was a step in this pass."""
        loop = asyncio.get_running_loop()
        if self._free:
            self._free = False
            loop.call_soon(self._next_pass)
        else:
            step = loop.create_future()
            self._waiting.append(step)
            await step

    def _next_pass(self) -> None:
        while self._waiting:
            step = self._waiting.popleft()
            if not step.done():  # its call was not cancelled meanwhile
                step.set_result(None)
                asyncio.get_running_loop().call_soon(self._next_pass)
                return
        self._free = True
