"""A `serve` or `work` process. Imports take most of its start, so it is forked from a process that
has imported everything, unless its environment preloads libraries."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Protocol

from media_service.__main__ import main

IMPORTED = ["media_service.app", "media_service.cli.serve", "media_service.cli.work"]


class ServiceProcess(Protocol):
    """The part of `subprocess.Popen` that tests use."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...
    def terminate(self) -> None: ...


def start_process(role: str, environ: Mapping[str, str], log: Path) -> ServiceProcess:
    """Starts `media-service serve` or `work`. Its stderr goes to `log`."""
    if "LD_PRELOAD" not in environ:
        return ForkedProcess(role, environ, log)
    with log.open("wb") as output:
        command = [sys.executable, "-m", "media_service", role]
        return subprocess.Popen(command, env=environ, stderr=output)


class ForkedProcess:
    def __init__(self, role: str, environ: Mapping[str, str], log: Path) -> None:
        log.touch()
        self._process = fork_server().Process(target=run, args=(role, dict(environ), log))
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


def run(role: str, environ: dict[str, str], log: Path) -> None:
    """Runs in the new process."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, sys.stderr.fileno())
    os.close(output)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["media-service", role]
    main()
