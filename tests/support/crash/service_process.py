"""`serve`, `work` and other commands. Imports take most of their start, so they are forked from a
process that has imported everything, unless their environment preloads libraries."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Protocol

from media_service.__main__ import main

COMMANDS = ("serve", "work", "reconcile")
IMPORTED = [
    "media_service.app",
    *(f"media_service.cli.{command}" for command in COMMANDS),
    "tests.support.crash.freeze",
    "tests.support.crash.imports",
]


class ServiceProcess(Protocol):
    """The part of `subprocess.Popen` that tests use."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...
    def terminate(self) -> None: ...


def start_process(
    command: Sequence[str], environ: Mapping[str, str], log: Path, output: Path = Path(os.devnull)
) -> ServiceProcess:
    """Starts `media-service` with a command and its options. Its stderr goes to `log`."""
    if "LD_PRELOAD" not in environ:
        return ForkedProcess(command, environ, log, output)
    with log.open("wb") as stderr, output.open("wb") as stdout:
        program = [sys.executable, "-m", "media_service", *command]
        return subprocess.Popen(program, env=environ, stderr=stderr, stdout=stdout)


class ForkedProcess:
    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], log: Path, output: Path
    ) -> None:
        log.touch()
        output.touch()
        arguments = ([*command], dict(environ), log, output)
        self._process = fork_server().Process(target=run, args=arguments)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()


@cache
def fork_server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def run(command: list[str], environ: dict[str, str], log: Path, output: Path) -> None:
    """Runs in the new process."""
    for path, number in ((log, sys.stderr.fileno()), (output, sys.stdout.fileno())):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["media-service", *command]
    main()
