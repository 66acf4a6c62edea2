"""Confined programs in child processes: their isolation, limits and cleanup."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from media_service.codecs.sandbox import landlock
from media_service.codecs.sandbox import program as programs
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.program import confined
from media_service.errors import MediaError, Reason
from tests.support.tools import eventually_async

LIMITS = ResourceLimits(
    memory_bytes=2 << 30,
    cpu_seconds=20,
    wall_seconds=20,
    file_bytes=1 << 20,
    result_bytes=0,
    exceeded=Reason.PROCESSING_LIMIT_EXCEEDED,
)


async def run(
    *arguments: str, program: str = "dd", limits: ResourceLimits = LIMITS, stall: float = 10
) -> tuple[list[str], Path]:
    """The printed lines, and the program's scratch folder."""
    lines: list[str] = []
    path = Path(shutil.which(program) or "")
    async with confined(
        path.resolve(), arguments, [], limits, stall_seconds=stall, on_line=lines.append
    ) as running:
        await running.wait()
        assert running.folder.exists()
    return lines, running.folder


async def reason(*arguments: str, **options: object) -> Reason:
    with pytest.raises(MediaError) as error:
        await run(*arguments, **options)  # type: ignore[arg-type]
    return error.value.reason


async def test_printed_lines_are_reported_and_the_folder_is_removed(tmp_path: Path) -> None:
    lines, folder = await run("one\ntwo", program="echo")
    assert lines == ["one", "two"]
    assert not folder.exists()


def test_the_launcher_imports_little() -> None:
    """Each run of ffmpeg takes the time of these imports."""
    names = "import sys, media_service.codecs.sandbox.launch; print(*sys.modules)"
    command = [sys.executable, "-P", "-S", "-s", "-B", "-c", names]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    imported = set(done.stdout.split())
    assert "media_service.codecs.sandbox.launch" in imported
    assert not imported & {"asyncio", "dataclasses", "inspect", "media_service.errors", "platform"}


async def test_a_program_cannot_read_other_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the bytes of another owner")
    for path in (str(secret), "/etc/passwd", "/proc/self/environ"):
        if landlock.version():
            assert await reason(path, program="cat") is Reason.MEDIA_CORRUPT
        else:  # a server or worker starts only with MEDIA_SANDBOX=degraded
            await run(path, program="cat")


@pytest.mark.parametrize("nice", [0, 10])
async def test_a_program_runs_at_the_requested_priority(nice: int) -> None:
    sleep = Path(shutil.which("sleep") or "").resolve()
    before = psutil.Process().children()
    async with confined(sleep, ["20"], [], LIMITS, stall_seconds=20, on_line=print, nice=nice):
        (child,) = set(psutil.Process().children()) - set(before)
        await eventually_async(partial(runs, child, "sleep"))
        assert child.nice() == nice
        # The program has its own session, and between sessions only this value counts.
        group = Path(f"/proc/{child.pid}/autogroup")
        if group.exists():
            assert group.read_text().endswith(f" nice {nice}\n")


async def runs(child: psutil.Process, name: str) -> bool:
    return child.name() == name


async def test_a_program_cannot_start_processes() -> None:
    assert (await run("-c", "echo alone", program="bash"))[0] == ["alone"]
    assert await reason("-c", "(exit 0); echo both", program="bash") is Reason.MEDIA_CORRUPT


async def test_a_program_has_no_network() -> None:
    met = asyncio.Event()

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.set()
        writer.close()

    async with await asyncio.start_server(meet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        command = f"echo hello > /dev/tcp/127.0.0.1/{port}"
        assert await reason("-c", command, program="bash") is Reason.MEDIA_CORRUPT
        await asyncio.sleep(0.1)
    assert not met.is_set()


async def test_a_file_above_the_size_limit_ends_the_program() -> None:
    arguments = ["if=/dev/urandom", "of=large", "bs=1M", "count=4"]
    assert await reason(*arguments) is Reason.PROCESSING_LIMIT_EXCEEDED


async def test_cpu_time_is_limited() -> None:
    arguments = ["if=/dev/urandom", "of=/dev/null", "bs=1M", "count=1000000"]
    limits = replace(LIMITS, cpu_seconds=1)
    assert await reason(*arguments, limits=limits) is Reason.PROCESSING_LIMIT_EXCEEDED


async def test_a_program_without_output_is_killed() -> None:
    assert await reason("30", program="sleep", stall=0.3) is Reason.PROCESSING_LIMIT_EXCEEDED


async def test_an_overlong_output_line_is_media_corrupt() -> None:
    command = "printf '%200000d' 1"
    assert await reason("-c", command, program="bash") is Reason.MEDIA_CORRUPT


async def test_a_program_that_floods_its_output_is_killed() -> None:
    bash = Path(shutil.which("bash") or "").resolve()
    command = "while :; do printf '%900000d' 1; done"
    async with asyncio.timeout(15):
        async with confined(
            bash, ["-c", command], [], LIMITS, stall_seconds=20, on_line=print
        ) as running:
            with pytest.raises(MediaError):
                await running.wait()
            await asyncio.sleep(0.3)


async def test_cancelling_kills_the_program_and_removes_its_folder() -> None:
    before = set(psutil.Process().children(recursive=True))
    task = asyncio.create_task(run("60", program="sleep"))
    while not (running := set(psutil.Process().children(recursive=True)) - before):
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert not any(each.is_running() for each in running)


async def test_a_killed_program_that_does_not_end_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(programs, "END_SECONDS", 0.2)
    # As a process that waits for a disk that does not answer.
    monkeypatch.setattr(programs, "kill", lambda _: None)
    before = set(psutil.Process().children())
    sleep = Path(shutil.which("sleep") or "").resolve()
    async with asyncio.timeout(20):
        async with confined(sleep, ["60"], [], LIMITS, stall_seconds=60, on_line=print) as running:
            (child,) = set(psutil.Process().children()) - before
            await eventually_async(partial(runs, child, "sleep"))
    child.kill()
    assert not running.folder.exists()
    assert f"process {child.pid} was killed and has not ended" in caplog.text

    async def reaped() -> bool:
        return not psutil.pid_exists(child.pid)

    await eventually_async(reaped)  # later tests look at the children of this process


def test_a_second_cancellation_during_cleanup_leaves_nothing() -> None:
    asyncio.run(cancelled_again())


async def cancelled_again() -> None:
    """Cancels twice, in an event loop whose only executor thread is busy."""
    free, threads = threading.Event(), ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(threads)
    folders: list[Path] = []

    async def sleep() -> None:
        path = Path(shutil.which("sleep") or "").resolve()
        async with confined(path, ["60"], [], LIMITS, stall_seconds=60, on_line=print) as running:
            folders.append(running.folder)
            await running.wait()

    task = asyncio.create_task(sleep())
    while not folders:
        await asyncio.sleep(0.01)
    threads.submit(free.wait)
    try:
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
    finally:
        free.set()

    async def gone() -> bool:
        return not folders[0].exists()

    await eventually_async(gone)
    assert not [child for child in psutil.Process().children() if child.name() == "sleep"]
