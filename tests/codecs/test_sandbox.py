"""Sandboxed tasks: isolation, limits, failures and the lifecycle of child processes."""

import asyncio
import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from media_service.codecs.sandbox import forks, landlock
from media_service.codecs.sandbox import process as child_process
from media_service.codecs.sandbox.errors import SandboxBroken
from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.pool import Sandbox
from media_service.errors import DataLoss, MediaError, Reason, Unavailable
from tests.support import hostile_tasks
from tests.support.sandbox import LIMITS, TASKS


@pytest.fixture
def media(tmp_path: Path) -> Path:
    path = tmp_path / "media"
    path.write_text("the bytes")
    return path


@pytest.fixture
async def sandbox(fork_server: ForkServer) -> AsyncIterator[Sandbox]:
    async with Sandbox(fork_server, TASKS, LIMITS, children=2, tasks_per_child=50) as sandbox:
        yield sandbox


async def reason_of(sandbox: Sandbox, task: str, media: Path) -> Reason:
    with pytest.raises(MediaError) as error:
        await sandbox.run(f"{hostile_tasks.__name__}:{task}", media)
    return error.value.reason


async def attempt(sandbox: Sandbox, media: Path, what: str, target: Path | str = "") -> str:
    return str(
        await sandbox.run(
            "tests.support.hostile_tasks:attempt", media, what=what, target=str(target)
        )
    )


async def process_id(sandbox: Sandbox, media: Path) -> int:
    return int(await sandbox.run("tests.support.hostile_tasks:process_id", media))


async def test_a_task_reads_the_media_it_is_given(sandbox: Sandbox, media: Path) -> None:
    assert await sandbox.run("tests.support.hostile_tasks:read", media) == "the bytes"


async def test_a_missing_media_file_is_data_loss(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(DataLoss):
        await sandbox.run("tests.support.hostile_tasks:read", tmp_path / "nothing")


@pytest.mark.parametrize(
    "what",
    [
        "open a socket",
        "open a unix socket",
        "fork",
        "run a program",
        "kill the service",
        "limit the service",
        "signal the service through a pipe",
        "choose the signal of a pipe",
        "watch a directory",
        "truncate a file by its path",
    ],
)
async def test_the_child_has_no_network_no_other_processes_and_no_other_files(
    sandbox: Sandbox, media: Path, what: str
) -> None:
    assert await attempt(sandbox, media, what) == "PermissionError"


async def test_the_child_sees_no_other_files(sandbox: Sandbox, media: Path, tmp_path: Path) -> None:
    other = tmp_path / "other owner"
    other.write_text("secret")
    # Without Landlock in the kernel, a server or worker starts only with MEDIA_SANDBOX=degraded.
    closed = "PermissionError" if landlock.version() else "done"
    assert await attempt(sandbox, media, "read a file", "/etc/passwd") == closed
    assert await attempt(sandbox, media, "read a file", other) == closed
    assert await attempt(sandbox, media, "list a directory", tmp_path) == closed


def outcomes(media: Path, attempts: list[dict[str, str]], *python: str) -> list[str]:
    """The outcomes of attempts of a child whose service has no Linux capabilities."""
    done = subprocess.run(
        [
            *(sys.executable, *python, "-m", "tests.support.attempts"),
            *(str(media), json.dumps(attempts)),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


def test_the_child_of_a_service_without_capabilities_cannot_slow_it_down(media: Path) -> None:
    """The kernel itself protects only processes that have more capabilities."""
    attempts = [
        {"what": "slow the service down"},
        {"what": "slow the disk of the service down"},
        {"what": "move the service to one processor"},
        {"what": "schedule the service last"},
    ]
    assert outcomes(media, attempts) == ["PermissionError"] * 4


def test_without_landlock_the_child_reads_and_writes_files_and_can_do_no_more(
    media: Path, tmp_path: Path
) -> None:
    attempts = [
        {"what": "read a file", "target": "/etc/passwd"},
        {"what": "write a file", "target": str(tmp_path / "new")},
        {"what": "open a socket"},
        {"what": "run a program"},
        {"what": "kill the service"},
    ]
    tried = outcomes(media, attempts, "-m", "tests.support.without_landlock")
    assert tried == [*["done"] * 2, *["PermissionError"] * 3]


async def test_the_child_cannot_change_files(sandbox: Sandbox, media: Path, tmp_path: Path) -> None:
    closed = "PermissionError" if landlock.version() else "done"
    assert await attempt(sandbox, media, "write a file", tmp_path / "new") == closed
    assert await attempt(sandbox, media, "change a mode", media) == "PermissionError"
    reopened = await attempt(sandbox, media, "reopen the media for writing")
    assert reopened == closed
    assert await attempt(sandbox, media, "write to the media") == "OSError"
    assert media.read_text() == "the bytes"


async def test_the_child_inherits_no_environment_variables(
    sandbox: Sandbox, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIA_JWT_SECRET", "a secret that no file may see")
    seen = await sandbox.run("tests.support.hostile_tasks:environment", media)
    assert set(seen) <= {
        *("PYTHONPATH", "LANG", "LC_CTYPE", "HOME", "TMPDIR", "LD_LIBRARY_PATH"),
        *("MALLOC_ARENA_MAX", "VIPS_CONCURRENCY", "VIPS_DISC_THRESHOLD"),
        "FONTCONFIG_FILE",
    }


async def test_codecs_may_use_threads(sandbox: Sandbox, media: Path) -> None:
    assert await sandbox.run("tests.support.hostile_tasks:use_threads", media) == 4


async def test_the_scratch_folder_is_empty_for_each_task(sandbox: Sandbox, media: Path) -> None:
    assert await sandbox.run("tests.support.hostile_tasks:use_own_folder", media) == []
    assert await sandbox.run("tests.support.hostile_tasks:use_own_folder", media) == []


async def test_a_task_reports_progress(sandbox: Sandbox, media: Path) -> None:
    reported: list[int] = []
    task = "tests.support.hostile_tasks:report_progress"
    assert await sandbox.run(
        task, media, progress=reported.append, percents=[3, 40, 20, 41, 150, 7]
    )
    assert reported == [3, 40, 41, 100]


@pytest.mark.parametrize("percent", [0, -1, 101, True, "half", None])
async def test_invalid_progress_is_media_corrupt(
    sandbox: Sandbox, media: Path, percent: object
) -> None:
    reported: list[int] = []
    task = "tests.support.hostile_tasks:send_progress"
    with pytest.raises(MediaError) as error:
        await sandbox.run(task, media, progress=reported.append, percent=percent)
    assert error.value.reason is Reason.MEDIA_CORRUPT
    assert reported == []


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("exhaust_memory", Reason.INSPECTION_LIMIT_EXCEEDED),
        ("exit_silently", Reason.INSPECTION_LIMIT_EXCEEDED),
        ("send_too_much", Reason.INSPECTION_LIMIT_EXCEEDED),
        ("write_too_much", Reason.INSPECTION_LIMIT_EXCEEDED),
        ("crash", Reason.MEDIA_CORRUPT),
        ("send_garbage", Reason.MEDIA_CORRUPT),
        ("close_socket", Reason.MEDIA_CORRUPT),
        ("kill_itself", Reason.PROCESSING_UNAVAILABLE),
    ],
)
async def test_each_failure_has_its_reason_and_the_next_task_succeeds(
    sandbox: Sandbox, media: Path, task: str, reason: Reason
) -> None:
    before = await process_id(sandbox, media)
    assert await reason_of(sandbox, task, media) is reason
    assert not psutil.pid_exists(before)
    assert await sandbox.run("tests.support.hostile_tasks:read", media) == "the bytes"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE])
async def test_a_lack_of_machine_resources_is_processing_unavailable(
    sandbox: Sandbox, media: Path, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(Unavailable) as error:
        await sandbox.run("tests.support.hostile_tasks:fail_with", media, number=number)
    assert error.value.reason is Reason.PROCESSING_UNAVAILABLE
    assert "no memory or space left" in error.value.message
    assert os.strerror(number) in caplog.text


async def test_a_bug_in_a_task_is_not_blamed_on_the_file(sandbox: Sandbox, media: Path) -> None:
    before = await process_id(sandbox, media)
    with pytest.raises(SandboxBroken, match="a bug in the task"):
        await sandbox.run("tests.support.hostile_tasks:raise_bug", media)
    assert await process_id(sandbox, media) != before


async def test_a_child_serves_the_next_task_after_a_refusal(sandbox: Sandbox, media: Path) -> None:
    before = await process_id(sandbox, media)
    assert await reason_of(sandbox, "refuse", media) is Reason.OPERATION_NOT_APPLICABLE
    assert await process_id(sandbox, media) == before


async def test_a_child_serves_nothing_after_its_last_task(
    fork_server: ForkServer, media: Path
) -> None:
    task = "tests.support.hostile_tasks:process_id"
    async with Sandbox(fork_server, TASKS, LIMITS, children=1, tasks_per_child=50) as sandbox:
        served = [await sandbox.run(task, media, last=last) for last in (False, True, False)]
    assert served[0] == served[1] != served[2]


async def fork_server_id(sandbox: Sandbox, media: Path) -> int:
    return int(await sandbox.run("tests.support.hostile_tasks:parent_id", media))


async def test_a_crash_replaces_the_fork_server(sandbox: Sandbox, media: Path) -> None:
    """A file that crashes its child must not learn the memory layout of the next one."""
    before = await fork_server_id(sandbox, media)
    assert await reason_of(sandbox, "refuse", media) is Reason.OPERATION_NOT_APPLICABLE
    assert await reason_of(sandbox, "kill_itself", media) is Reason.PROCESSING_UNAVAILABLE
    assert await fork_server_id(sandbox, media) == before
    assert await reason_of(sandbox, "crash", media) is Reason.MEDIA_CORRUPT
    assert await fork_server_id(sandbox, media) != before


async def test_a_crash_of_one_child_leaves_the_others_alive(sandbox: Sandbox, media: Path) -> None:
    media_read = asyncio.create_task(sandbox.run("tests.support.hostile_tasks:wait", media))
    assert await reason_of(sandbox, "crash", media) is Reason.MEDIA_CORRUPT
    assert await media_read == "waited"


async def test_a_killed_fork_server_is_replaced(sandbox: Sandbox, media: Path) -> None:
    for _ in range(2):
        server = psutil.Process(await fork_server_id(sandbox, media))
        server.kill()
        server.wait()
        with suppress(Unavailable):  # an idle child may not have been killed yet
            await sandbox.run("tests.support.hostile_tasks:read", media)
        assert await sandbox.run("tests.support.hostile_tasks:read", media) == "the bytes"
        assert await fork_server_id(sandbox, media) != server.pid


def test_a_fork_that_fails_does_not_end_the_fork_server() -> None:
    program = (
        "import os, socket\n"
        "from media_service.codecs.sandbox.fork_server import ForkServer\n"
        "from media_service.codecs.sandbox.messages import encode\n"
        "def refused(): raise BlockingIOError\n"
        "os.fork = refused\n"
        "service, control = socket.socketpair()\n"
        "status, theirs = socket.socketpair()\n"
        "socket.send_fds(service, [encode({})], [os.dup(theirs.fileno()) for _ in range(3)])\n"
        "theirs.close(); service.close()\n"
        "ForkServer(control).run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "BlockingIOError" in done.stderr
    assert done.returncode == 0, "it served until the service closed the socket"


async def test_an_idle_child_that_sends_something_serves_no_other_task(
    fork_server: ForkServer, media: Path
) -> None:
    async with Sandbox(fork_server, TASKS, LIMITS, children=1, tasks_per_child=50) as sandbox:
        before = int(await sandbox.run("tests.support.hostile_tasks:send_later", media))
        await asyncio.sleep(1)
        assert await process_id(sandbox, media) != before


async def test_the_fork_server_starts_before_the_first_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forks, "WARM_UP_SECONDS", 0)
    before = set(psutil.Process().children())
    async with ForkServer() as fork_server:
        fork_server.preload(TASKS)
        async with asyncio.timeout(20):
            while not (started := set(psutil.Process().children()) - before):
                await asyncio.sleep(0.01)
    assert len(started) == 1
    assert not any(process.is_running() for process in started)


@pytest.mark.parametrize(
    ("task", "limits"),
    [
        ("hang", replace(LIMITS, wall_seconds=3)),
        ("loop_forever", replace(LIMITS, wall_seconds=1)),
        ("loop_forever", replace(LIMITS, cpu_seconds=1)),
    ],
)
async def test_wall_clock_and_cpu_time_are_limited(
    fork_server: ForkServer, media: Path, task: str, limits: ResourceLimits
) -> None:
    async with Sandbox(fork_server, TASKS, limits, children=1, tasks_per_child=50) as sandbox:
        assert await reason_of(sandbox, task, media) is Reason.INSPECTION_LIMIT_EXCEEDED
        assert await sandbox.run("tests.support.hostile_tasks:read", media) == "the bytes"


async def test_a_child_is_replaced_after_its_maximum_of_tasks(
    fork_server: ForkServer, media: Path
) -> None:
    async with Sandbox(fork_server, TASKS, LIMITS, children=1, tasks_per_child=2) as sandbox:
        first, second, third = [await process_id(sandbox, media) for _ in range(3)]
    assert first == second
    assert third != first


async def test_tasks_run_in_parallel_up_to_the_number_of_children(
    fork_server: ForkServer, media: Path
) -> None:
    async with Sandbox(fork_server, TASKS, LIMITS, children=2, tasks_per_child=50) as sandbox:
        served = await asyncio.gather(*(process_id(sandbox, media) for _ in range(6)))
    assert len(set(served)) == 2


async def test_cancelling_kills_the_child(sandbox: Sandbox, media: Path) -> None:
    child = await process_id(sandbox, media)
    hanging = asyncio.create_task(sandbox.run("tests.support.hostile_tasks:hang", media))
    await until_sleeping(child)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert not psutil.pid_exists(child)
    assert await sandbox.run("tests.support.hostile_tasks:read", media) == "the bytes"


async def until_sleeping(pid: int) -> None:
    """Waits until the child is in `hang`, where it first uses its scratch folder."""
    process = psutil.Process(pid)
    folder = Path(process.cwd())
    async with asyncio.timeout(20):
        while Path(process.cwd()) == folder:
            await asyncio.sleep(0.01)


async def test_closing_the_sandbox_ends_children_and_removes_their_folders(
    fork_server: ForkServer, media: Path
) -> None:
    async with Sandbox(fork_server, TASKS, LIMITS, children=1, tasks_per_child=50) as sandbox:
        child = await process_id(sandbox, media)
        folder = (await sandbox.run("tests.support.hostile_tasks:environment", media))["TMPDIR"]
    assert not psutil.pid_exists(child)
    assert not Path(folder).exists()


async def test_a_child_whose_end_is_not_reported_is_left_behind(
    fork_server: ForkServer,
    media: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(child_process, "END_SECONDS", 0.2)
    async with asyncio.timeout(20):
        async with Sandbox(fork_server, TASKS, LIMITS, children=1, tasks_per_child=50) as sandbox:
            folder = (await sandbox.run("tests.support.hostile_tasks:environment", media))["TMPDIR"]
            server = psutil.Process(await fork_server_id(sandbox, media))
            server.suspend()
    server.resume()
    assert not Path(folder).exists()
    assert "was killed and has not ended" in caplog.text


async def test_a_child_that_died_while_idle_is_replaced(sandbox: Sandbox, media: Path) -> None:
    child = psutil.Process(await process_id(sandbox, media))
    child.kill()
    async with asyncio.timeout(20):
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)
    assert await sandbox.run("tests.support.hostile_tasks:read", media) == "the bytes"


async def test_a_child_that_cannot_start_is_not_blamed_on_the_file(
    fork_server: ForkServer, media: Path
) -> None:
    async with Sandbox(
        fork_server, ["no_such_module:task"], LIMITS, children=1, tasks_per_child=1
    ) as sandbox:
        with pytest.raises(SandboxBroken):
            await sandbox.run("no_such_module:task", media)


async def test_children_are_killed_with_the_service(media: Path) -> None:
    """A killed service cannot clean up, so the kernel kills its children."""
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from media_service.codecs.sandbox.forks import ForkServer\n"
        "from media_service.codecs.sandbox.pool import Sandbox\n"
        "from tests.support.sandbox import LIMITS, TASKS\n"
        "async def main():\n"
        "    async with ForkServer() as forks, Sandbox(forks, TASKS, LIMITS, 1, 50) as sandbox:\n"
        "        media = Path(sys.argv[1])\n"
        "        tasks = 'tests.support.hostile_tasks:'\n"
        "        print(await sandbox.run(tasks + 'process_id', media), flush=True)\n"
        "        await sandbox.run(tasks + 'loop_forever', media)\n"
        "asyncio.run(main())\n"
    )
    service = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(media)),
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "TMPDIR": str(media.parent),
        },
    )
    assert service.stdout is not None
    child = psutil.Process(int(await service.stdout.readline()))
    service.kill()
    await service.wait()
    async with asyncio.timeout(20):
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)
