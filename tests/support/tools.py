"""Waiting in tests, and the external programs that tests need."""

import asyncio
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypeVar

import httpx
import psutil
import pytest

T = TypeVar("T")

# For clients that do not use TLS: it trusts no authority, and takes no time to load them all.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.02


def eventually(check: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
    """The first true result of `check`. Fails if there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := check()):
        if time.monotonic() > deadline:
            pytest.fail(f"not true within {seconds:g} seconds, last result {result!r}")
        time.sleep(POLL_SECONDS)
    return result


async def eventually_async(
    check: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE_SECONDS
) -> T:
    """Like `eventually`, while the event loop keeps running."""
    deadline = time.monotonic() + seconds
    while not (result := await check()):
        if time.monotonic() > deadline:
            pytest.fail(f"not true within {seconds:g} seconds, last result {result!r}")
        await asyncio.sleep(POLL_SECONDS)
    return result


def await_answer(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Waits until a newly started server responds, with any status."""

    def answers() -> bool:
        assert process.poll() is None, f"the server at {url} ended"
        try:
            client.get(url)
        except httpx.TransportError:
            return False
        return True

    with httpx.Client(trust_env=False, verify=NO_TLS) as client:
        eventually(answers)


def require_tool(name: str) -> str:
    """The path of a program, on PATH or where `go install` puts it.

    Without it, the test is skipped on a laptop and fails in CI, where it must be installed.
    """
    return shutil.which(name) or shutil.which(name, path=go_programs()) or missing(name)


def missing(name: str) -> NoReturn:
    """Skips the test on a laptop and fails it in CI."""
    if in_ci():
        pytest.fail(f"{name} is not installed, but CI requires it")
    pytest.skip(f"{name} is not installed")


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def go_programs() -> str:
    """The folder of `go install`, even if Go is not installed."""
    go = shutil.which("go")
    folder = ""
    if go:
        command = [go, "env", "GOBIN", "GOPATH"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        binaries, path = done.stdout.splitlines()
        folder = binaries or str(Path(path) / "bin")
    return folder or str(Path.home() / "go/bin")


def encoders(pid: int | None = None) -> list[psutil.Process]:
    """The ffmpeg processes of a worker, or without `pid` those of this process."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # the process has just ended
            if "ffmpeg" in child.name():
                found.append(child)
    return found
