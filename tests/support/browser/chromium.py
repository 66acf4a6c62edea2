"""Runs Chromium without a window."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.browser.browser import Browser
from tests.support.browser.devtools import devtools
from tests.support.browser.page import player_page
from tests.support.tools import eventually_async, require_tool

# Each window would load pages of the browser's own user interface, which cost more than the page.
UNUSED = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "WebUIReloadButton"),
    *("AiModeOmniboxEntryPoint", "SpareRendererForSitePerProcess"),
    *("Translate", "OptimizationHints"),
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    f"--disable-features={','.join(UNUSED)}",
    "--disable-extensions",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
    "about:blank",
)
STOP_SECONDS = 10


@asynccontextmanager
async def running_browser(origin: str) -> AsyncIterator[Browser]:
    """Runs Chromium with a new profile. At the end, no process or file of it remains."""
    program = require_tool("chromium")
    async with player_page(origin):
        with tempfile.TemporaryDirectory(
            prefix="media-browser-", ignore_cleanup_errors=True
        ) as profile:
            process = await asyncio.create_subprocess_exec(
                program,
                *FLAGS,
                f"--user-data-dir={profile}",
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                url = await devtools_url(Path(profile) / "DevToolsActivePort", process)
                async with devtools(url) as tools:
                    yield Browser(origin, tools)
                    await tools.call("Browser.close")
                    await asyncio.wait_for(process.wait(), STOP_SECONDS)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def devtools_url(file: Path, process: asyncio.subprocess.Process) -> str:
    """The URL the browser listens on, read from a file in its profile."""

    async def lines() -> list[str] | None:
        assert process.returncode is None, f"chromium ended: {process.returncode}"
        found = file.read_text().splitlines() if file.exists() else []
        return found if len(found) == 2 else None

    port, path = await eventually_async(lines) or []
    return f"ws://127.0.0.1:{port}{path}"
