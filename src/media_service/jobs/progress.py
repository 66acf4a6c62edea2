"""The progress of a job, in memory."""

import asyncio


class Progress:
    """The progress that a handler reports. Only the latest report is kept, so a handler may report
    at any rate. The worker records it periodically."""

    def __init__(self) -> None:
        self.stage = ""
        self.percent = 0
        self._changed = asyncio.Event()

    def report(self, stage: str, percent: float) -> None:
        """Reports progress. `stage` is the current step in one word. `percent` is that of the whole
        job. The recorded percentage never decreases, and is 100 only when the job has ended."""
        whole = max(self.percent, min(int(percent), 99))
        if (stage, whole) != (self.stage, self.percent):
            self.stage, self.percent = stage, whole
            self._changed.set()

    async def changed(self) -> None:
        """Waits until there is a report since the previous call."""
        await self._changed.wait()
        self._changed.clear()
