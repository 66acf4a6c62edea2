"""The progress of a job, in memory."""

import asyncio


class Progress:
    """What a handler reports. Only the newest report is kept, so a handler may report as often as
    it likes. The worker records reports from time to time."""

    def __init__(self) -> None:
        self.stage = ""
        self.percent = 0
        self._changed = asyncio.Event()

    def report(self, stage: str, percent: float) -> None:
        """`stage`: the current step, in a word. `percent`: of the whole job. It never decreases,
        and is 100 only when the job has ended."""
        whole = max(self.percent, min(int(percent), 99))
        if (stage, whole) != (self.stage, self.percent):
            self.stage, self.percent = stage, whole
            self._changed.set()

    async def changed(self) -> None:
        """Waits for a report since the previous call."""
        await self._changed.wait()
        self._changed.clear()
