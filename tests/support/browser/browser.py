"""Plays streams in a browser and reports the result."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.browser.devtools import DevTools
from tests.support.tools import eventually_async


class PlaybackError(AssertionError):
    """A script fails, such as one that plays a video. The message is the script's."""


@dataclass(frozen=True)
class Size:
    width: int
    height: int


@dataclass(frozen=True)
class Seek:
    """The player's position after a seek, and the time of the frame shown, if there is one."""

    time: float
    shown: float | None


@dataclass(frozen=True)
class Played:
    """The result of playing a video to its end, then seeking, then showing each level."""

    duration: float
    # Until the end of playback.
    seconds: float
    # The size at the end. Empty without video.
    width: int
    height: int
    # Frames until the end, and how many of them were dropped because they came too late.
    decoded: int
    dropped: int
    # Bytes received by the audio decoder.
    audio_bytes: int
    # How often the player stalled for lack of bytes.
    stalls: int
    # The levels in the manifest. Each was shown.
    levels: tuple[Size, ...]
    seeks: tuple[Seek, ...]


class Browser:
    """`origin` is that of the player page, which file servers must allow."""

    def __init__(self, origin: str, tools: DevTools) -> None:
        self.origin = origin
        self._tools = tools

    async def play_hls(
        self, url: str, *, headers: Mapping[str, str] | None = None, rate: float = 4
    ) -> Played:
        """Plays with hls.js. Every request has `headers`. Raises PlaybackError on failure."""
        return await self._play("hls", url, headers, rate)

    async def play_dash(
        self, url: str, *, headers: Mapping[str, str] | None = None, rate: float = 4
    ) -> Played:
        """Like `play_hls`, with dash.js."""
        return await self._play("dash", url, headers, rate)

    async def play_plain(self, url: str, *, rate: float = 4) -> Played:
        """Like `play_hls`, with <video src=…>, which sends no headers and has no levels."""
        return await self._play("plain", url, None, rate)

    async def _play(
        self, kind: str, url: str, headers: Mapping[str, str] | None, rate: float
    ) -> Played:
        order = {"kind": kind, "url": url, "headers": dict(headers or {}), "rate": rate}
        return played(await self.run(f"play({json.dumps(order)})"))

    async def run(self, script: str) -> Any:
        """Runs a script on a new page; see `Page.run`."""
        async with self.page() as page:
            return await page.run(script)

    @asynccontextmanager
    async def page(self) -> AsyncIterator["Page"]:
        """Opens a page that shares no state, such as a cache, with others."""
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
            yield Page(self._tools, session)
        finally:
            await call("Target.disposeBrowserContext", browserContextId=context)


class Page:
    def __init__(self, tools: DevTools, session: str) -> None:
        self._tools = tools
        self._session = session

    async def run(self, script: str) -> Any:
        """Evaluates a JavaScript expression, and awaits its promise. Raises PlaybackError with the
        message of a JavaScript error."""
        answer = await self._tools.call(
            "Runtime.evaluate",
            self._session,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"]["exception"]
            report = thrown.get("description") or json.dumps(thrown.get("value"))
            raise PlaybackError(report.split("\n    at ")[0])
        return answer["result"].get("value")

    async def add_headers(self, headers: Mapping[str, str]) -> None:
        """Adds headers to every request of the page, as a proxy does that signs users in."""
        await self._tools.call("Network.enable", self._session)
        await self._tools.call("Network.setExtraHTTPHeaders", self._session, headers=dict(headers))


def played(report: dict[str, Any]) -> Played:
    levels = tuple(Size(**level) for level in report.pop("levels"))
    seeks = tuple(Seek(**seek) for seek in report.pop("seeks"))
    return Played(**report, levels=levels, seeks=seeks)
