"""The program of a child process, which a fork server forks.

It imports its tasks, drops all other rights, reports that it is ready, and serves one request after
another until the socket closes. A request names a task (`module:function`) and passes open files;
the task is called with their descriptors and the request's parameters.
"""

import errno
import importlib
import os
import socket
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from media_service.codecs.sandbox.confine import allow_cpu, confine
from media_service.codecs.sandbox.exit_cause import exceeded, unavailable
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.messages import encode, receive
from media_service.codecs.sandbox.out_of_memory import is_out_of_memory
from media_service.errors import Internal, MediaError, Reason

Task = Callable[..., Any]

# The limit behind each error of the kernel.
LIMIT_ERRORS = {errno.EFBIG: "file_bytes", errno.ENOMEM: "memory_bytes"}
# The machine's resources are exhausted; the file is not the cause.
MACHINE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
MAX_MESSAGE = 500


def load(name: str) -> Task:
    module, _, function = name.partition(":")
    task: Task = getattr(importlib.import_module(module), function)
    return task


def perform(
    task: Task, files: list[int], parameters: dict[str, Any], limits: ResourceLimits
) -> bytes:
    """Runs a task. Returns the encoded reply."""
    try:
        return encode({"result": task(*files, **parameters)})
    except MediaError as error:
        # Data that cannot be decoded may have corrupted the process.
        reusable = error.reason is not Reason.MEDIA_CORRUPT
        return error_reply(error, error.__cause__, reusable=reusable)
    except Exception as error:
        if limit := limit_of(error):
            return error_reply(exceeded(limits, limit), error)
        traceback.print_exc()
        if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
            full = unavailable("The machine that processes the file has no memory or space left.")
            return error_reply(full, error)
        # A task raises MediaError if a file is invalid, so any other error is a bug.
        bug = Internal(Reason.INTERNAL, "A task failed.", error_id="")
        return error_reply(bug, error)


def limit_of(error: Exception) -> str | None:
    """The limit that an error means, by its name in `ResourceLimits`; None if it means none."""
    if isinstance(error, MemoryError) or is_out_of_memory(str(error)):
        return "memory_bytes"
    return LIMIT_ERRORS.get(error.errno or 0) if isinstance(error, OSError) else None


def progress_sender(channel: socket.socket) -> Callable[[float], None]:
    """Returns a callback that takes the completed percentage. It sends only increasing whole
    percentages. Codecs call it from several threads."""
    sent = 0
    lock = threading.Lock()

    def report(percent: float) -> None:
        nonlocal sent
        with lock:
            if (whole := min(int(percent), 100)) > sent:
                sent = whole
                channel.sendall(encode({"progress": whole}))

    return report


def error_reply(
    error: MediaError, cause: BaseException | None = None, *, reusable: bool = False
) -> bytes:
    """Encodes an error, and for the log its cause in the words of a library. `reusable` means that
    the process is unchanged and can serve other tasks."""
    return encode(
        {
            "reason": error.reason,
            "message": error.message[:MAX_MESSAGE],
            "cause": f"{type(cause).__name__}: {cause}"[:MAX_MESSAGE] if cause else "",
            "metadata": error.metadata,
            "reusable": reusable,
        }
    )


def serve(setup: dict[str, Any], channel: socket.socket) -> None:
    """Serves the requests on `channel` until it closes."""
    limits, folder = ResourceLimits(**setup["limits"]), Path(setup["folder"])
    os.chdir(folder)
    os.environ.update(setup["environment"])
    tasks = {name: load(name) for name in setup["tasks"]}
    readable = map(Path, setup["readable"])
    confine(limits.memory_bytes, limits.file_bytes, folder, readable=readable)
    channel.sendall(encode({"ready": True}))
    while True:
        try:
            request, files = receive(channel)
        except EOFError:
            return
        limits = replace(limits, cpu_seconds=request["cpu_seconds"])
        allow_cpu(limits.cpu_seconds)
        # The next task may be of another owner, so files that a task writes are removed afterwards.
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            os.chdir(scratch)
            task, parameters = tasks[request["task"]], request["parameters"]
            if request["progress"]:
                parameters["progress"] = progress_sender(channel)
            reply = perform(task, files, parameters, limits)
            os.chdir(folder)
        for file in files:
            os.close(file)
        channel.sendall(reply)
