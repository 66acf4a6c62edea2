"""The program of a child process: `python -m media_service.processing.sandbox.child SETUP`.

It imports what its tasks need, gives up everything else, says so, and then serves one request
after another until the socket closes. A request names a task (`module:function`) and may bring an
open file; a task is called with that file's descriptor (-1 without) and the request's parameters.
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

from media_service.errors import MediaError, Reason
from media_service.processing.sandbox.confine import allow_cpu, confine, die_with_parent
from media_service.processing.sandbox.frames import HEADER, encode
from media_service.processing.sandbox.limits import Limits

Task = Callable[..., Any]

LIMIT_ERRORS = {errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.ENOSPC}


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


def receive(channel: socket.socket) -> tuple[dict[str, Any], int]:
    """The next request and its file; ends the process when there is none."""
    head, files, _, _ = socket.recv_fds(channel, HEADER.size, 1)
    head += read_exactly(channel, HEADER.size - len(head))
    request: dict[str, Any] = json.loads(read_exactly(channel, *HEADER.unpack(head)))
    return request, files[0] if files else -1


def perform(task: Task, media: int, parameters: dict[str, Any]) -> bytes:
    try:
        return encode({"result": task(media, **parameters)})
    except MediaError as error:
        return refusal(error.reason, error.message)
    except MemoryError:
        return refusal(Reason.INSPECTION_LIMIT_EXCEEDED, "Reading it needs too much memory.")
    except Exception as error:  # whatever a codec makes of a hostile file
        traceback.print_exc()
        if isinstance(error, OSError) and error.errno in LIMIT_ERRORS:
            return refusal(Reason.INSPECTION_LIMIT_EXCEEDED, f"Reading it failed: {error}.")
        return refusal(Reason.MEDIA_CORRUPT, f"It cannot be read: {error}")


def refusal(reason: Reason, message: str) -> bytes:
    return encode({"reason": reason, "message": message[:500]})


def main() -> None:
    setup = json.loads(sys.argv[1])
    die_with_parent(setup["parent"])
    limits, folder = Limits(**setup["limits"]), Path(setup["folder"])
    os.chdir(folder)
    tasks = {name: load(name) for name in setup["tasks"]}
    missing = confine(limits, folder)
    channel = socket.socket(fileno=setup["socket"])
    channel.sendall(encode({"missing": missing}))
    while True:
        request, media = receive(channel)
        allow_cpu(limits.cpu_seconds)
        # What a task writes is gone before the next one, which may be of another owner.
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            os.chdir(scratch)
            reply = perform(tasks[request["task"]], media, request["parameters"])
            os.chdir(folder)
        if media >= 0:
            os.close(media)
        channel.sendall(reply)


if __name__ == "__main__":
    main()
