"""Progress reports from a codec with several threads."""

import json
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from media_service.codecs.sandbox.child import progress_sender
from media_service.codecs.sandbox.messages import HEADER


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Makes threads preempt each other as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-7)
    yield
    sys.setswitchinterval(interval)


def percents(data: bytes) -> Iterator[int]:
    while data:
        (size,) = HEADER.unpack(data[: HEADER.size])
        data, message = data[HEADER.size + size :], data[HEADER.size : HEADER.size + size]
        yield json.loads(message)["progress"]


def test_progress_from_several_threads_never_decreases(busy_threads: None) -> None:
    for _ in range(20):
        child, parent = socket.socketpair()
        with child, parent:
            report = progress_sender(child)
            ready = threading.Barrier(4)

            def work(report: object = report, ready: threading.Barrier = ready) -> None:
                ready.wait()
                for percent in range(101):
                    assert callable(report)
                    report(percent)

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            child.shutdown(socket.SHUT_WR)
            found = list(percents(parent.recv(1 << 16)))
        assert found == list(range(1, 101))
