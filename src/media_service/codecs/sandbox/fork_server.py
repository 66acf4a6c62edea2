"""The program of a fork server: `python -m media_service.codecs.sandbox.fork_server SETUP`.

It imports the codecs once. For each request of the service it forks a child, which takes a few
milliseconds instead of the time of the imports. It opens no media, knows no secrets, and has one
thread. `forks.py` has the service's side.
"""

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from media_service.codecs.sandbox import child
from media_service.codecs.sandbox.confine import die_with_parent
from media_service.codecs.sandbox.messages import receive

# What it reports about a child: the process id, later the exit code. A negative exit code is the
# signal that ended the child.
REPORT = struct.Struct("i")
OPEN_FILES = 1 << 16


class ForkServer:
    """Forks a child for each request on `control`, until the service closes it.

    Each child has a status socket. The fork server sends reports to it, and kills the child when
    the service closes its end.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        # By process id.
        self._status: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        # Receives a byte for each SIGCHLD.
        self._exits, self._wakeup = socket.socketpair()
        self._selector.register(self._exits, selectors.EVENT_READ)
        for end in (self._exits, self._wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._closing = False

    def run(self) -> None:
        while self._status or not self._closing:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    self._accept()
                elif key.fileobj is self._exits:
                    self._exits.recv(1 << 10)
                    self._reap()
                else:
                    self._kill(key.data)

    def _accept(self) -> None:
        try:
            setup, files = receive(self._control)
        except (EOFError, ConnectionError):
            self._closing = True
            self._selector.unregister(self._control)
            return
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # the machine has no room for it; the other children go on
            traceback.print_exc()
            for file in files:
                os.close(file)
            return
        if pid == 0:
            become_child(setup, files, server)
        status, *others = files
        for file in others:
            os.close(file)
        self._status[pid] = socket.socket(fileno=status)
        self._selector.register(self._status[pid], selectors.EVENT_READ, pid)
        self._report(pid, pid)

    def _kill(self, pid: int) -> None:
        if pid in self._status:  # otherwise it ended at the same moment
            self._selector.unregister(self._status[pid])
            os.kill(pid, signal.SIGKILL)  # it exists until `_reap`

    def _reap(self) -> None:
        while self._status:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._report(pid, os.waitstatus_to_exitcode(status))
            with suppress(KeyError):  # after `_kill`
                self._selector.unregister(self._status[pid])
            self._status.pop(pid).close()

    def _report(self, pid: int, number: int) -> None:
        with suppress(OSError):  # the service closed it
            self._status[pid].send(REPORT.pack(number))


def become_child(setup: dict[str, Any], files: list[int], server: int) -> NoReturn:
    """Runs the program of a child in this process, which was just forked. `files` are the status
    socket of the fork server, the child's socket, and its standard error."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _, channel, stderr = files
        os.dup2(stderr, 2)
        os.closerange(3, channel)
        os.closerange(channel + 1, OPEN_FILES)
        os.setsid()
        die_with_parent(server)
        set_name("media-child")
        child.serve(setup, socket.socket(fileno=channel))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def set_name(name: str) -> None:
    """Sets the name of this process in lists of processes."""
    if sys.platform == "linux":
        Path("/proc/self/comm").write_text(name)


def main() -> None:
    setup = json.loads(sys.argv[1])
    die_with_parent(setup["parent"])
    for module in setup["modules"]:
        # A child that needs it fails in its own name.
        with suppress(ImportError):
            importlib.import_module(module)
    # Objects that no collection touches stay in memory that all children share.
    gc.collect()
    gc.freeze()
    ForkServer(socket.socket(fileno=setup["control"])).run()


if __name__ == "__main__":
    main()
