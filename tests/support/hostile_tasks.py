"""What a hostile media file might try in its child process. Each task runs in a test's child."""

import ctypes
import fcntl
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from media_service.codecs.sandbox.messages import encode
from media_service.errors import FailedPrecondition, Reason


def read(media: int) -> str:
    return os.pread(media, 1000, 0).decode()


def process_id(media: int) -> int:
    return os.getpid()


def parent_id(media: int) -> int:
    return os.getppid()


def environment(media: int) -> dict[str, str]:
    return dict(os.environ)


def attempt(media: int, what: str, target: str = "") -> str:
    """Tries something forbidden and returns the outcome."""
    attempts: dict[str, Callable[[], object]] = {
        "open a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "open a unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "read a file": lambda: Path(target).read_bytes(),
        "list a directory": lambda: os.listdir(target),  # noqa: PTH208
        "write a file": lambda: Path(target).write_text("was here"),
        "change a mode": lambda: Path(target).chmod(0o777),
        "reopen the media for writing": lambda: os.open(f"/proc/self/fd/{media}", os.O_WRONLY),
        "write to the media": lambda: os.write(media, b"was here"),
        "fork": os.fork,
        "run a program": lambda: subprocess.run([sys.executable, "-V"], check=True),
        "kill the service": lambda: os.kill(os.getppid(), signal.SIGKILL),
        "limit the service": lambda: limit_open_files(os.getppid()),
        "slow the service down": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
        "slow the disk of the service down": lambda: lower_io_priority(os.getppid()),
        "move the service to one processor": lambda: os.sched_setaffinity(os.getppid(), {0}),
        "schedule the service last": lambda: os.sched_setscheduler(
            os.getppid(), os.SCHED_IDLE, os.sched_param(0)
        ),
        "signal the service through a pipe": lambda: own_pipe(fcntl.F_SETOWN, os.getppid()),
        "choose the signal of a pipe": lambda: own_pipe(fcntl.F_SETSIG, signal.SIGKILL),
        "watch a directory": lambda: ctypes_call("inotify_init1", 0),
        "truncate a file by its path": lambda: os.truncate(new_file(), 0),
    }
    try:
        attempts[what]()
    except OSError as error:
        return type(error).__name__
    return "done"


def limit_open_files(pid: int) -> None:
    ctypes_call("prlimit", pid, 7, (ctypes.c_ulong * 2)(0, 0), None)


def lower_io_priority(pid: int) -> None:
    """`ioprio_set` of the process to the class IDLE."""
    number = {"x86_64": 251, "aarch64": 30}[platform.machine()]
    ctypes_call("syscall", ctypes.c_long(number), 1, pid, 3 << 13)


def ctypes_call(function: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc[function](*arguments) == -1:
        raise OSError(ctypes.get_errno(), function)


def own_pipe(command: int, value: int) -> None:
    """Changes whom the kernel signals when a pipe becomes ready, and how."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(reader, command, value)
    finally:
        os.close(reader)
        os.close(writer)


def new_file() -> Path:
    path = Path("new file").absolute()
    path.write_text("text")
    return path


def use_own_folder(media: int) -> list[str]:
    """Writes to the scratch folder and returns its previous content."""
    before = os.listdir(".")  # noqa: PTH208
    Path("scratch").write_text("mine")
    return before


def use_threads(media: int) -> int:
    done: list[int] = []
    threads = [threading.Thread(target=done.append, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(done)


def exhaust_memory(media: int) -> int:
    return len(bytearray(8 << 30))


def loop_forever(media: int) -> None:
    while True:
        pass


def hang(media: int) -> None:
    time.sleep(3600)


def wait(media: int) -> str:
    time.sleep(1)
    return "waited"


def send_later(media: int) -> int:
    """Writes to the socket when the task has ended."""
    threading.Timer(0.2, send_raw, [b"more"]).start()
    return os.getpid()


def crash(media: int) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def exit_silently(media: int) -> None:
    """Exits silently, like some libraries without memory."""
    os.abort()


def kill_itself(media: int) -> None:
    """Dies from SIGKILL, as from the kernel's out-of-memory killer."""
    os.kill(os.getpid(), signal.SIGKILL)


def close_socket(media: int) -> None:
    """Closes the socket and keeps running."""
    os.closerange(3, 4096)
    time.sleep(3600)


def fail_with(media: int, number: int) -> None:
    raise OSError(number, os.strerror(number))


def refuse(media: int) -> None:
    raise FailedPrecondition(Reason.OPERATION_NOT_APPLICABLE, "Not with this one.")


def raise_bug(media: int) -> None:
    raise KeyError("a bug in the task")


def report_progress(media: int, percents: list[int], progress: Callable[[float], None]) -> str:
    for percent in percents:
        progress(percent)
    return "done"


def send_too_much(media: int) -> str:
    return "x" * (8 << 20)


def write_too_much(media: int) -> None:
    with Path("big").open("wb") as file:
        for _ in range(1000):
            file.write(bytes(1 << 20))


def send_garbage(media: int) -> None:
    send_raw(b"\0\0\0\x0a[[[[[[[[[[")


def send_progress(media: int, percent: object, progress: Callable[[float], None]) -> None:
    send_raw(encode({"progress": percent}))


def send_raw(data: bytes) -> None:
    """Writes directly to the socket, bypassing the protocol."""
    for descriptor in range(3, 4096):
        try:
            os.write(descriptor, data)
        except OSError:
            continue
    time.sleep(3600)
