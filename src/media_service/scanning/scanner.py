"""The scan engine of a process, and whether it can be used."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Self

from media_service.errors import MediaError, Reason, Unavailable
from media_service.scanning.engine import Finding, ScanEngine, UnsafeEngine

log = logging.getLogger(__name__)

# The pause between two looks at the engine while it works, and while it does not.
PAUSE_SECONDS, OUTAGE_PAUSE_SECONDS = 10.0, 2.0
# How long the engine is relied on without another probe.
PROBE_SECONDS = 300.0


async def nothing() -> None:
    pass


class Scanner:
    """Watches an engine, within a context. While the engine cannot be used, scans fail at once.

    `returned` is called when the engine can be used again. `probes`: whether it is probed; a
    process that does not scan only looks whether it answers.
    """

    def __init__(
        self,
        engine: ScanEngine,
        returned: Callable[[], Awaitable[None]] = nothing,
        *,
        probes: bool = True,
    ) -> None:
        self._engine = engine
        self._returned = returned
        self._probes = probes
        self._probe_time = float("-inf")
        self._version = ""
        self._fault: MediaError | None = None
        self._look_now = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Raises UnsafeEngine. An engine that does not answer may do so later."""
        await self._look()
        self._watching = asyncio.create_task(self._watch(), name="scan engine")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    @property
    def available(self) -> bool:
        return self._fault is None

    @property
    def version(self) -> str:
        """The engine and its signatures. Raises Unavailable (SCAN_UNAVAILABLE)."""
        self._check()
        return self._version

    async def scan(self, content: AsyncIterator[bytes]) -> Finding:
        """Raises Unavailable (SCAN_UNAVAILABLE, SCAN_FAILED) and what `content` raises."""
        self._check()
        try:
            return await self._engine.scan(content)
        except Unavailable as error:
            if error.reason in {Reason.SCAN_UNAVAILABLE, Reason.SCAN_FAILED}:
                self._doubt(error)
            raise

    def _check(self) -> None:
        if self._fault is not None:
            raise Unavailable(Reason.SCAN_UNAVAILABLE, self._fault.message)

    def _doubt(self, error: Unavailable) -> None:
        """Looks at the engine again, because it may have been restarted."""
        self._probe_time = float("-inf")
        if error.reason is Reason.SCAN_UNAVAILABLE and self._fault is None:
            log.warning("%s Files wait for their scan.", error.message)
            self._fault = error
        self._look_now.set()

    async def _watch(self) -> None:
        while True:
            pause = PAUSE_SECONDS if self.available else OUTAGE_PAUSE_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._look_now.wait()
            except TimeoutError:
                pass
            self._look_now.clear()
            try:
                await self._look()
            except UnsafeEngine as error:
                self._fail(Unavailable(Reason.SCAN_UNAVAILABLE, str(error)))
            except Exception:  # of an engine with a fault; the next look may succeed
                log.exception("a look at the virus scanner failed")

    async def _look(self) -> None:
        """Raises UnsafeEngine."""
        try:
            if self._probes and monotonic() - self._probe_time > PROBE_SECONDS:
                await self._engine.probe()
                self._probe_time = monotonic()
            version = await self._engine.version()
        except MediaError as error:
            self._fail(error)
            return
        if version != self._version:
            log.info("the virus scanner is %s", version)
        self._version = version
        if self._fault is not None:
            self._fault = None
            log.info("the virus scanner can be used again")
            try:
                await self._returned()
            except MediaError as error:
                self._fail(error)

    def _fail(self, error: MediaError) -> None:
        self._probe_time = float("-inf")
        if self._fault is None:
            log.warning("%s Files wait for their scan.", error.message)
        self._fault = error
