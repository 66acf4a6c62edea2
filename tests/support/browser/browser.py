"""Plays streams in a browser and reports how that went."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.browser.devtools import DevTools
from tests.support.tools import eventually_async


class PlaybackError(AssertionError):
    """The video does not play; in the words of the player."""


@dataclass(frozen=True)
class Size:
    width: int
    height: int


@dataclass(frozen=True)
class Seek:
    """Where the player was after a seek, and the time of the frame it showed, if it shows any."""

    time: float
    shown: float | None


@dataclass(frozen=True)
class Played:
    """A video that was played to its end, then sought in, then seen in each of its levels."""

    duration: float
    # Of the video, until its end.
    seconds: float
    # At the end. Empty without video.
    width: int
    height: int
    # Frames until the end, and how many of them came too late to be shown.
    decoded: int
    dropped: int
    # The bytes that the audio decoder received.
    audio_bytes: int
    # How often the player had to wait for bytes.
    stalls: int
    # As the manifest tells them; each was shown.
    levels: tuple[Size, ...]
    seeks: tuple[Seek, ...]


class Browser:
    """`origin` is that of the page that plays: file servers must allow it."""

    def __init__(self, origin: str, tools: DevTools) -> None:
        self.origin = origin
        self._tools = tools

    async def play_hls(
        self, url: str, *, headers: Mapping[str, str] | None = None, rate: float = 4
    ) -> Played:
        """By hls.js. `headers` go with every request. A PlaybackError says what went wrong."""
        return await self._play("hls", url, headers, rate)

    async def play_dash(
        self, url: str, *, headers: Mapping[str, str] | None = None, rate: float = 4
    ) -> Played:
        """As `play_hls`, by dash.js."""
        return await self._play("dash", url, headers, rate)

    async def play_plain(self, url: str, *, rate: float = 4) -> Played:
        """As `play_hls`, by <video src=…>, which can send no headers and knows no levels."""
        return await self._play("plain", url, None, rate)

    async def _play(
        self, kind: str, url: str, headers: Mapping[str, str] | None, rate: float
    ) -> Played:
        order = {"kind": kind, "url": url, "headers": dict(headers or {}), "rate": rate}
        return played(await self.run(f"play({json.dumps(order)})"))

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression on a page of its own, or what its promise resolves
        to. Raises PlaybackError with the message of a JavaScript error."""
        async with self._page() as session:
            answer = await self._tools.call(
                "Runtime.evaluate",
                session,
                expression=script,
                awaitPromise=True,
                returnByValue=True,
            )
        if "exceptionDetails" in answer:
            report = answer["exceptionDetails"]["exception"]["description"]
            raise PlaybackError(report.split("\n    at ")[0])
        return answer["result"]["value"]

    @asynccontextmanager
    async def _page(self) -> AsyncIterator[str]:
        """A page that shares nothing with those before it, as no cache: the session to it."""
        call = self._tools.call
        context = (await call("Target.createBrowserContext"))["browserContextId"]
        try:
            target = await call("Target.createTarget", url=self.origin, browserContextId=context)
            attached = await call(
                "Target.attachToTarget", targetId=target["targetId"], flatten=True
            )
            session = attached["sessionId"]

            async def loaded() -> bool:
                found = await call(
                    "Runtime.evaluate", session, expression="typeof play == 'function'"
                )
                return bool(found["result"]["value"])

            await eventually_async(loaded)
            yield session
        finally:
            await call("Target.disposeBrowserContext", browserContextId=context)


def played(report: dict[str, Any]) -> Played:
    levels = tuple(Size(**level) for level in report.pop("levels"))
    seeks = tuple(Seek(**seek) for seek in report.pop("seeks"))
    return Played(**report, levels=levels, seeks=seeks)
