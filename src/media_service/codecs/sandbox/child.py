"""The program of a child process: `python -m media_service.codecs.sandbox.child SETUP`.

It imports what its tasks need, gives up everything else, says so, and then serves one request
after another until the socket closes. A request names a task (`module:function`) and brings open
files; a task is called with their descriptors and the request's parameters.
"""

import errno
import importlib
import json
import os
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from media_service.codecs.sandbox.confine import allow_cpu, confine, die_with_parent
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.messages import HEADER, MOST_FILES, encode
from media_service.errors import MediaError, Reason

Task = Callable[..., Any]

LIMIT_ERRORS = {errno.EFBIG, errno.ENOMEM}
# The machine has nothing left; the file is not at fault.
MACHINE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}


def load(name: str) -> Task:
    module, _, function = name.partition(":")
    task: Task = getattr(importlib.import_module(module), function)
    return task


def read_exactly(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = channel.recv(size - len(data))
        if not piece:
            sys.exit(0)
        data += piece
    return data


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next request and its files; ends the process when there is none."""
    head, files, _, _ = socket.recv_fds(channel, HEADER.size, MOST_FILES)
    head += read_exactly(channel, HEADER.size - len(head))
    request: dict[str, Any] = json.loads(read_exactly(channel, *HEADER.unpack(head)))
    return request, files


def perform(task: Task, files: list[int], parameters: dict[str, Any], exceeded: Reason) -> bytes:
    try:
        return encode({"result": task(*files, **parameters)})
    except MediaError as error:
        # Bytes that cannot be decoded may have left something behind.
        return refusal(error.reason, error.message, sound=error.reason is not Reason.MEDIA_CORRUPT)
    except MemoryError:
        return refusal(exceeded, "It needs too much memory.")
    except Exception as error:
        traceback.print_exc()
        if isinstance(error, OSError) and error.errno in LIMIT_ERRORS:
            return refusal(exceeded, f"It failed: {error}.")
        if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
            return refusal(Reason.PROCESSING_UNAVAILABLE, f"It failed: {error}.")
        # A task says itself what a file is not. This is a fault of ours.
        return refusal(Reason.INTERNAL, repr(error))


def teller(channel: socket.socket) -> Callable[[float], None]:
    """What a task calls, as often as it likes, with the percent that is done."""
    told = 0

    def tell(percent: float) -> None:
        nonlocal told
        if (whole := min(int(percent), 100)) > told:
            told = whole
            channel.sendall(encode({"progress": whole}))

    return tell


def refusal(reason: Reason, message: str, *, sound: bool = False) -> bytes:
    """`sound`: the child is as it was, and can serve others."""
    return encode({"reason": reason, "message": message[:500], "sound": sound})


def main() -> None:
    setup = json.loads(sys.argv[1])
    die_with_parent(setup["parent"])
    limits, folder = ResourceLimits(**setup["limits"]), Path(setup["folder"])
    os.chdir(folder)
    tasks = {name: load(name) for name in setup["tasks"]}
    missing = confine(limits, folder, readable=map(Path, setup["readable"]))
    channel = socket.socket(fileno=setup["socket"])
    channel.sendall(encode({"missing": missing}))
    while True:
        request, files = receive(channel)
        allow_cpu(limits.cpu_seconds)
        # What a task writes is gone before the next one, which may be of another owner.
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            os.chdir(scratch)
            task, parameters = tasks[request["task"]], request["parameters"]
            if request["progress"]:
                parameters["progress"] = teller(channel)
            reply = perform(task, files, parameters, limits.exceeded)
            os.chdir(folder)
        for file in files:
            os.close(file)
        channel.sendall(reply)


if __name__ == "__main__":
    main()
