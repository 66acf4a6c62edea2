"""How far a job is."""

import asyncio


class Progress:
    """What a handler tells of its work. Only the newest is kept: it may be told as often as one
    likes, and is written down now and then."""

    def __init__(self) -> None:
        self.stage = ""
        self.percent = 0
        self._changed = asyncio.Event()

    def report(self, stage: str, percent: float) -> None:
        """`stage`: what is being done, in a word. `percent`: of the whole job; it never falls, and
        100 is left to the end of the job."""
        whole = max(self.percent, min(int(percent), 99))
        if (stage, whole) != (self.stage, self.percent):
            self.stage, self.percent = stage, whole
            self._changed.set()

    async def changed(self) -> None:
        """Until something was told since the last time."""
        await self._changed.wait()
        self._changed.clear()
